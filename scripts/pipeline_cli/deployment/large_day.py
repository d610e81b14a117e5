"""Large days: how far their Spark job is, and what it costs."""

from __future__ import annotations

import tomllib
from datetime import datetime
from typing import Any, TypeGuard

from pipeline.aws.s3 import Bucket
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.batch_files import WORK_PREFIX
from pipeline.stages.large_day import PROGRESS

from pipeline_cli.output import terminal
from pipeline_cli.terraform.target import ROOT

PRICES = ROOT / "benchmarks" / "prices.toml"
"""AWS's list prices; a copy of the project without benchmarks has none."""

HOUR = 3600


def progress(bucket: Bucket, entry: Ledger | None) -> str | None:
    """Say how far the Spark job of a run is; None if no such job is under way."""
    if not _is_under_way(entry):
        return None
    found = _find_progress(bucket, entry)
    if found is None:
        return "The Spark job for large days has been started, and has not begun yet."
    since = terminal.clock(datetime.fromisoformat(found["since"]))
    return f"The Spark job for large days is at step {found['number']} of {found['of']} since {since}: {found['step']}."


def step(bucket: Bucket, entry: Ledger) -> str | None:
    """Name the step of the Spark job of a run; None if no such job is under way or it has not begun yet."""
    found = _find_progress(bucket, entry) if _is_under_way(entry) else None
    return None if found is None else f"step {found['number']} of {found['of']}: {found['step']}"


def _is_under_way(entry: Ledger | None) -> TypeGuard[Ledger]:
    return entry is not None and entry.large_day is not None and not entry.large_day and entry.state not in CLOSED


def _find_progress(bucket: Bucket, entry: Ledger) -> dict[str, Any] | None:
    """Return what the job of this run has stored about its progress."""
    found = bucket.find_json(f"{WORK_PREFIX}{entry.batch}/{entry.version}/{PROGRESS}")
    return found if found is not None and found["execution"] == entry.execution else None


def price_of_hour() -> float | None:
    """Return the price of a DPU-hour of AWS Glue in US dollars; None if there is no file of prices."""
    if not PRICES.exists():
        return None
    return float(tomllib.loads(PRICES.read_text())["AWS Glue"]["dpu_hour"]["usd"])


def effort(entry: Ledger | None) -> str | None:
    """Say what the Spark job of a run took and costs; None if there was none."""
    if entry is None or not entry.large_day:
        return None
    dpu_seconds, price = int(entry.large_day["dpu_seconds"]), price_of_hour()
    cost = "" if price is None else f", about ${dpu_seconds / HOUR * price:,.2f} at AWS's list price"
    return (
        f"The Spark job for large days took {terminal.duration(int(entry.large_day['seconds']))} "
        f"and {dpu_seconds:,} DPU-seconds{cost}."
    )
