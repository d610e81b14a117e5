"""From the records of a day to its results: read, judge, join, reconcile, write."""
