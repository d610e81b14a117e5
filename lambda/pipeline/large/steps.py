"""The steps of a large day: an engine that announces each of them before it takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.engine import Counts, Engine, Totals
from pipeline.joining.refusals import Refusal
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile

START, STORE = "start", "store the manifest"
STEPS = (
    START,
    *(f"examine {kind}" for kind in MODEL.kinds),
    *(f"judge {kind}" for kind in MODEL.kinds),
    "join",
    "write results",
    "write errors",
    "remove customers",
    "write rejects",
    "write references",
    STORE,
)
"""All steps of a day in order; those that a day does not need are left out."""


class SteppedEngine:
    """Calls `begin` with the name of a step (see STEPS) and then the engine.

    `begin` may raise an exception, which ends the day.
    """

    def __init__(self, engine: Engine, begin: Callable[[str], None]) -> None:
        self.reads_all_first = engine.reads_all_first
        self._engine = engine
        self._begin = begin

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine a file."""
        self._begin(f"examine {kind}")
        return self._engine.read(kind, source)

    def judge(self, file: CsvFile) -> tuple[CsvFile, Counts]:
        """Read the records of a file."""
        self._begin(f"judge {file.kind}")
        return self._engine.judge(file)

    def prove(self, file: CsvFile) -> None:
        """Find out whether a file has to be refused."""
        self._engine.prove(file)

    def join(self) -> Totals:
        """Add up by customer."""
        self._begin("join")
        return self._engine.join()

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write the results of all customers."""
        self._begin("write results")
        self._engine.write_results(chunks)

    def remove_customers(self, chunks: ChunkWriter) -> int:
        """Write removals of customers."""
        self._begin("remove customers")
        return self._engine.remove_customers(chunks)

    def refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Return the first refused records."""
        self._begin("write errors")
        return self._engine.refusals(file, limit)

    def first_refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Return the first refused records of each code."""
        self._begin("write errors")
        return self._engine.first_refusals(file, limit)

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write all refused records."""
        self._begin("write rejects")
        self._engine.write_rejects(file, target)

    def write_references(self, table: str, target: Path) -> None:
        """Write the list of customers."""
        self._begin("write references")
        self._engine.write_references(table, target)
