"""The verdict: the file under `feedback/` that informs the partner about a batch, written when its run is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.events import missing_file_error
from pipeline.joining.gate import and_, held_by, why_held
from pipeline.ledger import CLOSED, BatchState, Ledger
from pipeline.model.batch_files import CONTROL, FEEDBACK_PREFIX, INCOMING_PREFIX, rejects_name
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:  # csv-check writes a page without the AWS SDK
    from pipeline.aws.dynamodb import Table
    from pipeline.aws.s3 import Bucket

VERDICT = "verdict.json"
UNKNOWN_BATCH = "unknown"
"""Stands for the day in the verdict on an object whose name has none."""
_TIMEOUTS = ("States.Timeout", "States.TIMED_OUT", "Sandbox.Timedout")
"""How the cause of a run begins that took too long, or whose function did (Step Functions and Lambda error names)."""


def publish_verdict(bucket: Bucket, table: Table, batch: str) -> None:
    """Write the verdict on the newest run of a batch, unless that run is still open.

    The verdict is derived from the ledger entry, so writing it again changes nothing. Two runs may write at the same
    time, and the older one may be later. So the entry is read again until the verdict written last matches it.
    """
    written = None
    while (entry := table.get_ledger(batch)) and entry.state in CLOSED and entry.revision != written:
        examples = entry.summary.get("examples")
        verdict = verdict_on(entry, bucket.get_json(examples) if examples else ())
        bucket.put_json(f"{FEEDBACK_PREFIX}{batch}/{entry.version}/{VERDICT}", verdict)
        newest = verdict_on_waiting(entry) if entry.correction else verdict
        bucket.put_json(f"{FEEDBACK_PREFIX}{batch}/{VERDICT}", newest)
        written = entry.revision


def publish_missing(bucket: Bucket, entry: Ledger) -> None:
    """Write the verdict on a batch that waits for files, unless there is a verdict already."""
    # The last file may arrive and be processed meanwhile; that verdict must not be overwritten by this older one.
    bucket.create_json(f"{FEEDBACK_PREFIX}{entry.batch}/{VERDICT}", verdict_on_waiting(entry))


def publish_foreign(bucket: Bucket, error: Mapping[str, Any]) -> None:
    """Write the verdict on an object whose name is no batch file's, from the error about it."""
    entry = Ledger("YYYYMMDD", version=error["sk"].rpartition("#")[2], state=BatchState.FAILED)
    examples = [_example(None, error["message"])]
    verdict = verdict_on(entry, [{"code": error["code"], "file": error["file"], "count": 1, "examples": examples}])
    verdict |= {"batch": UNKNOWN_BATCH, "what_to_do": error["message"]}
    for folder in (f"{UNKNOWN_BATCH}/{entry.version}", UNKNOWN_BATCH):
        bucket.put_json(f"{FEEDBACK_PREFIX}{folder}/{VERDICT}", verdict)


def verdict_on_waiting(entry: Ledger) -> dict[str, Any]:
    """Return the verdict on a set, or a correction, that waits for files."""
    is_correction = bool(entry.correction)
    errors = [
        {"code": error["code"], "file": error["file"], "count": 1, "examples": [_example(None, error["message"])]}
        for error in (missing_file_error(entry.batch, kind, is_correction=is_correction) for kind in entry.missing)
    ]
    if is_correction:
        waiting = Ledger(entry.batch, files=entry.correction)
        verdict = verdict_on(waiting, errors)
        return {**verdict, "what_to_do": f"{verdict['what_to_do']} Until then, what was delivered before stays."}
    return verdict_on(entry, errors)


