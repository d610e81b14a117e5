"""The settings of each function, each declared once, and read from environment variables at each invocation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from pipeline.errors import SettingsError

CONTROL_FILE = ("accepted", "required", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    table_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverSettings(_Table):
    """Settings of `deliver`."""

    bucket_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs(DeliverSettings):
    state_machine_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings(_Runs):
    """Settings of `intake`."""

    due_days: int = field(default=1, metadata={"minimum": 0})
    """Days from a batch's day to the scheduled check, which reports the files that are missing."""
    days_ahead: int = field(default=366, metadata={"minimum": 0})
    """A file whose day is more days in the future has a foreign name."""
    days_back: int = 366
    """So has one whose day is more days in the past."""
    max_error_messages: int = 1_000
    """So many foreign names a day get an error message."""
    control_file: str = field(default="accepted", metadata={"allowed": CONTROL_FILE})
    """Whether a control file is required in a set, counts when it is there, or has a foreign name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizeSettings(_Runs):
    """Settings of `finalize`."""

    writer_grace_seconds: int = 300
    """How long a writer of a failed run may still be running: the timeout of `deliver`."""


@dataclass(frozen=True, kw_only=True)  # without slots, as one of a class's bases may have them
class VerdictSettings:
    """The settings on which a verdict depends. `transform` publishes them, so that `csv-check` can use the same."""

    max_error_messages: int = 1_000
    """Refused records of a file that get an error message."""
    max_refused_percent: int = field(default=20, metadata={"minimum": 0})
    """If a larger share of a file's records is refused, the batch is held."""
    min_day_percent: int = field(default=50, metadata={"minimum": 0})
    """So it is if a file has a smaller share of its usual records."""
    max_removed_percent: int = field(default=10, metadata={"minimum": 0})
    """So it is if a correction would remove a larger share of the results."""
    decimal_mark: str = field(default="auto", metadata={"allowed": ("auto", "point", "comma")})
    """The decimal mark of amounts, or that they show it."""
    control_file: str = field(default="accepted", metadata={"allowed": CONTROL_FILE})
    """Whether a control file is required in a set, counts when it is there, or has a foreign name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSettings(FinalizeSettings, VerdictSettings):
    """Settings of `transform`."""

    chunk_records: int = 5_000
    """Table writes per chunk file."""
    large_days: bool = False
    """Whether the Spark job processes a day that does not fit into the function."""
    large_day_bytes: int = field(default=0, metadata={"minimum": 0})
    """It also processes each day whose files have at least so many bytes; 0 for no such days."""
    aws_lambda_function_memory_size: int = 2_048
    """Memory in MB; Lambda sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings(_Table):
    """Settings of `publish`."""

    queue_url: str
    """The output queue."""
    dead_letter_queue_url: str
    """The queue for messages that SQS refuses as the sender's fault."""
    partial_batch_responses: bool = True
    """Whether the event source mapping supports `batchItemFailures`; if not, the function fails as a whole."""


Settings = TypeVar(
    "Settings", IntakeSettings, VerdictSettings, TransformSettings, DeliverSettings, FinalizeSettings, PublishSettings
)


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
                values[setting.name] = _convert(text, str(setting.type), setting.metadata)
            except ValueError as fault:
                faults.append(f"{name} is {text!r}, but must be {fault}")
        elif setting.default is MISSING:
            faults.append(f"{name} is not set")
    if faults:
        raise SettingsError(f"settings are missing or malformed: {'; '.join(faults)}")
    return model(**values)


def _convert(text: str, type_name: str, limits: Mapping[Any, Any]) -> str | int | bool:
    minimum, allowed = limits.get("minimum", 1), limits.get("allowed", (text,))
    if type_name == "bool":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError("true or false")
    if type_name == "int":
        if text.isascii() and text.isdigit() and int(text) >= minimum:
            return int(text)
        raise ValueError(f"a whole number from {minimum} up")
    if text not in allowed:
        raise ValueError(" or ".join(allowed))
    return text


def published(settings: VerdictSettings) -> dict[str, str | int]:
    """Return what the file `feedback/settings.json` says (docs/contracts/settings.schema.json)."""
    return {setting.name: getattr(settings, setting.name) for setting in fields(VerdictSettings)}


def read_published(values: Mapping[str, object]) -> VerdictSettings:
    """Read what `published` returned; settings that this release does not know are ignored, others have defaults.

    Raises
    ------
    SettingsError
        Values are malformed; the error lists all of them.
    """
    return read_settings(VerdictSettings, {name.upper(): str(value) for name, value in values.items()})
