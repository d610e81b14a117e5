"""The settings of each function, read from environment variables at each invocation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from pipeline.errors import SettingsError

_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """Settings of `intake`.

    The files of a batch are due `due_days` days after its day; then the scheduled check reports the missing ones. The
    name of a file whose day is more than `days_ahead` days in the future is reported as foreign.
    """

    bucket_name: str
    table_name: str
    state_machine_arn: str
    due_days: int = field(default=1, metadata={"minimum": 0})
    days_ahead: int = field(default=366, metadata={"minimum": 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSettings:
    """Settings of `transform`.

    `chunk_records` is the number of table writes per chunk file, `max_error_messages` the number of refused records of
    a file that get an error message. If more than `max_refused_percent` of a file's records are refused, the batch is
    held; so it is if a file has less than `min_day_percent` of its usual records, or if a correction would remove more
    than `max_removed_percent` of the results. `writer_grace_seconds` is how long a writer of a failed run may still be
    running: the timeout of `deliver`.

    With `large_days`, the Spark job processes a day that does not fit into the function, and each day whose files have
    at least `large_day_bytes` bytes; 0 means that only the function's own limits count. Lambda sets
    `aws_lambda_function_memory_size`, in MB.
    """

    bucket_name: str
    table_name: str
    state_machine_arn: str
    chunk_records: int = 5_000
    max_error_messages: int = 1_000
    max_refused_percent: int = field(default=20, metadata={"minimum": 0})
    min_day_percent: int = field(default=50, metadata={"minimum": 0})
    max_removed_percent: int = field(default=10, metadata={"minimum": 0})
    writer_grace_seconds: int = 300
    large_days: bool = False
    large_day_bytes: int = field(default=0, metadata={"minimum": 0})
    aws_lambda_function_memory_size: int = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverSettings:
    """Settings of `deliver`."""

    bucket_name: str
    table_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizeSettings:
    """Settings of `finalize`; `writer_grace_seconds` as for `transform`."""

    bucket_name: str
    table_name: str
    state_machine_arn: str
    writer_grace_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    """Settings of `publish`.

    `queue_url` is the output queue, `dead_letter_queue_url` the queue for messages that SQS refuses as the sender's
    fault. `partial_batch_responses` is whether the event source mapping supports `batchItemFailures`; if not, the
    function must fail as a whole for a retry.
    """

    table_name: str
    queue_url: str
    dead_letter_queue_url: str
    partial_batch_responses: bool = True


Settings = TypeVar("Settings", IntakeSettings, TransformSettings, DeliverSettings, FinalizeSettings, PublishSettings)


def read_settings(model: type[Settings], environment: Mapping[str, str] | None = None) -> Settings:
    """Read a function's settings from environment variables, which are named like the fields in upper case.

    Raises
    ------
    SettingsError
        Variables are missing or malformed; the error lists all of them.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in fields(model):
        name = setting.name.upper()
        text = source.get(name, "").strip()
        if text:
            try:
                values[setting.name] = _convert(text, str(setting.type), setting.metadata.get("minimum", 1))
            except ValueError as fault:
                faults.append(f"{name} is {text!r}, but must be {fault}")
        elif setting.default is MISSING:
            faults.append(f"{name} is not set")
    if faults:
        raise SettingsError(f"the environment is not complete: {'; '.join(faults)}")
    return model(**values)


def _convert(text: str, type_name: str, minimum: int) -> str | int | bool:
    if type_name == "bool":
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError("true or false")
    if type_name == "int":
        if text.isascii() and text.isdigit() and int(text) >= minimum:
            return int(text)
        raise ValueError(f"a whole number from {minimum} up")
    return text
