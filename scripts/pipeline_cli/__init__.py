"""The command line of the pipeline and the tools behind `make`."""
