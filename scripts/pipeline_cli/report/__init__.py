"""The HTML pages about a day and about all days: their figures and templates."""
