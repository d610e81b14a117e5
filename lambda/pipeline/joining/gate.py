"""The gate: holds the results of a day back if too many records of a file were refused."""

from __future__ import annotations

TOLERATED_RECORDS = 20
"""Up to so many refused records never hold a batch, whatever their share: one of them would hold a small file."""


def holds(read: int, refused: int, max_refused_percent: int) -> bool:
    """Return whether a file holds its batch: all of its records were refused, or too large a share of them."""
    if read and refused == read:
        return True
    return refused > TOLERATED_RECORDS and 100 * refused > max_refused_percent * read
