"""The ledger entry of a batch, and the functions that change it.

There is one entry per batch, which serialises the batch's versions. `execution` is the current run (the one of the
newest set of files), `holder` the run that may write results. A new run waits until there is no holder, and a run that
is no longer current stops. All functions are pure; `Table.update_ledger` applies them with optimistic locking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from pipeline.errors import RetryableError, SupersededError
from pipeline.model.batch_files import CONTROL, file_kind
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import FileSet, SourceObject, has_same_content, set_time, set_version
from pipeline.model.record_kinds import RecordKind

HISTORY_LENGTH = 50
REMOVED_SUFFIX = ".removed"
_CAUSE_LENGTH = 100
"""Characters of a cause in the history; the entry itself has the newest run's whole cause."""


class BatchState(StrEnum):
    """The state of a batch."""

    WAITING = "WAITING"
    """Not all files have arrived."""
    QUEUED = "QUEUED"
    """The set is complete and its run is about to start."""
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    HELD = "HELD"
    """The gate holds the results: errors were sent, results wait for a release by the operator or a correction."""
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    """Used for a run only, never for a batch: a newer set took over before the run ended."""


CLOSED = frozenset({BatchState.COMPLETED, BatchState.HELD, BatchState.FAILED})
"""States of a batch whose newest run is over."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state of one batch. Times are ISO 8601 in UTC.

    `files` is the current set, `correction` what is there of a newer one of which other files are gone. `due` is
    whether the check at the time when the files are due has been. `control_file` is whether a control file is
    "required" in a set, "accepted" or ignored ("off").

    `attempts` is the number of runs of each version in `history`, `delivered` the names of the lists of whose results
    may be in the table. `delivered_files` is what later days are compared with: of each kind's file that was delivered
    last its `records` and `has_final_line_end`. `released` is the version that an operator released although it was
    held. After `blocked_until` no writer of a failed run can still be running. `large_day` is None if the function
    processes the files; otherwise it is what is known of the Spark job: `run` (its id), `seconds` and `dpu_seconds`,
    all missing until the job has ended. `revision` is the number of changes, for optimistic locking.

    Older and newer releases read and write the same entry. Every field except `batch` has a default, for entries that
    an older release wrote. `unknown` holds attributes that a newer release wrote, so that they are written back.
    """

    batch: str
    state: BatchState = BatchState.WAITING
    files: FileSet = field(default_factory=dict)
    correction: FileSet = field(default_factory=dict)
    due: bool = False
    control_file: str = "off"
    version: str | None = None
    execution: str | None = None
    holder: str | None = None
    blocked_until: str | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    delivered: tuple[str, ...] = ()
    delivered_files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    released: str | None = None
    queued_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    chunks: int = 0
    large_day: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    revision: int = 0
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[RecordKind]:
        """The kinds of files that have not arrived, or that an incomplete correction lacks."""
        return self.lacking(self.correction or self.files)

    def lacking(self, files: FileSet) -> list[RecordKind]:
        """Return the kinds of files that a set of this batch lacks."""
        kinds = (*MODEL.kinds, CONTROL) if self.control_file == "required" else MODEL.kinds
        return [kind for kind in kinds if kind not in files]

    def counted(self, files: FileSet) -> FileSet:
        """Return the files of a set that count for this batch: the control file may be switched off."""
        return {kind: source for kind, source in files.items() if kind != CONTROL or self.control_file != "off"}

    def as_item(self) -> dict[str, Any]:
        """Return the attributes of the table item as plain values, without the table's keys."""
        values = {known.name: getattr(self, known.name) for known in fields(self) if known.name != "unknown"}
        sets = {
            name: {kind: {**source.unknown, **source.as_dict()} for kind, source in files.items()}
            for name, files in (("files", self.files), ("correction", self.correction))
        }
        plain = {"state": self.state.value, **sets, "delivered": list(self.delivered)}
        item = {**self.unknown, **values, **plain, "history": list(self.history)}
        return {_STORED_NAMES.get(name, name): value for name, value in item.items()}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Ledger:
        """Create the entry from the attributes that `as_item` returns; the table's keys are ignored.

        Raises
        ------
        RetryableError
            The entry has a state or kind of file that only a newer release knows, so this release must not change it.
        """
        names = {_STORED_NAMES.get(field.name, field.name): field.name for field in fields(cls)}
        del names["unknown"]
        try:
            known = {name: item[name] for name in names.keys() & item.keys()}
            values = {
                names[name]: _READERS[name](value) if name in _READERS else value for name, value in known.items()
            }
        except ValueError as error:
            raise RetryableError(
                f"the ledger entry of batch {item['batch']} was written by a newer release: {error}"
            ) from error
        return cls(**values, unknown={name: item[name] for name in item.keys() - names.keys() - _TABLE_KEYS})


