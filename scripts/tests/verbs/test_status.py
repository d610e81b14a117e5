from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline_cli.output.terminal import clock
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch


@pytest.fixture
def sent(stack: Stack, run: Run, tmp_path: Path) -> Stack:
    generate(tmp_path, DAY, records=3)
    assert run("upload", str(tmp_path), "--no-wait").exit_code == 0
    return stack


def test_each_batch_is_listed_newest_first_with_what_is_missing(sent: Stack, run: Run) -> None:
    run_batch(sent)
    sent.put("incoming/orders_20220201.csv")
    sent.put("incoming/notes.txt", b"notes")

    result = run("status")

    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1][:4] == ["20220201", "WAITING", "waits", "for"]
    assert rows[2][:2] == [DAY, "COMPLETED"]
    assert "1 file without a batch file's name: .venv/bin/pipeline errors unknown" in result.stderr
    assert "1 older one" in run("status", "--last", "1").stderr

    # The partner has sent the same content under the right name.
    sent.put("incoming/items_20220201.csv", b"notes")
    assert "without a batch file's name" not in run("status").stderr


def test_a_batch_whose_files_have_expired_is_still_found_by_its_results(sent: Stack, run: Run) -> None:
    run_batch(sent)
    for key in list(sent.bucket.keys("incoming/")):
        sent.client("s3").delete_object(Bucket=sent.bucket.name, Key=key)
    sent.put(f"work/{DAY}/v/manifest.json")
    (found,) = json.loads(run("status", "--json").stdout)["batches"]
    assert (found["batch"], found["state"], found["missing"]) == (DAY, "COMPLETED", [])


def test_one_batch_shows_its_files_counts_and_runs(sent: Stack, run: Run) -> None:
    entry = run_batch(sent)
    result = run("status", DAY)
    assert result.exit_code == 0
    assert result.stdout.startswith("Batch 20220131 COMPLETED in ")
    assert f"items_{DAY}.csv" in result.stdout
    assert str(entry.execution) in result.stdout
    assert "What was wrong: .venv/bin/pipeline errors 20220131" in result.stdout


def test_a_completed_batch_whose_messages_are_not_sent_says_so(
    sent: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_batch(sent)
    mapping = {"State": "Enabled", "LastProcessingResult": "PROBLEM: Function call failed"}
    monkeypatch.setattr("pipeline_cli.deployment.publishing.mappings", lambda _: [mapping])
    assert "But results are in the table whose messages are not sent yet" in run("status", DAY).stdout
    assert "But results are in the table whose messages are not sent yet" in run("report", DAY, "--out", "-").stdout


def test_a_set_that_is_not_noticed_yet_is_shown_as_such(sent: Stack, run: Run) -> None:
    result = run("status", DAY)
    assert "all 3 files are there, not noticed yet" in result.stdout
    assert "send one of them again" in result.stdout
    (found,) = json.loads(run("status", "--json").stdout)["batches"]
    assert (found["not_noticed"], found["newer_set"]) == (True, False)
    replayed = run("replay", DAY)
    assert (replayed.exit_code, "all 3 files are there, not noticed yet" in replayed.stderr) == (1, True)


def test_an_empty_bucket_is_reported(stack: Stack, run: Run) -> None:
    assert "No batch has arrived yet" in run("status").stderr
    result = run("status", DAY)
    assert result.exit_code == 1
    assert "There is no batch 20220131" in result.stderr
    assert run("status", "tomorrow").exit_code == 2


def test_a_narrow_terminal_keeps_state_and_counts_and_says_what_it_leaves_out(sent: Stack, run: Run) -> None:
    run_batch(sent)
    wide, narrow = run("status"), run("status", columns="60")
    assert "Finished (UTC)" in wide.stdout
    assert narrow.stdout.splitlines()[0].split() == ["Batch", "State", "Progress", "or", "result"]
    assert max(len(line) for line in narrow.stdout.splitlines()) <= 60
    assert "This terminal is too narrow for: Errors, Took, Finished (UTC). --json has" in narrow.stderr


def test_a_file_name_is_never_broken(sent: Stack, run: Run) -> None:
    for columns in ("30", "45"):
        assert f"customers_{DAY}.csv" in run("status", DAY, columns=columns).stdout


def test_a_run_after_a_stopped_one_says_until_when_it_waits(sent: Stack, run: Run) -> None:
    run_batch(sent)
    until = datetime.now(UTC) + timedelta(minutes=5)
    sent.table.update_ledger(
        DAY, lambda entry: replace(ledger.replay(entry, datetime.now(UTC)), blocked_until=until.isoformat())
    )
    expected = f"waits until {clock(until)}, when no writer of the stopped run is left"
    assert expected in run("status", DAY).stdout
    assert expected in run("replay", DAY, "--no-wait").stderr


def test_a_large_day_that_is_over_shows_what_its_job_took(sent: Stack, run: Run) -> None:
    run_batch(sent)
    facts = {"run": "jr_1", "seconds": 600, "dpu_seconds": 6000}
    sent.table.update_ledger(DAY, lambda entry: replace(entry, large_day=facts))

    assert "The Spark job for large days took 10 min 0 s and 6,000 DPU-seconds." in run("status", DAY).stdout
    assert json.loads(run("status", DAY, "--json").stdout)["large_day"] == facts
