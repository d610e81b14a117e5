"""The gate: whether so many records of a file were refused that the results of the day should not be delivered."""

from __future__ import annotations

TOLERATED_RECORDS = 20
"""Refused records of a file that hold nothing, whatever their share: a small file would be held for one of them."""


def holds(read: int, refused: int, max_refused_percent: int) -> bool:
    """Tell whether a file holds its batch: too large a share of its records was refused, or all of them."""
    if read and refused == read:
        return True
    return refused > TOLERATED_RECORDS and 100 * refused > max_refused_percent * read
