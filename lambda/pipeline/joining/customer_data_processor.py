"""Process the files of one day: the result of each record of the root kind, and the errors in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import ReconciliationError
from pipeline.joining.chunks import Chunk, ChunkWriter, put_items
from pipeline.joining.duckdb_engine import DuckDBEngine
from pipeline.joining.engine import Counts, DayTotals, Engine, Refusal
from pipeline.joining.gate import Gate
from pipeline.joining.remarks import find_remarks
from pipeline.joining.resource_limits import resource_limits
from pipeline.joining.summary import FileSummary, Reconciliation, State, Summary
from pipeline.model.batch_files import CONTROL, rejects_name
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.items import batch_key, delete_line, error_item, put_line
from pipeline.model.messages import message_for, number_text
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.control_file import ControlTotal, read_control_file
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.decimal_marks import DecimalMark
from pipeline.reading.dialect import RefusedFileError
from pipeline.reading.sql import open_database
from pipeline.reading.text_reader import TextReader

__all__ = ["Chunk", "Options", "Outcome", "Previous", "SourceFile", "messages", "process"]

_MAX_NAMES = 20
_MAX_NAME_LENGTH = 80
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
    """Whether to keep the source files. If not, each is deleted after it was judged, to free disk space."""


@dataclass(frozen=True, slots=True)
class Previous:
    """What earlier versions of the same batch left in the table."""

    error_sort_keys: frozenset[str] = frozenset()
    references: Sequence[Path] = ()
    """Parquet files with the references whose results they delivered, as `Outcome.references`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run; its files are in the working directory."""

    state: State
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
        texts = TextReader(thread, files, workdir, options.max_unpacked)
        with (
            open_database(workdir, options.memory_mb, options.threads) as connection,
            resource_limits(connection, workdir, f"batch {batch}"),
        ):
            engine = DuckDBEngine(
                connection, batch, workdir, texts, before.references, options.keep_files, options.decimal_mark
            )
            return process_with(engine, batch, files, workdir, options, before.error_sort_keys)


def process_with(
    engine: Engine,
    batch: str,
    files: Mapping[RecordKind, SourceFile],
    workdir: Path,
    options: Options,
    previous_errors: frozenset[str] = frozenset(),
) -> Outcome:
    """Process the files with a given engine; `previous_errors` are the sort keys of errors of earlier versions."""
    return _Run(engine, batch, workdir, options, previous_errors).join(files)


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
    return _Run(no_engine, batch, workdir, options, previous_errors)._refuse(files, {}, refused)


def messages(outcome: Outcome) -> Iterator[str]:
    """Yield the bodies of the messages that delivering the outcome sends: results first, then errors."""
    for item in put_items(outcome.chunks):
        message = message_for(item)
        if message is not None:
            yield message.body


class _Run:
    """One run over the files of a batch, with any engine."""

    def __init__(
        self, engine: Engine, batch: str, workdir: Path, options: Options, previous_errors: frozenset[str]
    ) -> None:
        self._engine = engine
        self._batch = batch
        self._workdir = workdir
        self._options = options
        self._previous_errors = previous_errors
        self._chunks = ChunkWriter(workdir / "chunks", options.chunk_records)
        self._error_sort_keys: set[str] = set()
        self._examples: dict[tuple[str, str], dict[str, Any]] = {}
        self._digests: dict[RecordKind, str] = {}

    def join(self, sources: Mapping[RecordKind, SourceFile]) -> Outcome:
        refused: dict[RecordKind, RefusedFileError] = {}
        control = self._read_control(sources, refused)
        files, counts = self._read(sources, control, refused)
        refused |= {} if refused else self._compare(control, counts)
        if refused:
            return self._refuse(sources, files, refused)
        totals = self._engine.join()
        _verify_lines(files, counts)
        _verify_records(files, counts, totals)
        reconciliations = _reconcile(files, totals)
        removed, delivered = self._engine.count_removed()
        summaries = {kind: _file_summary(files[kind], counts[kind], kind in control) for kind in MODEL.kinds}
        gate = self._options.gate
        holds = gate.find_holds(self._batch, summaries, removed, delivered) if gate else []
        if not holds:
            self._engine.write_results(self._chunks)
        for kind in _by_name(sources):
            of_file = [hold for hold in holds if hold.kind == kind]
            for hold in of_file:
                self._add_file_error(kind, files[kind].name, hold.code, hold.reason)
            reported = self._write_errors(files[kind], counts[kind])
            summaries[kind] = replace(summaries[kind], messages=reported, held_by=tuple(hold.code for hold in of_file))
        if removed and not holds:
            self._engine.remove_results(self._chunks)
        summary = Summary(
            state="HELD" if holds else "READY",
            files=summaries,
            incomplete=totals.incomplete,
            unassigned_records=totals.unassigned,
            removed=removed,
            errors=len(self._error_sort_keys),
            reconciliations=reconciliations,
            remarks=tuple(find_remarks(self._batch, summaries, totals.without_amount, gate)),
        )
        rejects = {kind: self._write_rejects(files[kind]) for kind in MODEL.kinds if counts[kind].refused}
        return self._finish(summary, rejects)

    def _read_control(
        self, sources: Mapping[RecordKind, SourceFile], refused: dict[RecordKind, RefusedFileError]
    ) -> dict[RecordKind, ControlTotal]:
        """Return the control totals of the sender, if there is a control file; add it to the refused files if bad."""
        try:
            return read_control_file(sources[CONTROL].path, self._batch, self._workdir) if CONTROL in sources else {}
        except RefusedFileError as error:
            refused[CONTROL] = error
            return {}

    def _compare(
        self, control: Mapping[RecordKind, ControlTotal], counts: Mapping[RecordKind, Counts]
    ) -> dict[RecordKind, RefusedFileError]:
        """Return an error for each file that is not what the sender's control totals say."""
        found = {
            kind: ControlTotal(counts[kind].read, self._engine.amount_read(kind), self._digests.get(kind))
            for kind in control
        }
        differences = {kind: control[kind].find_difference(found[kind]) for kind in control}
        return {kind: error for kind, error in differences.items() if error}

    def _read(
        self,
        sources: Mapping[RecordKind, SourceFile],
        control: Mapping[RecordKind, ControlTotal],
        refused: dict[RecordKind, RefusedFileError],
    ) -> tuple[dict[RecordKind, CsvFile], dict[RecordKind, Counts]]:
        """Read and judge the files; after a refused one, only find out whether the others have to be refused too."""
        files: dict[RecordKind, CsvFile] = {}
        counts: dict[RecordKind, Counts] = {}
        for kind, file in self._files(sources):
            if isinstance(file, RefusedFileError):
                refused[kind] = file
                continue
            if kind in control and control[kind].sha256:
                self._digests[kind] = self._engine.sha256(kind)
            try:
                if refused:
                    self._engine.prove(file)
                    files[kind] = file
                else:
                    files[kind], counts[kind] = self._engine.judge(file)
            except RefusedFileError as error:
                refused[kind] = error
        return files, counts

    def _files(
        self, sources: Mapping[RecordKind, SourceFile]
    ) -> Iterable[tuple[RecordKind, CsvFile | RefusedFileError]]:
        """Return the files, or why they can't be used: one by one, or if all are read first, refused ones first."""
        files = ((kind, self._read_file(kind, sources[kind])) for kind in MODEL.kinds)
        if self._engine.reads_all_first:
            return sorted(files, key=lambda read: isinstance(read[1], CsvFile))
        return files

    def _read_file(self, kind: RecordKind, source: SourceFile) -> CsvFile | RefusedFileError:
        try:
            return self._engine.read(kind, source)
        except RefusedFileError as error:
            return error

    def _refuse(
        self,
        sources: Mapping[RecordKind, SourceFile],
        files: Mapping[RecordKind, CsvFile],
        refused: Mapping[RecordKind, RefusedFileError],
    ) -> Outcome:
        """Refuse the batch: the only output is an error for each file that can't be used."""
        for kind in sorted(refused, key=lambda kind: sources[kind].name):
            self._add_file_error(kind, sources[kind].name, refused[kind].code, str(refused[kind]))
        summaries = {
            kind: FileSummary(
                file=sources[kind].name,
                delimiter=files[kind].header.delimiter if kind in files else None,
                decimal_mark=files[kind].decimal_mark if kind in files else None,
                ignored_columns=_shortened(files[kind].header.ignored) if kind in files else (),
                file_error=str(refused[kind].code) if kind in refused else None,
            )
            for kind in sources
            if kind != CONTROL or kind in refused
        }
        summary = Summary(state="REFUSED", files=summaries, errors=len(self._error_sort_keys))
        return self._finish(summary, {})

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
        return Outcome(summary.state, self._chunks.chunks, rejects, references, removed, summary, examples)

    def _write_errors(self, file: CsvFile, counts: Counts) -> int:
        """Write an error for each refused record up to the limit, and one about the rest beyond it."""
        if not counts.refused:
            return 0
        self._add_errors(
            self._error_item(file, refusal) for refusal in self._engine.refusals(file, self._options.max_error_messages)
        )
        for refusal in self._engine.first_refusals(file, _EXAMPLES):
            self._add_example(self._error_item(file, refusal), counts.refused_by_code[refusal.code])
        reported = min(counts.refused, self._options.max_error_messages)
        if reported < counts.refused:
            code = ErrorCode.TOO_MANY_ERRORS
            rejects = f"{self._options.rejects_location()}{rejects_name(file.kind)}"
            reason = SENTENCES[code].format(refused=counts.refused, reported=reported, rejects=rejects)
            self._add_file_error(file.kind, file.name, code, reason)
        return reported

    def _error_item(self, file: CsvFile, refusal: Refusal) -> dict[str, Any]:
        return error_item(
            self._batch,
            file.kind,
            file.name,
            refusal.line,
            refusal.code,
            refusal.reason,
            refusal.references,
        )

    def _add_file_error(self, kind: RecordKind, name: str, code: ErrorCode, reason: str) -> None:
        item = error_item(self._batch, kind, name, None, code, reason)
        self._add_errors([item])
        self._add_example(item, 1)

    def _add_example(self, item: Mapping[str, Any], count: int) -> None:
        """Collect an example of the errors of a code in a file, of which there are `count` in total."""
        found = self._examples.setdefault(
            (item["file"], item["code"]),
            {"code": item["code"], "file": item["file"], "count": count, "examples": []},
        )
        found["examples"].append({"line": item["line"], "message": item["message"]})

    def _add_errors(self, items: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
        for item in items:
            self._error_sort_keys.add(item["sk"])
            self._chunks.add([put_line(item)])

    def _write_rejects(self, file: CsvFile) -> Path:
        directory = self._workdir / "rejects"
        directory.mkdir(exist_ok=True)
        target = directory / rejects_name(file.kind)
        self._engine.write_rejects(file, target)
        return target


def _file_summary(file: CsvFile, counts: Counts, matches_control: bool) -> FileSummary:
    return FileSummary(
        file=file.name,
        delimiter=file.header.delimiter,
        decimal_mark=file.decimal_mark,
        ignored_columns=_shortened(file.header.ignored),
        read=counts.read,
        counted=counts.read - counts.refused,
        refused=counts.refused,
        refused_by_code=counts.refused_by_code,
        lines=file.profile.lines,
        header_lines=file.header.lines,
        blank_lines=counts.lines - counts.read,
        further_lines=file.continuation_lines,
        has_final_line_end=file.profile.has_final_line_end,
        matches_control=matches_control,
    )


def _by_name(sources: Mapping[RecordKind, SourceFile]) -> list[RecordKind]:
    return sorted(MODEL.kinds, key=lambda kind: sources[kind].name)


def _shortened(names: tuple[str, ...]) -> tuple[str, ...]:
    """Limit the number and length of column names, so that the ledger item stays small."""
    more = (f"… and {len(names) - _MAX_NAMES} more",) if len(names) > _MAX_NAMES else ()
    return tuple(name[:_MAX_NAME_LENGTH] for name in names[:_MAX_NAMES]) + more


def _verify_lines(files: Mapping[RecordKind, CsvFile], counts: Mapping[RecordKind, Counts]) -> None:
    """Compare the lines of each file, counted in its bytes, with what was made of them.

    Raises
    ------
    ReconciliationError
        A line is missing, or was read twice.
    """
    for kind, file in files.items():
        lines, made = file.profile.lines - file.header.lines, counts[kind].lines + file.continuation_lines
        if lines != made:
            raise ReconciliationError(
                f"{file.name} has {lines} lines after its header, but {made} became records or are blank"
            )


def _verify_records(
    files: Mapping[RecordKind, CsvFile], counts: Mapping[RecordKind, Counts], totals: DayTotals
) -> None:
    """Compare the records that were read with those in the results and the refused ones.

    Raises
    ------
    ReconciliationError
        A record is missing, or counted twice.
    """
    for kind, file in files.items():
        read, refused, counted = counts[kind].read, counts[kind].refused, totals.counted[kind]
        if read != counted + refused:
            raise ReconciliationError(
                f"{file.name}: {read} records were read, but {counted} counted and {refused} refused"
            )


def _reconcile(files: Mapping[RecordKind, CsvFile], totals: DayTotals) -> dict[str, Reconciliation]:
    """Compare, for each sum in the results, the amounts that were read with those that are counted or refused.

    The amounts read are summed directly from the records, before any grouping and joining; the amounts counted are what
    will be delivered.

    Raises
    ------
    ReconciliationError
        The amounts do not match.
    """
    found = {}
    for measure in MODEL.sums:
        of_sum = totals.sums[measure.name]
        if of_sum.read != of_sum.counted + of_sum.refused:
            raise ReconciliationError(
                f"{files[measure.kind].name}: the amounts read sum up to {of_sum.read}, but {of_sum.counted} was "
                f"counted and {of_sum.refused} refused"
            )
        found[measure.name] = Reconciliation(
            number_text(of_sum.read),
            number_text(of_sum.counted),
            number_text(of_sum.refused),
            of_sum.refused_without_amount,
        )
    return found
