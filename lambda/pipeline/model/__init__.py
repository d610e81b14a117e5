"""The data of the pipeline: kinds of files, table items, messages and error codes."""
