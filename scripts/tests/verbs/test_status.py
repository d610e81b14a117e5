from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState
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
    assert rows[1][:6] == ["20220201", "WAITING", "no", "customers,", "no", "items"]
    assert rows[2][:10] == [DAY, "COMPLETED", "all", "3", "1", "of", "5", "1", "2", "3"]
    assert "1 file without a batch file's name: .venv/bin/pipeline errors unknown" in result.stderr

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


def test_a_failed_batch_shows_its_cause(sent: Stack, run: Run) -> None:
    run_batch(sent, BatchState.FAILED, "[disk] full")
    result = run("status", DAY)
    assert result.exit_code == 0
    assert "FAILED" in result.stdout
    assert "[disk] full" in result.stdout


def test_a_set_that_is_not_noticed_yet_is_shown_as_such(sent: Stack, run: Run) -> None:
    result = run("status", DAY)
    assert "all 3 files are there, not noticed yet" in result.stdout
    assert "send one of them again" in result.stdout
    (found,) = json.loads(run("status", "--json").stdout)["batches"]
    assert (found["not_noticed"], found["newer_set"]) == (True, False)
    assert "all 3, not noticed yet" in run("status").stdout
    replayed = run("replay", DAY)
    assert replayed.exit_code == 1
    assert "all 3 files are there, not noticed yet" in replayed.stderr


def test_a_corrected_file_shows_as_a_newer_set(sent: Stack, run: Run) -> None:
    run_batch(sent)
    sent.put(f"incoming/items_{DAY}.csv", b"corrected")
    assert "newer set" in run("status").stdout
    assert "A newer set of files lies in the bucket" in run("status", DAY).stdout


def test_only_the_newest_batches_are_shown_unless_more_are_asked_for(stack: Stack, run: Run) -> None:
    for day in range(1, 6):
        stack.put(f"incoming/orders_2022010{day}.csv")
    result = run("status", "--last", "2")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:] if line.startswith("2022")] == [
        "20220105",
        "20220104",
    ]
    assert "3 older ones" in result.stderr


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
    lines = narrow.stdout.splitlines()
    assert lines[0].split() == ["Batch", "State", "Files", "Refused", "Errors", "Customers"]
    assert len(lines) == len(wide.stdout.splitlines()), "no row is folded"
    assert max(len(line) for line in lines) <= 60
    assert "This terminal is too narrow for: Orders, Items, Took, Finished (UTC). --json has" in narrow.stderr


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


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("status",), ("status", "--json")])
def test_a_closed_pipe_ends_the_command_without_an_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = """
from pipeline_cli import app
from pipeline_cli.verbs import status
from pipeline_cli.terraform import target
outputs = {"bucket_name": "b", "table_name": "t"}
target.load = lambda _: target.Target("local", "eu-west-1", "http://127.0.0.1:1", outputs)
status.find_batches = lambda *_: (["20220131"] * 9, ["incoming/x"] * 20_000)
status.read = lambda *_: [status.BatchStatus("20220131", {}, None)] * 1_000
app.main()
"""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert not [line for line in errors.splitlines() if "Error" in line or "Traceback" in line or "roken" in line]


def hand_over(stack: Stack, **progress: object) -> None:
    """Let the Spark job for large days process the day, and report that it is at a step."""
    files, now = stack.bucket.find_set(DAY), datetime.now(UTC)

    def begun(entry: ledger.Ledger) -> ledger.Ledger:
        claimed = ledger.claim(entry, files, now)
        return ledger.submit_job(ledger.begin(claimed, str(claimed.execution), now), str(claimed.execution))

    entry = stack.table.update_ledger(DAY, begun)
    if progress:
        key = f"work/{DAY}/{entry.version}/large_day/progress.json"
        stack.bucket.put_json(key, {"execution": entry.execution, **progress})


def test_a_large_day_shows_the_step_of_its_job(sent: Stack, run: Run) -> None:
    hand_over(sent)
    assert "The Spark job for large days: not begun yet." in run("status", DAY).stdout

    hand_over(sent, step="join", number=8, of=14, since="2022-02-01T06:00:00+00:00")
    shown = run("status", DAY).stdout
    assert "The Spark job for large days: step 8 of 14: join." in shown

    hand_over(sent, execution="20220131-an-earlier-run", step="join", number=8, of=14, since="2022-02-01T06:00:00Z")
    assert "not begun yet" in run("status", DAY).stdout


def test_a_large_day_that_is_over_shows_what_its_job_took_and_costs(
    sent: Stack, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_batch(sent)
    facts = {"run": "jr_1", "seconds": 600, "dpu_seconds": 6000}
    sent.table.update_ledger(DAY, lambda entry: replace(entry, large_day=facts))

    took = "The Spark job for large days took 10 min 0 s and 6,000 DPU-seconds"
    assert f"{took}, about $0.73 at AWS's list price." in run("status", DAY).stdout
    assert json.loads(run("status", DAY, "--json").stdout)["large_day"] == facts
    monkeypatch.setattr("pipeline_cli.deployment.runs.PRICES", tmp_path / "none")
    assert f"{took}." in run("status", DAY).stdout
