"""The status of batches: their files in the bucket and their ledger entries."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import CLOSED, BatchState, Ledger
from pipeline.model.batch_files import FEEDBACK_PREFIX, INCOMING_PREFIX, WORK_PREFIX, is_batch, parse_key
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import FileSet, set_version
from pipeline.model.record_kinds import RecordKind

from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READERS = 16
STYLES = {
    BatchState.WAITING: "yellow",
    BatchState.QUEUED: "cyan",
    BatchState.RUNNING: "cyan",
    BatchState.COMPLETED: "green",
    BatchState.HELD: "bold yellow",
    BatchState.FAILED: "bold red",
}


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch: its files that are in the bucket now, and its ledger entry if it has one."""

    batch: str
    files: FileSet
    ledger: Ledger | None

    @property
    def state(self) -> BatchState:
        """State of the batch; WAITING if it has no ledger entry."""
        return self.ledger.state if self.ledger else BatchState.WAITING

    @property
    def present(self) -> list[RecordKind]:
        """The kinds of files that are in the bucket, or were when the set was complete."""
        known = self.ledger.files if self.ledger else {}
        return [kind for kind in MODEL.kinds if kind in self.files or kind in known]

    @property
    def missing(self) -> list[str]:
        """The kinds of files that have not arrived."""
        return [kind for kind in MODEL.kinds if kind not in self.present]

    @property
    def corrected(self) -> bool:
        """Whether the bucket has a complete set of files other than the one in the ledger."""
        complete = len(self.files) == len(MODEL.kinds)
        return complete and (self.ledger is None or self.ledger.version != set_version(self.files))

    @property
    def unnoticed(self) -> bool:
        """Whether all three files are in the bucket but the ledger has no set yet."""
        return self.corrected and (self.ledger is None or self.ledger.version is None)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: the run of the present set is over, or files are missing."""
        if self.state is BatchState.WAITING:
            return bool(self.missing)
        return self.state in CLOSED and not self.corrected

    def as_plain(self) -> dict[str, Any]:
        """Return the status as plain values for JSON."""
        entry = self.ledger
        sources = {**(entry.files if entry else {}), **self.files}
        return {
            "batch": self.batch,
            "state": self.state.value,
            "missing": self.missing,
            "files": {kind: source.as_dict() for kind, source in sources.items()},
            "newer_set": self.corrected and not self.unnoticed,
            "not_noticed": self.unnoticed,
            "version": entry.version if entry else None,
            "execution": entry.execution if entry else None,
            "queued_at": entry.queued_at if entry else None,
            "started_at": entry.started_at if entry else None,
            "finished_at": entry.finished_at if entry else None,
            "duration_seconds": duration_of(entry),
            "chunks": entry.chunks if entry else 0,
            "large_day": entry.large_day if entry else None,
            "cause": entry.cause if entry else None,
            "summary": entry.summary if entry else {},
            "history": list(entry.history) if entry else [],
        }


def find_batches(s3: S3Client, bucket: str) -> tuple[list[str], list[str]]:
    """List the batches that have objects in the bucket, newest first, and the keys in `incoming/` of other files.

    The files of a batch may be gone from `incoming/`; its folders under `work/` and `feedback/` then still name it.
    """
    batches: set[str] = set()
    foreign: list[str] = []
    for key in Bucket(bucket, s3).keys(INCOMING_PREFIX):
        known = parse_key(key)
        if known:
            batches.add(known.batch)
        elif not key.endswith("/"):
            foreign.append(key)
    for prefix in (WORK_PREFIX, FEEDBACK_PREFIX):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            folders = (found["Prefix"].removeprefix(prefix).rstrip("/") for found in page.get("CommonPrefixes", ()))
            batches |= {folder for folder in folders if is_batch(folder)}
    return sorted(batches, reverse=True), foreign


def read(bucket: Bucket, table: Table, batches: Sequence[str]) -> list[BatchStatus]:
    """Read the status of batches, several concurrently."""

    def one(batch: str) -> BatchStatus:
        return BatchStatus(batch, bucket.find_set(batch), table.get_ledger(batch))

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        return list(pool.map(one, batches))


def waits_until(entry: Ledger | None) -> datetime | None:
    """Return when the last writer of a stopped run has certainly ended, if a queued run waits for that; else None."""
    if entry is None or entry.state is not BatchState.QUEUED or entry.blocked_until is None:
        return None
    until = datetime.fromisoformat(entry.blocked_until)
    return until if until > datetime.now(UTC) else None


def waiting_text(entry: Ledger | None) -> str | None:
    """Say what a queued run waits for; None if it waits for nothing."""
    if until := waits_until(entry):
        return f"waits until {terminal.clock(until)}, when no writer of the stopped run is left"
    if entry and entry.state is BatchState.QUEUED and entry.holder not in (None, entry.execution):
        return f"waits until run {entry.holder} and its writers have ended"
    return None


def not_noticed(env: str) -> str:
    """Say that a batch is complete but has no ledger entry, and what to do about it."""
    return (
        "all 3 files are there, not noticed yet. Events take seconds; after some minutes look for a failed one in the "
        f"dead-letter queue ({hints.command('dead-letters', env=env)}), or send one of the files again."
    )


def duration_of(entry: Ledger | None, now: datetime | None = None) -> float | None:
    """Return the seconds from the completion of the set until the end of its run, or until now.

    None if no set is complete yet.
    """
    if entry is None or entry.queued_at is None:
        return None
    end = datetime.fromisoformat(entry.finished_at) if entry.finished_at else now or datetime.now(UTC)
    return (end - datetime.fromisoformat(entry.queued_at)).total_seconds()


def headline(entry: Ledger) -> str:
    """Say in one line of markup how a run ended, or what state it is in."""
    style = STYLES[entry.state]
    numbers = Numbers.of(entry.summary)
    parts = [f"Batch {entry.batch} [{style}]{entry.state}[/]"]
    seconds = duration_of(entry)
    if entry.finished_at and seconds is not None:
        parts.append(f"in {terminal.duration(seconds)}:")
    if entry.state is BatchState.COMPLETED:
        parts.append(numbers.sentence())
    elif entry.cause:
        parts.append(terminal.shown(entry.cause))
    return " ".join(parts)
