"""Structured logs and metrics for every function, created on first use so that an import has no side effects."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.errors import RetryableError

Reply = TypeVar("Reply")
Handler = Callable[[dict[str, Any], LambdaContext], Reply]


class Metric(StrEnum):
    """The metrics that the functions emit; alarms and the dashboard use no others."""

    FILES_RECEIVED = "FilesReceived"
    FOREIGN_FILES = "ForeignFiles"
    MISSING_FILES = "MissingFiles"
    RECORDS_READ = "RecordsRead"
    RECORDS_REFUSED = "RecordsRefused"
    ITEMS_WRITTEN = "ItemsWritten"
    MESSAGES_SENT = "MessagesSent"
    BATCHES_COMPLETED = "BatchesCompleted"
    BATCHES_HELD = "BatchesHeld"
    BATCHES_FAILED = "BatchesFailed"
    BATCHES_SUPERSEDED = "BatchesSuperseded"
    RUNS_CLOSED_LATE = "RunsClosedLate"
    BATCH_DURATION = "BatchDuration"


@functools.cache
def logger() -> Logger:
    """Return the JSON logger. Never log the content of a file or a whole event."""
    return Logger(use_rfc3339=True, utc=True)


@functools.cache
def metrics() -> Metrics:
    """Return the CloudWatch metrics of this invocation (embedded metric format, no API calls)."""
    return Metrics()


def count(metric: Metric, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Add a value to a metric."""
    metrics().add_metric(name=metric.value, unit=unit, value=value)


def instrument(handler: Handler[Reply]) -> Handler[Reply]:
    """Add the request id and the event's batch to each log line of a handler, emit its metrics, and count cold starts.

    The exception of a function that fails is logged here. Lambda logs it too, but without the batch, so that a search
    for the batch would not find it.
    """

    @functools.wraps(handler)
    def logged(event: dict[str, Any], context: LambdaContext) -> Reply:
        if isinstance(event.get("batch"), str):
            logger().append_keys(batch=event["batch"])
        try:
            return handler(event, context)
        except RetryableError as error:
            logger().warning("to be tried again", cause=f"{type(error).__name__}: {error}")
            raise
        except Exception:
            logger().exception("failed")
            raise

    @functools.cache
    def instrumented() -> Handler[Reply]:
        # An invocation without metrics is normal.
        warnings.filterwarnings("ignore", message="No application metrics to publish")
        with_metrics = metrics().log_metrics(logged, capture_cold_start_metric=True)
        return logger().inject_lambda_context(with_metrics, clear_state=True)

    @functools.wraps(handler)
    def entry(event: dict[str, Any], context: LambdaContext) -> Reply:
        return instrumented()(event, context)

    return entry
