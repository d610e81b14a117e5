"""Write a day's files of any size, with the kinds and columns of the model: the same arguments give the same bytes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, ColumnType, RecordKind

BATCH = "20220131"
PER_PARENT = (4, 3)
"""Records of the first kind below the root for each of its parent, and of all others."""
SUM = MODEL.sums[0]
"""The sum that is compared."""


@dataclass(frozen=True, slots=True)
class Day:
    """The size of a generated day; `bad` records have no valid amount, evenly spread over the file."""

    roots: int = 500_000
    bad: int = 0

    def records(self, kind: RecordKind) -> int:
        """Return how many records a kind has."""
        return self.records(kind.parent.kind) * per_parent(kind) if kind.parent else self.roots

    @property
    def all_records(self) -> int:
        """How many records the day has."""
        return sum(map(self.records, MODEL.kinds))


def per_parent(kind: RecordKind) -> int:
    """Return how many records of a kind belong to one of its parent's."""
    return PER_PARENT[min(MODEL.kinds.index(kind), len(PER_PARENT)) - 1]


def generate(day: Day, directory: Path) -> dict[RecordKind, Path]:
    """Write the files into the directory and return their paths; existing files are kept."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {kind: directory / f"{kind}_{BATCH}.csv" for kind in MODEL.kinds}
    with duckdb.connect(config={"threads": "2"}) as connection:
        for kind, path in paths.items():
            if not path.exists():
                cells = ", ".join(f'{_cell(day, kind, column)} AS "{column.name}"' for column in kind.columns)
                query = f"SELECT {cells} FROM range({day.records(kind)}) AS numbers(i)"
                partial = path.with_suffix(".part")
                connection.execute(f"COPY ({query}) TO '{partial}' (FORMAT csv, HEADER true)")
                partial.rename(path)
    return paths


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Read a file with the csv module; each record is a dictionary by column name."""
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def _cell(day: Day, kind: RecordKind, column: Column) -> str:
    """Return the SQL of a cell of record `i`."""
    if kind.parent and column.name == kind.parent.column:
        return _reference(kind.parent.kind, f"(i // {per_parent(kind)})")
    if column.type is ColumnType.REFERENCE:
        return _reference(kind, "i")
    if column.type is ColumnType.TIMESTAMP:
        return "1643587200 + i % 86400"
    if column.type is ColumnType.INTEGER:
        return "i % 9 + 1"
    if column.type is ColumnType.AMOUNT:
        is_bad = f"i % {day.records(kind) // day.bad} = 0" if day.bad and kind is SUM.kind else "false"
        return f"CASE WHEN {is_bad} THEN 'n/a' ELSE printf('%d.%02d', i * 37 % 1000, i % 100) END"
    if column.unique:
        return "i"
    return f"'{column.allowed[0]}'" if column.allowed else "'text ' || i % 1000"


def _reference(kind: RecordKind, number: str) -> str:
    """Return the SQL of a reference: scrambled by a multiplication modulo 2^32, so that no file is sorted by it."""
    return f"printf('%08x-{kind.singular}', ({number} * 2654435761) % 4294967296)"
