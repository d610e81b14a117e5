"""Process the files of one day: the result of each record of the root kind, and the errors in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import ReconciliationError
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.duckdb_engine import DuckDBEngine
from pipeline.joining.engine import DayTotals, Engine
from pipeline.joining.gate import Gate
from pipeline.joining.remarks import find_remarks
from pipeline.joining.resource_limits import resource_limits
from pipeline.joining.second_pass import first_refused
from pipeline.joining.summary import FileSummary, State, Summary, dialect
from pipeline.model.batch_files import CONTROL, rejects_name
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.items import batch_key, delete_line, error_item, put_line
from pipeline.model.messages import bodies
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.control_file import ControlTotal, read_control_file
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.csv_parser import read_profiles
from pipeline.reading.decimal_marks import DecimalMark
from pipeline.reading.dialect import RefusedFileError
from pipeline.reading.sql import open_database

__all__ = ["Chunk", "Options", "Outcome", "Previous", "SourceFile", "messages", "process"]

_EXAMPLES = 20
"""Errors per file and code that the verdict shows."""


@dataclass(frozen=True, slots=True)
class Options:
    """The limits of a run, and the sizes of its output."""

    memory_mb: int
    """DuckDB's memory limit; beyond it, DuckDB spills to the working directory."""
    threads: int
    chunk_records: int = 5000
    max_error_messages: int = 1000
    """Refused records per file that get an error message each."""
    gate: Gate | None = None
    """What holds the batch; with None it is never held."""
    rejects_location: Callable[[], str] = str
    """Returns the prefix of the files of refused records; called only if an error message names one."""
    decimal_mark: DecimalMark = "auto"
    """The decimal mark of amounts; with "auto" it follows from the delimiter and the amounts of each file."""
    max_unpacked: int | None = None
    """Bytes that a gzip file may unpack to; a larger one is refused."""
    keep_files: bool = True
    """Whether to keep the source files. If not, each is deleted once it and its children are read, to free disk."""


@dataclass(frozen=True, slots=True)
class Previous:
    """What earlier versions of the same batch left in the table."""

    error_sort_keys: frozenset[str] = frozenset()
    references: Sequence[Path] = ()
    """Parquet files with the references whose results they delivered, as `Outcome.references`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run; its files are in the working directory."""

    chunks: list[Chunk]
    rejects: dict[RecordKind, Path]
    """Files of refused records, for the kinds that have some."""
    references: Path | None
    """Parquet file with the references whose results this version delivers; None if it delivers no results."""
    removed: Path | None
    """Parquet file with the references whose results this version removes; None if it removes none."""
    summary: Summary
    examples: Sequence[Mapping[str, Any]]
    """The first errors of each code: code, file, count, examples (line, message)."""

    @property
    def state(self) -> State:
        """The state of the day."""
        return self.summary.state


def process(
    batch: str,
    files: Mapping[RecordKind, SourceFile],
    workdir: Path,
    options: Options,
    previous: Previous | None = None,
) -> Outcome:
    """Read, validate and join the three files of a day.

    The same input always gives the same chunk files, byte for byte.

    Raises
    ------
    ReconciliationError
        The totals do not match.
    ResourceLimitError
        Memory or disk space is not sufficient; the error names the file and the limit.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    before = previous or Previous()
    with ThreadPoolExecutor(1) as thread:
        profiles = read_profiles(thread, files, workdir, options.max_unpacked)
        with (
            open_database(workdir, options.memory_mb, options.threads) as connection,
            resource_limits(connection, workdir, f"batch {batch}"),
        ):
            engine = DuckDBEngine(
                connection, batch, workdir, profiles, before.references, options.keep_files, options.decimal_mark
            )
            return DayProcessor(engine, batch, workdir, options, before.error_sort_keys).process(files)


def refuse(
    batch: str,
    files: Mapping[RecordKind, SourceFile],
    refused: Mapping[RecordKind, RefusedFileError],
    workdir: Path,
    options: Options,
    previous_errors: frozenset[str] = frozenset(),
) -> Outcome:
    """Refuse a day some of whose files can't even be fetched; no file is read."""
    no_engine: Any = None
    return DayProcessor(no_engine, batch, workdir, options, previous_errors).refuse(files, refused)


def messages(outcome: Outcome) -> Iterator[str]:
    """Yield the bodies of the messages that delivering the outcome sends: results first, then errors."""
    for chunk in outcome.chunks:
        yield from bodies(chunk.path.read_text(encoding="utf-8"))


