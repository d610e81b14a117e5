"""An engine reads and joins the records of a day. What it computes is the same SQL for all engines.

DuckDB is the engine for days that fit into one function, Spark the one for larger days. They differ in how they read
files, keep relations and write results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.joining import acceptance, sums
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.summary import FileSummary, Reconciliation, dialect
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.decimal_marks import Votes, refuse_grouped_amounts


@dataclass(frozen=True, slots=True)
class DayTotals:
    """The totals of a day: records of each kind in the results, both sides of each sum, and three numbers."""

    counted: Mapping[RecordKind, int]
    sums: Mapping[str, Reconciliation]
    incomplete: int
    """Results some of whose records were refused."""
    unassigned: int
    """Refused records that belong to nobody in the root's file."""
    without_amount: int
    """Complete results that have records, but only sums of 0."""


_MAX_ROUNDS = 10
"""Times that ids of refused records are freed. Each time frees those that the time before has made out; where a chain
of repeated ids and references is longer, its last records stay refused for their id."""


class Engine(ABC):
    """Reads, validates and joins the files of a day.

    The order of calls is: `read` and `validate` each kind, parents before children; `join`; then the others. If a file
    is refused, `verify` is called for the files after it instead of `validate`, as they may have to be refused too.
    """

    def __init__(self, batch: str) -> None:
        self._batch = batch
        self._amounts: dict[tuple[RecordKind, str], Reconciliation] = {}
        self._files: dict[RecordKind, CsvFile] = {}
        self._has_refused = False

    # What every engine does in its own way.

    @abstractmethod
    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine a file's bytes and its header; raise RefusedFileError if it can't be used."""

    @abstractmethod
    def verify(self, file: CsvFile) -> None:
        """Raise RefusedFileError if `validate` would."""

    @abstractmethod
    def count_votes(self, file: CsvFile) -> dict[str, Votes]:
        """Return what the amounts of a file show for each decimal mark."""

    @abstractmethod
    def sha256(self, kind: RecordKind) -> str:
        """Return the SHA-256 of a file as it was sent, before it is validated."""

    @abstractmethod
    def first_pass(self, file: CsvFile) -> CsvFile:
        """Read all records: create `<kind>_totals` and `<kind>_valid`; return the file as it was read."""

    @abstractmethod
    def find_candidates(self, file: CsvFile, anomalies: Collection[str]) -> None:
        """Read the file again: create `<kind>_candidates` from what `acceptance.anomalies` found."""

    @abstractmethod
    def find_references(self, file: CsvFile, references: str) -> None:
        """Read a judged file again: create `<kind>_candidates`, with all records of the references that SQL selects."""

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
    def errors(self, file: CsvFile, refused: str) -> Iterator[dict[str, Any]]:
        """Yield the error items of some refused records of a file (the SQL `refused`), by line."""

    @abstractmethod
    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write all refused records of a file."""

    @abstractmethod
    def write_references(self, table: str, target: Path) -> None:
        """Write the references in a table (`results` or `removed`) into a Parquet file."""

    # What all engines do alike.

    def validate(self, file: CsvFile) -> tuple[CsvFile, FileSummary]:
        """Read the records of a file, after those of its parent, and find the refused ones; return the file as read.

        Raises
        ------
        RefusedFileError
            Only reading the records shows that the file can't be used.
        """
        file = self.first_pass(file)
        kind = file.kind
        self._files[kind] = file
        totals = self.rows(sums.file_totals(kind))
        anomalies = self._anomalies(file)
        if anomalies or any(code is not None for _, code, *_ in totals):
            self.find_candidates(file, anomalies)
            if self.rows(f"SELECT 1 FROM {kind}_candidates WHERE shows_grouping LIMIT 1"):
                refuse_grouped_amounts(file, self.count_votes(file))
            self._judge_candidates(kind, file.unique)
            self.table(f"{kind}_accepted", acceptance.accepted(kind))
        else:
            self.table(f"{kind}_judged", acceptance.nothing_judged(kind))
            self.view(f"{kind}_accepted", f"SELECT * FROM {kind}_valid")
        self.view(f"{kind}_refused", f"SELECT * FROM {kind}_judged WHERE code IS NOT NULL")
        refused = self.rows(sums.refused_totals(kind))
        self._has_refused = self._has_refused or bool(refused)
        for number, column in enumerate(MODEL.summed(kind)):
            self._amounts[kind, column] = Reconciliation(
                scanned_amount=_total(amounts[number] for _, _, _, *amounts in totals),
                refused_amount=_total(amounts[2 * number] for _, _, *amounts in refused),
                refused_without_amount=sum(amounts[2 * number + 1] for _, _, *amounts in refused),
            )
        read = sum(records for is_blank, _, records, *_ in totals if not is_blank)
        by_code = {code: records for code, records, *_ in refused}
        return file, replace(
            dialect(file),
            read=read,
            counted=read - sum(by_code.values()),
            refused=sum(by_code.values()),
            refused_by_code=by_code,
            lines=file.profile.lines,
            header_lines=file.header.lines,
            blank_lines=sum(records for is_blank, _, records, *_ in totals if is_blank),
            further_lines=file.continuation_lines,
            has_final_line_end=file.profile.has_final_line_end,
        )

    def _judge_candidates(self, kind: RecordKind, unique: str | None) -> None:
        """Create `<kind>_judged`. An id that only a refused record gave is free, so the rules may be applied again."""
        if kind.parent:
            self.table(f"{kind}_known", acceptance.known_parents(kind))
            self.table(f"{kind}_similar", acceptance.similar_parents(kind))
            similar, parent = acceptance.accepted_similar(kind), kind.parent.kind
            if self.rows(f"{similar} LIMIT 1"):
                self.find_references(self._files[parent], similar)
            else:
                self.table(f"{parent}_candidates", acceptance.nothing_judged(parent))
        self.table(f"{kind}_judged", acceptance.judged(kind, unique))
        for _ in range(_MAX_ROUNDS if unique and kind.identity else 0):
            ((is_blocked_in_vain,),) = self.rows(acceptance.is_blocked_in_vain(kind))
            if not is_blocked_in_vain:
                break
            self.table(f"{kind}_blocked", acceptance.blocked_lines(kind))
            self.drop(f"{kind}_judged")
            self.table(f"{kind}_judged", acceptance.judged(kind, unique, has_blocked=True))
            self.drop(f"{kind}_blocked")
        for judged in (kind, *([kind.parent.kind] if kind.parent else [])):
            self.drop(f"{judged}_candidates")

    def _anomalies(self, file: CsvFile) -> list[str]:
        questions = acceptance.anomalies(file.kind, file.unique)
        if not questions:
            return []
        (answers,) = self.rows(f"SELECT {', '.join(questions.values())}")
        return [name for name, answer in zip(questions, answers, strict=True) if answer]

    def amount_read(self, kind: RecordKind) -> Decimal | None:
        """Return the sum of the amounts of a file that were read; None if none of its columns is summed."""
        found = [self._amounts[kind, column].scanned_amount for column in MODEL.summed(kind)]
        return _total(found) if found else None

    def join(self) -> DayTotals:
        """Create `results`, and return the totals of the day."""
        unassigned = 0
        if self._has_refused:
            for kind in MODEL.kinds:
                if kind.parent:
                    self.view(f"{kind}_lost", sums.lost(kind))
                    self.table(f"{kind}_named", sums.named(kind))
                    self.table(f"{kind}_assigned", sums.assigned(kind))
            ((unassigned,),) = self.rows(sums.unassigned_records())
        self.table("results", sums.results(self._has_refused))
        ((*numbers, incomplete, without_amount),) = self.rows(sums.day_totals())
        counted = dict(zip(MODEL.kinds, numbers, strict=False))
        delivered = {
            measure.name: replace(self._amounts[measure.kind, measure.column], delivered_amount=amount)
            for measure, amount in zip(MODEL.sums, numbers[len(MODEL.kinds) :], strict=True)
        }
        return DayTotals(counted, delivered, incomplete, unassigned, without_amount)

    def count_removed(self) -> tuple[int, int]:
        """Return how many results that earlier versions delivered this one does not have, and how many they delivered.

        If there are any, `removed` has the references of the former.
        """
        if not self.load_previous():
            return 0, 0
        self.table("removed", sums.removed())
        ((removed, delivered),) = self.rows(
            "SELECT (SELECT count(*) FROM removed), (SELECT count(DISTINCT reference) FROM previous)"
        )
        return removed, delivered


def _total(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))
