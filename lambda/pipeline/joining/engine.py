"""An engine reads and joins the records of a day. What it computes is the same SQL for all engines (`steps`).

DuckDB is the engine for days that fit into one function, Spark the one for larger days. They differ in how they read
files, keep relations and write results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.joining import steps
from pipeline.joining.chunks import ChunkWriter
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record, with the fields of its error message."""

    line: int
    code: str
    reason: str
    references: Mapping[str, str | None]
    """The references that the record has, by the identity's column of the kind that they refer to."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of read and refused records of one file."""

    lines: int
    """Lines after the header that the engine read, including blank lines."""
    read: int
    refused: int
    refused_by_code: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SumTotals:
    """Both sides of the reconciliation of a sum: what was read, and what is counted or refused."""

    read: Decimal
    counted: Decimal
    refused: Decimal
    refused_without_amount: int


@dataclass(frozen=True, slots=True)
class DayTotals:
    """The totals of a day: records of each kind in the results, sums by name, and how many results are incomplete.

    `without_amount` is how many others have records, but only sums of 0.
    """

    counted: Mapping[RecordKind, int]
    sums: Mapping[str, SumTotals]
    incomplete: int
    unassigned: int
    """Refused records that belong to nobody in the root's file."""
    without_amount: int


@dataclass(slots=True)
class _Amounts:
    """The amounts of one column of a file."""

    read: Decimal = Decimal(0)
    refused: Decimal = Decimal(0)
    refused_without_amount: int = 0


_MAX_ROUNDS = 10
"""Times that ids of refused records are freed. Each time frees those that the time before has made out; where a chain
of repeated ids and references is longer, its last records stay refused for their id."""


