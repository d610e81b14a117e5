"""The page about a batch: its figures, charts and template."""