def verdict_on(entry: Ledger, errors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the verdict (docs/contracts/verdict.schema.json) of a ledger entry, with the first errors of each code."""
    summary = entry.summary
    was_read = summary.get("state") in ("READY", "HELD")
    counted = (MODEL.root, f"incomplete_{MODEL.root}", "unassigned_records")
    return {
        "batch": entry.batch,
        "version": entry.version,
        "state": entry.state.value,
        "finished_at": entry.finished_at,
        "what_to_do": what_to_do(entry),
        "files": {
            kind: _file(entry, kind, was_read=was_read and kind != CONTROL)
            for kind in (*MODEL.kinds, CONTROL)
            if kind != CONTROL or kind in entry.files
        },
        **{name: _count(summary, name) if was_read else None for name in counted},
        **(_reconciliations(summary) if was_read else {"reconciliation": None}),
        "errors": list(errors),
        "remarks": list(summary.get("remarks", ())),
    }


def what_to_do(entry: Ledger) -> str:
    """Return the sentence that says what the partner has to do about a batch."""
    files = entry.summary.get("files", {}).values()
    unusable = [str(file["file"]) for file in files if file.get("file_error")]
    refused = sum(_count(file, "refused") for file in files)
    match entry.state:
        case BatchState.WAITING:
            names = [f"{kind}_{entry.batch}.csv" for kind in entry.missing]
            return f"Send {and_(names)}: the batch is processed as soon as all its files are there."
        case BatchState.HELD:
            return (
                f"Nothing was delivered, as {why_held(entry.summary)}: correct and send again, or ask the operator to "
                "release the batch as it is."
            )
        case BatchState.COMPLETED if refused:
            return (
                f"Correct the {refused:,} refused records and send their files again; all others were delivered."
                if refused > 1
                else "Correct the refused record and send its file again; all others were delivered."
            )
        case BatchState.COMPLETED if entry.summary.get("remarks"):
            return "Look at the remarks: every record was delivered, but some may be missing in the files."
        case BatchState.COMPLETED:
            return "Nothing: every record was delivered."
        case _ if unusable:
            return f"Nothing was delivered, as {and_(unusable)} can't be used: correct and send again."
    if (entry.cause or "").startswith(_TIMEOUTS):
        return (
            "Nothing: the batch took longer than it may. The operator has been alarmed; send the files again only when "
            "asked to."
        )
    return (
        "Nothing: the batch was not processed for a reason that is not in the files. The operator has been alarmed; "
        "send the files again only when asked to."
    )


def _file(entry: Ledger, kind: RecordKind, *, was_read: bool) -> dict[str, Any]:
    """Describe a file as far as the run processed it; unknown counts are None."""
    known: Mapping[str, Any] = entry.summary.get("files", {}).get(kind, {})
    source = entry.files.get(kind)
    name = known.get("file") or (source.key.removeprefix(INCOMING_PREFIX) if source else f"{kind}_{entry.batch}.csv")
    counts = {count: _count(known, count) if was_read else None for count in ("read", "counted", "refused")}
    rejects = f"{FEEDBACK_PREFIX}{entry.batch}/{entry.version}/{rejects_name(kind)}"
    return {
        "file": name,
        "arrived": source is not None,
        "file_error": known.get("file_error"),
        "delimiter": known.get("delimiter"),
        "decimal_mark": known.get("decimal_mark"),
        "ignored_columns": list(known.get("ignored_columns", ())),
        **counts,
        "refused_by_code": {code: int(count) for code, count in known.get("refused_by_code", {}).items()},
        "too_many_refused": ErrorCode.TOO_MANY_REFUSED in held_by(known),
        "held_by": held_by(known),
        "matches_control": bool(known.get("matches_control")),
        "rejects": rejects if counts["refused"] else None,
    }


def _reconciliations(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return both sides of the first sum of the model, and of the others if there are some."""
    first, further = summary.get("reconciliation"), summary.get("further_reconciliations")
    sums = {name: _plain(totals) for name, totals in further.items()} if further else None
    return {"reconciliation": _plain(first) if first else None, **({"further_reconciliations": sums} if sums else {})}


def _plain(totals: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else int(value) for name, value in totals.items()}


def _example(line: int | None, message: str) -> dict[str, Any]:
    return {"line": line, "message": message}


def _count(summary: Mapping[str, Any], name: str) -> int:
    return int(summary.get(name, 0))
