from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pipeline_cli.output.errors import UsageError
from pipeline_cli.verbs.logs import Event, is_trace, line, seconds

from scripts.tests.support import Run, Stack

START = int(time.time() * 1000) - 60_000


def write(stack: Stack, function: str, *entries: tuple[int, Any]) -> None:
    logs, group = stack.client("logs"), f"/aws/lambda/{function}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    events = [
        {"timestamp": START + moment, "message": text if isinstance(text, str) else json.dumps(text)}
        for moment, text in entries
    ]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def test_all_functions_are_merged_in_the_order_of_time_without_noise(stack: Stack, run: Run) -> None:
    write(
        stack,
        "intake",
        (0, "START RequestId: 1"),
        (1, {"level": "INFO", "message": "run started", "batch": "20220131", "location": "x"}),
        (5, {"level": "ERROR", "message": "late [x]", "batch": "20220201", "exception_name": "OSError"}),
        (6, '{"_aws":{}}'),
    )
    write(
        stack,
        "transform",
        (3, {"level": "WARNING", "message": "busy", "execution": "20220131-abc"}),
        (4, "Traceback (most recent call last):"),
        (4, "  File"),
    )

    result = run("logs")

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [row.split()[2] for row in lines] == ["intake", "transform", "intake"]
    assert lines[0].endswith("INFO    run started batch=20220131")
    assert "late [x]" in lines[2]
    assert "OSError" in lines[2]
    assert len(run("logs", "--full").stdout.splitlines()) == 5
    assert "  File" in run("logs", "--full").stdout


def test_one_batch_is_followed_across_functions(stack: Stack, run: Run) -> None:
    write(stack, "intake", (1, {"message": "a", "batch": "20220131"}), (2, {"message": "b", "batch": "20220201"}))
    write(stack, "transform", (3, {"message": "c", "execution": "20220131-abc"}))
    result = run("logs", "20220131", "--json")
    assert [json.loads(row)["message"] for row in result.stdout.splitlines()] == ["a", "c"]


def test_functions_without_a_log_group_are_left_out(stack: Stack, run: Run) -> None:
    result = run("logs", "20220131", "--since", "5m")
    assert result.exit_code == 0
    assert "Nothing was logged in the last 5m about 20220131. Look further back: " in result.stderr
    assert result.stderr.rstrip().endswith("pipeline logs 20220131 --since 2d")


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259200),
     *((wrong, None) for wrong in ("", "1", "h", "1.5h", "-1h", "٣h"))],
)  # fmt: skip
def test_a_duration_is_parsed_or_refused(text: str, value: int | None) -> None:
    if value is None:
        with pytest.raises(UsageError, match="90s, 15m, 2h or 3d"):
            seconds(text)
    else:
        assert seconds(text) == value
    assert seconds("99999999999999999999d") <= time.time(), "nothing is older than 1970"


TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    raise ValueError("no")\nValueError: no'


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"level": "ERROR", "message": "failed", "exception": TRACE, "exception_name": "ValueError"}),
        json.dumps({"level": "ERROR", "errorMessage": "no", "errorType": "ValueError", "stackTrace": ["File x.py"]}),
        TRACE,
        "[ERROR] ValueError: no\r" + TRACE.replace("\n", "\r"),
    ],
)
def test_an_exception_is_one_line_that_says_the_error(text: str) -> None:
    assert not is_trace(text)
    shown = line(Event(0, "transform", text))
    assert "\n" not in shown
    assert "ValueError" in shown
    assert "no" in shown
    assert "x.py" not in shown
    assert shown.startswith("[dim]01-01 00:00:00.000Z[/]"), "times are UTC and say so"
