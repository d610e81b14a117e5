"""Settings: all errors are reported together."""

from __future__ import annotations

import pytest
from pipeline.errors import SettingsError
from pipeline.model.batch_files import MAX_DAYS_AHEAD
from pipeline.settings import IntakeSettings, PublishSettings, TransformSettings, read_settings

COMPLETE = {"BUCKET_NAME": "b", "TABLE_NAME": "t", "STATE_MACHINE_ARN": "a"}


def test_defaults_apply_where_nothing_is_set() -> None:
    settings = read_settings(TransformSettings, COMPLETE)
    assert (settings.bucket_name, settings.chunk_records, settings.max_error_messages) == ("b", 5_000, 1_000)


def test_a_batch_may_by_default_lie_as_far_ahead_as_any_day_may() -> None:
    assert read_settings(IntakeSettings, COMPLETE).days_ahead == MAX_DAYS_AHEAD


def test_numbers_and_switches_are_read() -> None:
    assert read_settings(TransformSettings, {**COMPLETE, "CHUNK_RECORDS": " 7 "}).chunk_records == 7
    publish = {"TABLE_NAME": "t", "QUEUE_URL": "u", "DEAD_LETTER_QUEUE_URL": "d"}
    assert read_settings(PublishSettings, publish).partial_batch_responses
    assert not read_settings(PublishSettings, {**publish, "PARTIAL_BATCH_RESPONSES": "False"}).partial_batch_responses


def test_every_fault_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(TransformSettings, {"BUCKET_NAME": " ", "TABLE_NAME": "t", "CHUNK_RECORDS": "0"})
    assert str(caught.value) == (
        "settings are missing or malformed: BUCKET_NAME is not set; STATE_MACHINE_ARN is not set; "
        "CHUNK_RECORDS is '0', but must be a whole number from 1 up"
    )


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(SettingsError, match="PARTIAL_BATCH_RESPONSES is 'maybe', but must be true or false"):
        read_settings(
            PublishSettings,
            {"TABLE_NAME": "t", "QUEUE_URL": "u", "DEAD_LETTER_QUEUE_URL": "d", "PARTIAL_BATCH_RESPONSES": "maybe"},
        )


def test_a_value_that_is_not_one_of_those_allowed_is_refused_with_these() -> None:
    with pytest.raises(SettingsError, match="CONTROL_FILE is 'maybe', but must be accepted or required or off"):
        read_settings(IntakeSettings, {**COMPLETE, "CONTROL_FILE": "maybe"})