def _read_files(files: Mapping[str, Any]) -> FileSet:
    return {file_kind(kind): SourceObject.from_dict(source) for kind, source in files.items()}


_TABLE_KEYS = {"pk", "sk"}
_STORED_NAMES = {"blocked_until": "quiet_until"}
"""Names of attributes in the table that differ from ours, as earlier releases wrote them."""
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "state": BatchState,
    "files": _read_files,
    "correction": _read_files,
    "attempts": lambda attempts: {version: int(count) for version, count in attempts.items()},
    "delivered": tuple,
    "chunks": int,
    "history": tuple,
    "revision": int,
}
"""Converts fields of a table item, which has numbers as Decimal; all other fields are used as they are."""


def observe(ledger: Ledger, files: FileSet) -> Ledger:
    """Record the files of an incomplete set.

    A batch whose set was complete keeps it. If one of `files` is another than the set's, they are an incomplete
    correction, which is recorded beside the set.
    """
    if ledger.state is BatchState.WAITING:
        return ledger if has_same_content(ledger.files, files) else replace(ledger, files=files)
    etags = {kind: source.etag for kind, source in ledger.files.items()}
    correction = files if any(source.etag != etags.get(kind) for kind, source in files.items()) else {}
    return ledger if has_same_content(ledger.correction, correction) else replace(ledger, correction=correction)


def refresh_versions(ledger: Ledger, files: FileSet) -> Ledger:
    """Record the current object versions of the set if `files` have its content; it may have been sent again."""
    return replace(ledger, files=files) if has_same_content(ledger.files, files) else ledger


def claim(ledger: Ledger, files: FileSet, now: datetime) -> Ledger:
    """Make a complete set the current one of its batch, and queue its run.

    A set that is newer than `files` is kept. The caller lists the bucket again afterwards, so the newest set is claimed
    in the end. If the same files are sent again, nothing changes; `refresh_versions` updates their object versions
    where needed.
    """
    version = set_version(files)
    if ledger.state is not BatchState.WAITING:
        if set_time(files) < set_time(ledger.files):
            return ledger
        if version == ledger.version:
            return replace(ledger, correction={})
    return _queue(ledger, version, files, now)


def replay(ledger: Ledger, now: datetime) -> Ledger:
    """Queue the current set again, as a new run; no change if a run is queued or running already."""
    if ledger.version is None or ledger.state in (BatchState.QUEUED, BatchState.RUNNING):
        return ledger
    return _queue(ledger, ledger.version, ledger.files, now)


def rename(ledger: Ledger, execution: str, now: datetime) -> Ledger:
    """Give the queued run `execution` the next name, because the name was used before the batch was purged."""
    if ledger.version is None or ledger.state is not BatchState.QUEUED or ledger.execution != execution:
        return ledger
    return _queue(ledger, ledger.version, ledger.files, now)


def _queue(ledger: Ledger, version: str, files: FileSet, now: datetime) -> Ledger:
    attempt = ledger.attempts.get(version, 0) + 1
    name = f"{ledger.batch}-{version}"
    # A version that is not remembered and comes again begins with a name that was used, which `rename` then replaces.
    remembered = {version, ledger.version, *(version_of(run) for run in ledger.history)}
    attempts = {known: count for known, count in ledger.attempts.items() if known in remembered}
    return replace(
        ledger,
        state=BatchState.QUEUED,
        files=files,
        correction={},
        version=version,
        execution=name if attempt == 1 else f"{name}-{attempt}",
        attempts={**attempts, version: attempt},
        queued_at=_iso(now),
        started_at=None,
        finished_at=None,
        chunks=0,
        large_day=None,
        summary={},
        cause=None,
    )


def version_of(run: Mapping[str, Any]) -> str:
    """Return the version of a run of the history, which its name has after the batch's."""
    return str(run["execution"]).split("-")[1]


def ensure_current(ledger: Ledger | None, execution: str) -> Ledger:
    """Return the entry if `execution` is its current run.

    Raises
    ------
    SupersededError
        A newer set of files has taken over (or the entry was purged).
    """
    if ledger is None or ledger.execution != execution:
        current = ledger.execution if ledger else None
        raise SupersededError(f"run {execution} is superseded: the current run of the batch is {current}")
    return ledger


def begin(ledger: Ledger, execution: str, now: datetime) -> Ledger:
    """Make the current run the holder of the batch; no change while it must wait (`wait_seconds`).

    Raises
    ------
    SupersededError
        The run is not the current one.
    """
    ensure_current(ledger, execution)
    if ledger.holder == execution or wait_seconds(ledger, execution, now):
        return ledger
    return replace(ledger, state=BatchState.RUNNING, holder=execution, blocked_until=None, started_at=_iso(now))


