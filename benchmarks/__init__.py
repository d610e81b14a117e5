"""Benchmarks of the pipeline; each can be run separately."""
