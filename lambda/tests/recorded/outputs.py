"""What a day makes of the product, as digests: the only place here that knows the product."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
from pipeline.joining.customer_data_processor import Options, Outcome, Previous, SourceFile, messages, process
from pipeline.joining.gate import Gate
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.stages.feedback import verdict_on

from .days import BATCH, KINDS, Day

RECORDED = Path(__file__).parent / "outputs.json"
_STATES = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD, "REFUSED": BatchState.FAILED}


def record_kind(name: str) -> RecordKind:
    """Return the product's own value for a kind."""
    return MODEL.kind(name)


def run(day: Day, directory: Path) -> Outcome:
    """Process a day."""
    sources = {}
    for kind in KINDS:
        path = directory / f"{kind}_{BATCH}.csv{'.gz' if kind in day.packed else ''}"
        path.write_bytes(day.content(kind))
        sources[record_kind(kind)] = SourceFile(path.name, path)
    delivered = [
        _delivered(references, directory / f"delivered-{number}.parquet")
        for number, references in enumerate(day.previous_customers)
    ]
    limit = day.options.get("max_refused_percent")
    options = Options(
        memory_mb=200,
        threads=1,
        rejects_location=lambda: "feedback/",
        gate=None if limit is None else Gate(limit),
        **{name: value for name, value in day.options.items() if name != "max_refused_percent"},
    )
    return process(BATCH, sources, directory / "work", options, Previous(day.previous_errors, delivered))


def _delivered(references: Sequence[str], path: Path) -> Path:
    with duckdb.connect() as connection:
        values = ", ".join("(?)" for _ in references)
        connection.execute(f"CREATE TABLE delivered AS FROM (VALUES {values}) AS t (customer_reference)", references)
        connection.execute(f"COPY delivered TO '{path}' (FORMAT parquet)")
    return path


def outputs(day: Day) -> dict[str, bytes]:
    """Process a day and return all that comes out, by the kind of output."""
    with tempfile.TemporaryDirectory(prefix="recorded-") as directory:
        outcome = run(day, Path(directory))
        summary = outcome.summary.as_dict()
        entry = Ledger(
            batch=BATCH,
            state=_STATES[outcome.state],
            version="0123456789abcdef",
            finished_at="2022-02-01T06:00:00+00:00",
            summary=summary,
        )
        return {
            "messages": "".join(f"{body}\n" for body in messages(outcome)).encode(),
            "requests": b"".join(chunk.path.read_bytes() for chunk in outcome.chunks),
            "rejects": b"".join(
                f"{path.name}\n".encode() + path.read_bytes()
                for path in sorted(outcome.rejects.values(), key=lambda path: path.name)
            ),
            "summary": _json(summary),
            "verdict": _json(verdict_on(entry, outcome.examples)),
            "examples": _json(list(outcome.examples)),
        }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()


def digest(content: bytes) -> str:
    """Return the beginning of the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()[:8]


def day_digest(day: Day) -> str:
    """Return a digest of what goes in; gzip's own bytes depend on its release, so it is taken before packing."""
    parts = [
        *((kind.encode(), day.files[kind]) for kind in KINDS),
        (repr(sorted(day.packed)).encode(), repr(sorted(day.options.items())).encode()),
        (repr(sorted(day.previous_errors)).encode(), repr(day.previous_customers).encode()),
    ]
    return digest(b"".join(b"%d %b%d %b" % (len(one), one, len(two), two) for one, two in parts))


def digests(day: Day) -> dict[str, str]:
    """Return the digest of a day, and one for each kind of output."""
    return {"day": day_digest(day), **{kind: digest(content) for kind, content in outputs(day).items()}}


def recorded() -> dict[str, dict[str, str]]:
    """Read the recorded digests by name of the day."""
    found: dict[str, dict[str, str]] = json.loads(RECORDED.read_text())
    return found


def write(records: Mapping[str, Mapping[str, str]]) -> None:
    """Write the digests, one day a line."""
    lines = ",\n".join(
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(found)}" for name, found in records.items()
    )
    RECORDED.write_text(f"{{\n{lines}\n}}\n")


def difference(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str | None:
    """Say what differs for a day, or None."""
    if before is None:
        return "is not recorded"
    if before["day"] != now["day"]:
        return "is not the day that was recorded: its files, options or earlier versions have changed"
    changed = [kind for kind in now if now[kind] != before.get(kind)]
    return f"has other {', '.join(changed)}" if changed else None
