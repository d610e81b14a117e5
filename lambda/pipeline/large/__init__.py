"""Days that are too large for one function: the same rules and results on Spark."""
