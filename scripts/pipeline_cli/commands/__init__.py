"""One module a command of `pipeline`."""
