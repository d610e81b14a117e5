"""`make consume` shows the example consumer's state, and runs on the local AWS only."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.verbs import consume

from examples.consumer import consumer
from scripts.tests.support import Run, Stack


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with more changes than a screen shows, one of them a removal."""
    file = tmp_path / "consumer.sqlite"
    with closing(sqlite3.connect(file)) as rows, rows:
        rows.executescript(consumer.SCHEMA)
        for number in range(12):
            body = {"type": "customer_message", "customer_reference": f"c-{number:02}"}
            body |= {"number_of_orders": 2, "total_amount_spent": 1234.5}
            if number == 1:
                body = {"type": "customer_removed", "customer_reference": "c-01"}
            values = (f"c-{number:02}", json.dumps(body))
            rows.execute("INSERT INTO changes (customer_reference, batch, body) VALUES (?, '20220131', ?)", values)
    return file


def test_what_a_run_changed_is_shown(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    consume.show(state, since=0)
    shown = capsys.readouterr().out
    assert "20220131  removed   c-01" in shown
    assert "2 orders          1,234.5" in shown
    assert "… and 2 more changes" in shown
    assert "12 changes in this run. The state has 12 changes and 0 errors" in shown

    consume.show(state, since=consume.last_change(state))
    assert capsys.readouterr().out.startswith("0 changes in this run.")


def test_a_state_that_is_not_there_yet_has_no_changes(tmp_path: Path) -> None:
    assert consume.last_change(tmp_path / "none.sqlite") == 0
    (tmp_path / "empty.sqlite").touch()
    assert consume.last_change(tmp_path / "empty.sqlite") == 0


def test_a_failed_consumer_is_reported(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "failing.py"
    failing.write_text("raise SystemExit(3)")
    monkeypatch.setattr(consume, "EXAMPLE", failing)
    with pytest.raises(CommandError, match="ended with exit code 3"):
        consume.consume(stack.target, tmp_path / "state.sqlite")


def test_it_takes_no_messages_from_an_account(stack: Stack, run: Run) -> None:
    stack.send({"type": "customer_removed", "customer_reference": "c"})
    result = run("consume", "--env", "dev")
    assert result.exit_code == 2
    assert "runs on the local AWS only" in result.stderr
    assert stack.waiting("output") == 1
