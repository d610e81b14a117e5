"""A day of partner CSV files, validated, joined, stored and announced exactly once."""
