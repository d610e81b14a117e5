"""What the pipeline knows about its data: kinds of files, table items, messages and error codes."""
