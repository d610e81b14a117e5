"""intake: when all files of a day have arrived, start one run for exactly this set."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pipeline import ledger
from pipeline.aws.backoff import Deadline, attempts
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.errors import EventError, LedgerConflictError
from pipeline.events import (
    ObjectCreated,
    foreign_file_error,
    missing_file_error,
    objects_created,
    parse_body,
)
from pipeline.model.batch_files import CONTROL, INCOMING_PREFIX, parse_key
from pipeline.model.file_set import FileSet, has_same_content
from pipeline.model.items import EXPIRES_AT
from pipeline.observability import Metric, count, logger
from pipeline.settings import IntakeSettings
from pipeline.stages.feedback import publish_foreign, publish_missing, publish_verdict

_FOREIGN_KEPT = timedelta(days=30)
"""How long the table keeps an error about an object that belongs to no batch, so that no later run deletes it."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Handles events about new objects.

    Until `deadline` it retries while the same batch is changed concurrently. Retrying here is cheaper than failing: a
    failed event is hidden for the queue's visibility timeout of some minutes.
    """

    bucket: Bucket
    table: Table
    workflow: Workflow
    settings: IntakeSettings
    deadline: Deadline

    def receive(self, event: dict[str, Any]) -> None:
        """Handle every object that an S3 or EventBridge event names."""
        for found in objects_created(event):
            self._receive_object(found)

    def receive_message(self, record: SQSRecord) -> None:
        """Handle an event from the ingest queue. Lambda deletes the message when this returns."""
        self.receive(dict(parse_body(record.body)))

    def _receive_object(self, found: ObjectCreated) -> None:
        if found.bucket != self.bucket.name:
            raise EventError(f"an event of bucket {found.bucket}, not of {self.bucket.name}")
        if found.is_folder or not found.key.startswith(INCOMING_PREFIX):
            logger().info("object ignored: a folder, or not under incoming/", key=found.key)
            return
        settings = self.settings
        file = parse_key(found.key, settings.days_ahead, settings.days_back)
        if file is None or (file.kind == CONTROL and settings.control_file == "off"):
            self._report_foreign(found)
            return
        count(Metric.FILES_RECEIVED)
        entry = self._receive_file(file.batch)
        if entry.correction or file.kind in entry.missing:
            self._report_missing(entry)

    def _report_foreign(self, found: ObjectCreated) -> None:
        """Report an object that is no batch file, unless it does not exist or so many were reported today."""
        if self.bucket.find(found.key) is None:
            logger().info("event ignored: there is no such object", key=found.key)
            return
        count(Metric.FOREIGN_FILES)
        now = datetime.now(UTC)
        item = {**foreign_file_error(found), EXPIRES_AT: int((now + _FOREIGN_KEPT).timestamp())}
        reported = self.table.put_limited(item, f"foreign#{now:%Y%m%d}", self.settings.max_error_messages)
        if reported:
            publish_foreign(self.bucket, item)
        logger().warning("object whose name is no batch file's", key=found.key, reported=reported)

    def check_due(self, batch: str) -> None:
        """Report each missing file of a batch that is due; if the set is complete after all, start its run."""
        entry = self._receive_file(batch, due=True)
        if entry.missing:
            self._report_missing(entry, due=True)
            count(Metric.MISSING_FILES, len(entry.missing))

    def _report_missing(self, entry: ledger.Ledger, *, due: bool = False) -> None:
        """Report the files that a set lacks.

        Before the set is due, only what can't be a file that is still to come: what a correction lacks is gone, and of
        two files that were stored in the same second nobody knows which counts.
        """
        ties = self.bucket.find_ties(entry.batch)
        missing = [kind for kind in entry.missing if due or entry.correction or kind in ties]
        if not missing:
            return
        for kind in missing:
            names = [source.key for source in ties.get(kind, ())]
            is_correction = bool(entry.correction)
            self.table.put(missing_file_error(entry.batch, kind, is_correction=is_correction, tie=names))
        if entry.correction:
            publish_verdict(self.bucket, self.table, entry.batch)
        else:
            publish_missing(self.bucket, entry)
        logger().warning("files missing", batch=entry.batch, missing=missing)

    def _receive_file(self, batch: str, *, due: bool = False) -> ledger.Ledger:
        logger().append_keys(batch=batch)
        checked_today = (datetime.now(UTC) - timedelta(days=self.settings.due_days)).strftime("%Y%m%d")
        entry = self._claim_newest_set(batch, due=due or batch < checked_today)
        if entry.missing:
            logger().info("set incomplete", batch=batch, missing=entry.missing)
        elif entry.state is ledger.BatchState.QUEUED and start_run(self.table, self.workflow, entry):
            logger().info("run started", batch=batch, execution=entry.execution)
        else:
            logger().info("set known already", batch=batch, execution=entry.execution, state=entry.state)
        return entry

    def _claim_newest_set(self, batch: str, *, due: bool) -> ledger.Ledger:
        """Record the set that is in the bucket now in the ledger.

        Events can be late and in any order, so the listing of the bucket counts. It is repeated after the claim, until
        it does not change: so a function that has claimed an older set notices, and the newest set is claimed in the
        end. There are growing random pauses between the attempts.

        Raises
        ------
        LedgerConflictError
            The files or the entry still changed when the time was up.
        """
        seen = self.bucket.find_set(batch)
        for _ in attempts(self.deadline):
            record = functools.partial(record_set, files=seen, due=due, control_file=self.settings.control_file)
            entry = self.table.update_ledger(batch, record, self.deadline)
            before, seen = seen, self.bucket.find_set(batch)
            if has_same_content(seen, before):
                return entry
        raise LedgerConflictError(f"the files of batch {batch} kept changing")


def record_set(known: ledger.Ledger, files: FileSet, *, due: bool, control_file: str) -> ledger.Ledger:
    """Record a set; a file of 0 bytes is not there yet (mounts write it first) until the batch is due."""
    known = replace(known, due=due or known.due, control_file=control_file)
    there = {kind: source for kind, source in known.counted(files).items() if source.size or known.due}
    if known.lacking(there):
        return ledger.observe(known, there)
    return ledger.claim(known, there, datetime.now(UTC))


def start_run(table: Table, workflow: Workflow, entry: ledger.Ledger) -> bool:
    """Start the run that a ledger entry has queued; return False if it was started before.

    If the entry is still queued but a run of that name has ended, that was a run before the batch was purged. Then the
    queued run gets the next name.
    """
    while entry.state is ledger.BatchState.QUEUED:
        files = {kind: source.as_dict() for kind, source in entry.files.items()}
        name = str(entry.execution)
        started = workflow.start(name, {"batch": entry.batch, "version": entry.version, "files": files})
        if started or workflow.status(name).ended_at is None:
            return started  # not started and unknown: another invocation has started it a moment ago
        rename = functools.partial(ledger.rename, execution=name, now=datetime.now(UTC))
        entry = table.update_ledger(entry.batch, rename)
    return False
