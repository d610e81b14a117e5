"""Days that no single function can hold: the same rules and results on Spark."""
