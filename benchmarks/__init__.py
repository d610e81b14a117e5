"""Measurements of the pipeline, each runnable by itself."""