def wait_seconds(ledger: Ledger, execution: str, now: datetime) -> int:
    """Return after how many seconds a run may try again to become the holder; 0 if it need not wait.

    The end of the holder can't be foreseen. The longer a run has waited, the longer it waits until the next try: a
    tenth of the time, from 10 seconds to 10 minutes. So a run of 14 days has 19,000 of its at most 25,000 events.
    """
    if ledger.holder == execution:
        return 0
    if ledger.holder is not None:
        waited = now - datetime.fromisoformat(ledger.queued_at) if ledger.queued_at else timedelta(0)
        return int(min(max(waited.total_seconds() / 10, 10), 600))
    if ledger.blocked_until is None:
        return 0
    return max(0, ceil((datetime.fromisoformat(ledger.blocked_until) - now).total_seconds()))


def submit_job(ledger: Ledger, execution: str) -> Ledger:
    """Record that the job for large days processes the files of the current run.

    Raises
    ------
    SupersededError
        The run is not the current one.
    """
    return replace(ensure_current(ledger, execution), large_day={})


def deliver(
    ledger: Ledger,
    execution: str,
    chunks: int,
    delivered: Sequence[str] = (),
    large_day: Mapping[str, Any] | None = None,
) -> Ledger:
    """Record that the run is about to write `chunks` chunks into the table, with results or with errors only.

    `delivered` are the lists of whose results may be in the table from now on; none without results. `large_day` is
    what is known of the Spark job, if that processed the files.

    Raises
    ------
    SupersededError
        The run is not the current one.
    """
    current = ensure_current(ledger, execution)
    return replace(current, delivered=tuple(delivered) or current.delivered, chunks=chunks, large_day=large_day)


def is_removed_list(name: str) -> bool:
    """Return whether a list of `delivered` names what a run removes, and not what it delivers."""
    return name.endswith(REMOVED_SUFFIX)


def release(ledger: Ledger, version: str, now: datetime) -> Ledger:
    """Release a held set of files: queue it again, as a run that is not held.

    No change if the batch is not HELD, or if its current version is not `version`.
    """
    if ledger.state is not BatchState.HELD or ledger.version != version:
        return ledger
    return replace(_queue(ledger, version, ledger.files, now), released=version)


def revoke(ledger: Ledger, execution: str, blocked_until: datetime | None) -> Ledger:
    """Remove a run as the holder of the batch; its writers may be running until `blocked_until`."""
    if ledger.holder != execution:
        return ledger
    return replace(ledger, holder=None, blocked_until=_iso(blocked_until) if blocked_until else None)


def finish(
    ledger: Ledger,
    execution: str,
    state: BatchState,
    now: datetime,
    *,
    summary: Mapping[str, Any] | None = None,
    cause: str | None = None,
    writer_grace: timedelta = timedelta(0),
) -> Ledger:
    """Close a run; idempotent.

    A superseded run is only removed as the holder. `writer_grace` is how long writers of a failed run may still be
    running. A run that ended before `deliver` had none; how far a superseded run came is not known.
    """
    may_have_writers = ledger.chunks > 0 or ledger.execution != execution
    closed = replace(
        revoke(ledger, execution, now + writer_grace if writer_grace and may_have_writers else None),
        history=_remember(ledger, execution, state, now, cause),
    )
    if ledger.execution != execution:
        return closed
    if ledger.state is state and ledger.holder != execution:
        return ledger
    is_delivered = state is BatchState.COMPLETED
    return replace(
        closed,
        state=state,
        finished_at=_iso(now),
        summary=summary or {},
        cause=cause,
        delivered=(str(ledger.version),) if is_delivered else ledger.delivered,
        delivered_files=_facts(summary or {}) if is_delivered else ledger.delivered_files,
    )


def delivered_files(item: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return `Ledger.delivered_files` from the attributes of a table item.

    An older release kept only the summary of the newest run, which is the one that was delivered if it is COMPLETED.
    """
    if (known := item.get("delivered_files")) or item.get("state") != BatchState.COMPLETED:
        return known or {}
    return _facts(item.get("summary", {}))


def _facts(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        kind: {"records": int(file["read"]), "has_final_line_end": file.get("has_final_line_end")}
        for kind, file in summary.get("files", {}).items()
    }


def _remember(
    ledger: Ledger, execution: str, state: BatchState, now: datetime, cause: str | None
) -> tuple[Mapping[str, Any], ...]:
    if any(run["execution"] == execution for run in ledger.history):
        return ledger.history
    is_current = ledger.execution == execution
    entry = {
        "execution": execution,
        "state": (state if is_current else BatchState.SUPERSEDED).value,
        "started_at": ledger.started_at if is_current else None,
        "finished_at": _iso(now),
        "cause": cause and cause[:_CAUSE_LENGTH],
    }
    return (*ledger.history, entry)[-HISTORY_LENGTH:]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
