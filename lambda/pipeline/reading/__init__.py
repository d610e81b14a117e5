"""From a file's bytes to its records: detect the dialect, normalize to one record per line, check cells in SQL."""
