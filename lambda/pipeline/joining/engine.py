"""The interface of an engine: it reads, judges and joins the records of a day. All other steps are the same for all.

DuckDB is the engine for days that fit into one function, Spark the one for larger days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.refusals import Refusal
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of read and refused records of one file."""

    lines: int
    """Lines after the header that the engine read, including blank lines."""
    read: int
    refused: int
    refused_by_code: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a day: what will be delivered, and the amounts of items that were read and refused."""

    counted: Mapping[RecordKind, int]
    amount: Decimal
    read_amount: Decimal
    refused_amount: Decimal
    refused_without_amount: int
    incomplete_customers: int
    """Customers with a result some of whose records were refused."""


class Engine(Protocol):
    """Reads, judges and joins the files of a day.

    The order of calls is: `read` and `judge` customers, then orders, then items; `join`; then the others. If a file is
    refused, `prove` is called for the files after it instead of `judge`, as they may have to be refused too.
    """

    reads_all_first: bool
    """Whether to read all files before the first is judged; then no file is judged if one of them is refused."""

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Detect the dialect of a file; raise RefusedFileError if it can't be used."""

    def judge(self, file: CsvFile) -> tuple[CsvFile, Counts]:
        """Read the records of a file, after those of its parent, and find the refused ones; return the file as read.

        Raises RefusedFileError if only this shows that the file can't be used.
        """

    def prove(self, file: CsvFile) -> None:
        """Raise RefusedFileError if `judge` would."""

    def join(self) -> Totals:
        """Add up the accepted records by customer."""

    def write_results(self, chunks: ChunkWriter) -> None:
        """Add the put requests of all customers to the chunks, sorted by reference."""

    def remove_customers(self, chunks: ChunkWriter) -> int:
        """Add removals of customers that earlier versions delivered and this one does not; return their number."""

    def refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records of a file, by line."""

    def first_refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records of each code of a file, by line."""

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write all refused records of a file."""

    def write_references(self, target: Path) -> None:
        """Write the references of all customers with a result into a Parquet file."""
