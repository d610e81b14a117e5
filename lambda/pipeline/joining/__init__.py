"""From the records of a day to its results: read, validate, join, reconcile, write."""
