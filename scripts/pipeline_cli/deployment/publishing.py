"""Whether the messages about what is in the table are sent: publish and its place in the table's stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline_cli.output import terminal

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

LATE_SECONDS = 120
WINDOW = timedelta(minutes=15)


def mappings(target: Target) -> list[Any]:
    """Return the event source mappings through which publish gets the changes of the table."""
    name = target.output("function_names")["publish"]
    found: list[Any] = target.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    return found


def behind(target: Target) -> str | None:
    """Say that changes are in the table whose messages are not sent yet; None if there is no sign of that.

    The signs are the last result of the mapping ("LastProcessingResult", Lambda API Reference), which is a problem as
    long as publish fails, and the age of the oldest change that waits ("IteratorAge", Lambda developer guide, metrics).
    """
    for mapping in mappings(target):
        result = str(mapping.get("LastProcessingResult", ""))
        if mapping.get("State") == "Disabled":
            return "messages are not sent: publish is switched off (its event source mapping is disabled)"
        if result and not result.startswith(("OK", "No records")):
            return f"results are in the table whose messages are not sent yet: publish fails ({result})"
    now = datetime.now(UTC)
    points = target.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="IteratorAge",
        Dimensions=[{"Name": "FunctionName", "Value": target.output("function_names")["publish"]}],
        StartTime=now - WINDOW,
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    if newest and newest["Maximum"] / 1000 > LATE_SECONDS:
        age = terminal.duration(newest["Maximum"] / 1000)
        return f"results are in the table whose messages are not sent yet: the oldest has waited for {age}"
    return None
