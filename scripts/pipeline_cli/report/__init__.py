"""The HTML reports about a day and about all days: their figures, charts and templates."""
