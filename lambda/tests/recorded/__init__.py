"""Days of all shapes, and digests of what comes out of them (`unit/joining/test_days.py` compares)."""