class DayProcessor:
    """Processes the files of a batch with any engine; `previous_errors` are sort keys of errors of earlier versions."""

    def __init__(
        self,
        engine: Engine,
        batch: str,
        workdir: Path,
        options: Options,
        previous_errors: frozenset[str] = frozenset(),
    ) -> None:
        self._engine = engine
        self._batch = batch
        self._workdir = workdir
        self._options = options
        self._previous_errors = previous_errors
        self._chunks = ChunkWriter(workdir / "chunks", options.chunk_records)
        self._error_sort_keys: set[str] = set()
        self._examples: dict[tuple[str, str], dict[str, Any]] = {}
        self._files: dict[RecordKind, CsvFile] = {}
        """The files that are not refused, as they were read."""
        self._refused: dict[RecordKind, RefusedFileError] = {}

    def process(self, sources: Mapping[RecordKind, SourceFile]) -> Outcome:
        """Read, join, reconcile, and write what is to be delivered; without results if the day is held."""
        control = self._read_control(sources)
        summaries = self._read(sources, control)
        if self._refused:
            return self.refuse(sources, self._refused)
        totals = self._engine.join()
        _reconcile(summaries, totals)
        removed, delivered = self._engine.count_removed()
        gate = self._options.gate
        holds = gate.find_holds(self._batch, summaries, removed, delivered) if gate else []
        if not holds:
            self._engine.write_results(self._chunks)
        for kind in sorted(MODEL.kinds, key=lambda kind: sources[kind].name):
            of_file = [hold for hold in holds if hold.kind == kind]
            for hold in of_file:
                self._add_file_error(kind, sources[kind].name, hold.code, hold.reason)
            messages = self._write_errors(kind, summaries[kind])
            summaries[kind] = replace(summaries[kind], messages=messages, held_by=tuple(hold.code for hold in of_file))
        if removed and not holds:
            self._engine.remove_results(self._chunks)
        summary = Summary(
            state="HELD" if holds else "READY",
            files=summaries,
            incomplete=totals.incomplete,
            unassigned_records=totals.unassigned,
            removed=removed,
            errors=len(self._error_sort_keys),
            reconciliations=totals.sums,
            remarks=tuple(find_remarks(self._batch, summaries, totals.without_amount, gate)),
        )
        rejects = {kind: self._write_rejects(kind) for kind in MODEL.kinds if summaries[kind].refused}
        return self._finish(summary, rejects)

    def refuse(
        self, sources: Mapping[RecordKind, SourceFile], refused: Mapping[RecordKind, RefusedFileError]
    ) -> Outcome:
        """Refuse the batch: the only output is an error for each file that can't be used."""
        for kind in sorted(refused, key=lambda kind: sources[kind].name):
            self._add_file_error(kind, sources[kind].name, refused[kind].code, str(refused[kind]))
        summaries = {
            kind: replace(
                dialect(self._files[kind]) if kind in self._files else FileSummary(sources[kind].name),
                file_error=str(refused[kind].code) if kind in refused else None,
            )
            for kind in sources
            if kind != CONTROL or kind in refused
        }
        return self._finish(Summary("REFUSED", summaries, errors=len(self._error_sort_keys)), {})

    def _read_control(self, sources: Mapping[RecordKind, SourceFile]) -> dict[RecordKind, ControlTotal]:
        """Return the control totals of the sender, if there is a control file that can be used."""
        try:
            return read_control_file(sources[CONTROL].path, self._batch, self._workdir) if CONTROL in sources else {}
        except RefusedFileError as error:
            self._refused[CONTROL] = error
            return {}

    def _read(
        self, sources: Mapping[RecordKind, SourceFile], control: Mapping[RecordKind, ControlTotal]
    ) -> dict[RecordKind, FileSummary]:
        """Read and validate the files; after a refused one, only find out whether the others are to be refused too."""
        summaries: dict[RecordKind, FileSummary] = {}
        digests: dict[RecordKind, str] = {}
        for kind in MODEL.kinds:
            try:
                file = self._engine.read(kind, sources[kind])
                if kind in control and control[kind].sha256:
                    digests[kind] = self._engine.sha256(kind)
                if self._refused:
                    self._engine.verify(file)
                    self._files[kind] = file
                else:
                    self._files[kind], summaries[kind] = self._engine.validate(file)
            except RefusedFileError as error:
                self._refused[kind] = error
        if not self._refused:
            for kind, stated in control.items():
                found = ControlTotal(summaries[kind].read, self._engine.amount_read(kind), digests.get(kind))
                if difference := stated.find_difference(found):
                    self._refused[kind] = difference
                summaries[kind] = replace(summaries[kind], matches_control=True)
        return summaries

    def _finish(self, summary: Summary, rejects: dict[RecordKind, Path]) -> Outcome:
        references = removed = None
        if summary.state == "READY":
            references = self._workdir / f"{MODEL.root}.parquet"
            self._engine.write_references("results", references)
        if summary.state == "READY" and summary.removed:
            removed = self._workdir / f"{MODEL.root}.removed.parquet"
            self._engine.write_references("removed", removed)
        stale = sorted(self._previous_errors - self._error_sort_keys)
        self._chunks.add([delete_line(batch_key(self._batch), sort_key) for sort_key in stale])
        self._chunks.flush()
        examples = list(self._examples.values())
        return Outcome(self._chunks.chunks, rejects, references, removed, summary, examples)

    def _write_errors(self, kind: RecordKind, file: FileSummary) -> int:
        """Write an error for each refused record up to the limit, and one about the rest; return how many of them."""
        limit = self._options.max_error_messages
        if not file.refused:
            return 0
        chosen = first_refused(kind, limit, _EXAMPLES)
        for number, item in enumerate(self._engine.errors(self._files[kind], chosen)):
            if number < limit:
                self._add_error(item)
            self._add_example(item, file.refused_by_code[item["code"]])
        if file.refused > limit:
            rejects = f"{self._options.rejects_location()}{rejects_name(kind)}"
            code = ErrorCode.TOO_MANY_ERRORS
            reason = SENTENCES[code].format(refused=file.refused, reported=limit, rejects=rejects)
            self._add_file_error(kind, file.file, code, reason)
        return min(file.refused, limit)

    def _add_file_error(self, kind: RecordKind, name: str, code: ErrorCode, reason: str) -> None:
        item = error_item(self._batch, kind, name, None, code, reason)
        self._add_error(item)
        self._add_example(item, 1)

    def _add_error(self, item: Mapping[str, Any]) -> None:
        self._error_sort_keys.add(item["sk"])
        self._chunks.add([put_line(item)])

    def _add_example(self, item: Mapping[str, Any], count: int) -> None:
        """Keep the first examples of the errors of a code in a file, of which there are `count` in total."""
        new = {"code": item["code"], "file": item["file"], "count": count, "examples": []}
        examples = self._examples.setdefault((item["file"], item["code"]), new)["examples"]
        if len(examples) < _EXAMPLES:
            examples.append({"line": item["line"], "message": item["message"]})

    def _write_rejects(self, kind: RecordKind) -> Path:
        directory = self._workdir / "rejects"
        directory.mkdir(exist_ok=True)
        target = directory / rejects_name(kind)
        self._engine.write_rejects(self._files[kind], target)
        return target


def _reconcile(files: Mapping[RecordKind, FileSummary], totals: DayTotals) -> None:
    """Compare what was read with what became of it: the lines of each file, its records, and each sum.

    The lines are counted in the bytes of the file. The amounts read are summed directly from the records, before any
    grouping and joining. What is counted is what will be delivered.

    Raises
    ------
    ReconciliationError
        Something is missing, or counted twice.
    """
    for file in files.values():
        lines, made = file.lines - file.header_lines, file.blank_lines + file.read + file.further_lines
        if lines != made:
            raise ReconciliationError(
                f"{file.file} has {lines} lines after its header, but {made} became records or are blank"
            )
    for kind, file in files.items():
        counted = totals.counted[kind]
        if file.read != counted + file.refused:
            raise ReconciliationError(
                f"{file.file}: {file.read} records were read, but {counted} counted and {file.refused} refused"
            )
    for measure in MODEL.sums:
        amounts = totals.sums[measure.name]
        if amounts.scanned_amount != amounts.delivered_amount + amounts.refused_amount:
            raise ReconciliationError(
                f"{files[measure.kind].file}: the amounts read sum up to {amounts.scanned_amount}, but "
                f"{amounts.delivered_amount} was counted and {amounts.refused_amount} refused"
            )