class Engine(ABC):
    """Reads, judges and joins the files of a day.

    The order of calls is: `read` and `judge` each kind, parents before children; `join`; then the others. If a file is
    refused, `prove` is called for the files after it instead of `judge`, as they may have to be refused too.
    """

    reads_all_first = False
    """Whether to read all files before the first is judged; then no file is judged if one of them is refused."""
    for_spark = False

    def __init__(self, batch: str) -> None:
        self._batch = batch
        self._amounts: dict[tuple[RecordKind, str], _Amounts] = {}
        self._has_refused = False

    # What every engine does in its own way.

    @abstractmethod
    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine a file's bytes and its header; raise RefusedFileError if it can't be used."""

    @abstractmethod
    def prove(self, file: CsvFile) -> None:
        """Raise RefusedFileError if `judge` would."""

    @abstractmethod
    def sha256(self, kind: RecordKind) -> str:
        """Return the SHA-256 of a file as it was sent, before it is judged."""

    @abstractmethod
    def first_pass(self, file: CsvFile) -> CsvFile:
        """Read all records: create `<kind>_totals` and `<kind>_valid`; return the file as it was read."""

    @abstractmethod
    def find_candidates(self, file: CsvFile, anomalies: Collection[str]) -> None:
        """Read the file again: create `<kind>_candidates` from what `steps.anomalies` found."""

    @abstractmethod
    def table(self, name: str, sql: str) -> None:
        """Compute a relation and keep it."""

    @abstractmethod
    def view(self, name: str, sql: str) -> None:
        """Name a relation that is computed where it is used."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Free a relation that `table` keeps."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, which are few."""

    @abstractmethod
    def write_results(self, chunks: ChunkWriter) -> None:
        """Add the put requests of `results` to the chunks, sorted by reference."""

    @abstractmethod
    def load_previous(self) -> bool:
        """Create `previous`, the references whose results earlier versions delivered; return whether there are any."""

    @abstractmethod
    def remove_results(self, chunks: ChunkWriter) -> None:
        """Add the removals of the results in `removed`, sorted by reference, to the chunks."""

    @abstractmethod
    def refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records of a file, by line."""

    @abstractmethod
    def first_refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records of each code of a file, by line."""

    @abstractmethod
    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write all refused records of a file."""

    @abstractmethod
    def write_references(self, table: str, target: Path) -> None:
        """Write the references in a table (`results` or `removed`) into a Parquet file."""

    # What all engines do alike.

    def judge(self, file: CsvFile) -> tuple[CsvFile, Counts]:
        """Read the records of a file, after those of its parent, and find the refused ones; return the file as read.

        Raises
        ------
        RefusedFileError
            Only reading the records shows that the file can't be used.
        """
        file = self.first_pass(file)
        kind = file.kind
        totals = self.rows(steps.file_totals(kind))
        lines = sum(records for _, _, records, *_ in totals)
        blank = sum(records for is_blank, _, records, *_ in totals if is_blank)
        anomalies = self._anomalies(file)
        if anomalies or any(code is not None for _, code, *_ in totals):
            self.find_candidates(file, anomalies)
            self._judge_candidates(kind, file.unique)
            self.table(f"{kind}_accepted", steps.accepted(kind, self.for_spark))
        else:
            self.table(f"{kind}_judged", steps.nothing_judged(kind))
            self.view(f"{kind}_accepted", f"SELECT * FROM {kind}_valid")
        self.view(f"{kind}_refused", f"SELECT * FROM {kind}_judged WHERE code IS NOT NULL")
        refused = self.rows(steps.refused_totals(kind))
        self._has_refused = self._has_refused or bool(refused)
        self._add_amounts(kind, totals, refused)
        by_code = {code: records for code, records, *_ in refused}
        return file, Counts(lines, lines - blank, sum(by_code.values()), by_code)

    def _judge_candidates(self, kind: RecordKind, unique: str | None) -> None:
        """Create `<kind>_judged`. An id that only a refused record gave is free, so the rules may be applied again."""
        if kind.parent:
            self.table(f"{kind}_known", steps.known_parents(kind))
            self.table(f"{kind}_similar", steps.similar_parents(kind))
        self.table(f"{kind}_judged", steps.judged(kind, unique, self.for_spark))
        for _ in range(_MAX_ROUNDS if unique and kind.identity else 0):
            ((is_blocked_in_vain,),) = self.rows(steps.is_blocked_in_vain(kind))
            if not is_blocked_in_vain:
                break
            self.table(f"{kind}_blocked", steps.blocked_lines(kind))
            self.drop(f"{kind}_judged")
            self.table(f"{kind}_judged", steps.judged(kind, unique, self.for_spark, f"{kind}_blocked"))
            self.drop(f"{kind}_blocked")
        self.drop(f"{kind}_candidates")

    def _anomalies(self, file: CsvFile) -> list[str]:
        questions = steps.anomalies(file.kind, file.unique)
        if not questions:
            return []
        (answers,) = self.rows(f"SELECT {', '.join(questions.values())}")
        return [name for name, answer in zip(questions, answers, strict=True) if answer]

    def _add_amounts(self, kind: RecordKind, totals: list[tuple[Any, ...]], refused: list[tuple[Any, ...]]) -> None:
        for number, column in enumerate(MODEL.summed(kind)):
            found = self._amounts[kind, column] = _Amounts()
            for _, _, _, *sums in totals:
                found.read += sums[number] or 0
            for _, _, *sums in refused:
                found.refused += sums[2 * number] or 0
                found.refused_without_amount += sums[2 * number + 1]

    def amount_read(self, kind: RecordKind) -> Decimal | None:
        """Return the sum of the amounts of a file that were read; None if none of its columns is summed."""
        found = [self._amounts[kind, column].read for column in MODEL.summed(kind)]
        return sum(found, Decimal(0)) if found else None

    def join(self) -> DayTotals:
        """Create `results`, and return the totals of the day."""
        unassigned = 0
        if self._has_refused:
            for kind in MODEL.kinds:
                if kind.parent:
                    self.table(f"{kind}_named", steps.named(kind))
                    self.table(f"{kind}_assigned", steps.assigned(kind))
            ((unassigned,),) = self.rows(steps.unassigned_records())
        self.table("results", steps.results(self._has_refused))
        ((*numbers, incomplete, without_amount),) = self.rows(steps.day_totals())
        counted = dict(zip(MODEL.kinds, numbers, strict=False))
        sums = {}
        for measure, amount in zip(MODEL.sums, numbers[len(MODEL.kinds) :], strict=True):
            of_file = self._amounts[measure.kind, measure.column]
            sums[measure.name] = SumTotals(of_file.read, amount, of_file.refused, of_file.refused_without_amount)
        return DayTotals(counted, sums, incomplete, unassigned, without_amount)

    def count_removed(self) -> tuple[int, int]:
        """Return how many results that earlier versions delivered this one does not have, and how many they delivered.

        If there are any, `removed` has the references of the former.
        """
        if not self.load_previous():
            return 0, 0
        self.table("removed", steps.removed())
        ((removed, delivered),) = self.rows(
            "SELECT (SELECT count(*) FROM removed), (SELECT count(DISTINCT reference) FROM previous)"
        )
        return removed, delivered
