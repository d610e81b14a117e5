"""The status of batches: their files in the bucket and their ledger entries."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.ledger import CLOSED, BatchState, Ledger
from pipeline.model.batch_files import FEEDBACK_PREFIX, INCOMING_PREFIX, WORK_PREFIX, is_batch, parse_key
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import FileSet, set_version
from pipeline.model.record_kinds import RecordKind

from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

READERS = 16


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
    def missing(self) -> list[RecordKind]:
        """The kinds of files that are not in the bucket and were not in the set of the ledger entry."""
        known = self.ledger.files if self.ledger else {}
        return [kind for kind in self.lacking if kind not in known]

    @property
    def lacking(self) -> list[RecordKind]:
        """The kinds of files that are not in the bucket now."""
        return (self.ledger or Ledger(self.batch)).lacking(self.files)

    @property
    def corrected(self) -> bool:
        """Whether the bucket has a complete set of files other than the one in the ledger."""
        return not self.lacking and (self.ledger is None or self.ledger.version != set_version(self.files))

    @property
    def unnoticed(self) -> bool:
        """Whether all files are in the bucket but the ledger has no set yet."""
        return self.corrected and (self.ledger is None or self.ledger.version is None)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: the run of the present set is over, or files are missing."""
        if self.state is BatchState.WAITING:
            return bool(self.missing)
        return self.state in CLOSED and not self.corrected

    def as_plain(self) -> dict[str, Any]:
        """Return the status as plain values for JSON."""
        entry = self.ledger or Ledger(self.batch)
        known = ("version", "execution", "queued_at", "started_at", "finished_at", "chunks", "large_day", "cause")
        return {
            "batch": self.batch,
            "state": self.state.value,
            "missing": [str(kind) for kind in self.missing],
            "files": {str(kind): source.as_dict() for kind, source in {**entry.files, **self.files}.items()},
            "newer_set": self.corrected and not self.unnoticed,
            "not_noticed": self.unnoticed,
            **{name: getattr(entry, name) for name in known},
            "duration_seconds": duration_of(entry),
            "summary": entry.summary,
            "history": list(entry.history),
        }


def find_batches(target: Target) -> tuple[list[str], list[str]]:
    """List the batches that have objects in the bucket, newest first, and the keys in `incoming/` of other files.

    The files of a batch may be gone from `incoming/`; its folders under `work/` and `feedback/` then still name it.
    Another file is left out once its content is there under the name of a batch file.
    """
    lists = target.client("s3").get_paginator("list_objects_v2")
    pages = lists.paginate(Bucket=target.bucket.name, Prefix=INCOMING_PREFIX)
    etags = {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", ())}
    files = {key: file for key in etags if (file := parse_key(key))}
    batches = {file.batch for file in files.values()}
    arrived = {etags[key] for key in files}
    foreign = [key for key, etag in etags.items() if key not in files and etag not in arrived and not key.endswith("/")]
    for prefix in (WORK_PREFIX, FEEDBACK_PREFIX):
        for page in lists.paginate(Bucket=target.bucket.name, Prefix=prefix, Delimiter="/"):
            folders = (found["Prefix"].removeprefix(prefix).rstrip("/") for found in page.get("CommonPrefixes", ()))
            batches |= {folder for folder in folders if is_batch(folder)}
    return sorted(batches, reverse=True), foreign


def read(target: Target, batches: Sequence[str]) -> list[BatchStatus]:
    """Read the status of batches, several concurrently."""
    bucket, table = target.bucket, target.table

    def status(batch: str) -> BatchStatus:
        entry, files = table.get_ledger(batch), bucket.find_set(batch)
        return BatchStatus(batch, entry.counted(files) if entry else files, entry)

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        return list(pool.map(status, batches))


def waiting_text(entry: Ledger | None) -> str | None:
    """Say what a queued run waits for; None if it waits for nothing."""
    if entry is None or entry.state is not BatchState.QUEUED:
        return None
    if entry.blocked_until and (until := datetime.fromisoformat(entry.blocked_until)) > datetime.now(UTC):
        return f"waits until {terminal.clock(until)}, when no writer of the stopped run is left"
    if entry.holder not in (None, entry.execution):
        return f"waits until run {entry.holder} and its writers have ended"
    return None


def not_noticed(env: str) -> str:
    """Say that a batch is complete but has no ledger entry, and what to do about it."""
    return (
        f"all {len(MODEL.kinds)} files are there, not noticed yet. Events take seconds; after some minutes look for a "
        f"failed one ({hints.command('redrive', '--list', env=env)}), or send one of them again."
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
    parts = [f"Batch {entry.batch} {terminal.state(entry.state)}"]
    seconds = duration_of(entry)
    if entry.finished_at and seconds is not None:
        parts.append(f"in {terminal.duration(seconds)}:")
    if entry.state is BatchState.COMPLETED:
        parts.append(Numbers.of(entry.summary).sentence())
    elif entry.cause:
        parts.append(terminal.shown(entry.cause))
    return " ".join(parts)
