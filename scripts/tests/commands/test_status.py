from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline.ledger import BatchState
from pipeline_cli.operations.sample import generate

from scripts.tests.commands.test_upload import DAY, run_batch
from scripts.tests.support import Run, Stack


@pytest.fixture
def sent(stack: Stack, run: Run, tmp_path: Path) -> Stack:
    generate(tmp_path, DAY, customers=3)
    assert run("upload", str(tmp_path), "--no-wait").exit_code == 0
    return stack


def test_each_batch_is_listed_newest_first_with_what_is_missing(sent: Stack, run: Run) -> None:
    run_batch(sent)
    sent.put("incoming/orders_20220201.csv")
    sent.put("incoming/notes.txt")

    result = run("status")

    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1][:6] == ["20220201", "WAITING", "no", "customers,", "no", "items"]
    assert rows[2][:10] == [DAY, "COMPLETED", "all", "3", "2", "3", "4", "1", "of", "5"]
    assert "1 file without a batch file's name: pipeline errors unknown" in result.stderr


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
    assert "What was wrong: pipeline errors 20220131" in result.stdout


def test_a_failed_batch_shows_its_cause(sent: Stack, run: Run) -> None:
    run_batch(sent, BatchState.FAILED, "[disk] full")
    result = run("status", DAY)
    assert result.exit_code == 0
    assert "FAILED" in result.stdout
    assert "[disk] full" in result.stdout


def test_a_set_that_nobody_has_noticed_says_so(sent: Stack, run: Run) -> None:
    result = run("status", DAY)
    assert "has not taken note of it yet" in result.stdout
    (found,) = json.loads(run("status", "--json").stdout)["batches"]
    assert found["newer_set"] is True


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


def test_nothing_there_is_said(stack: Stack, run: Run) -> None:
    assert "No batch has arrived yet" in run("status").stderr
    result = run("status", DAY)
    assert result.exit_code == 1
    assert "There is no batch 20220131" in result.stderr
    assert run("status", "tomorrow").exit_code == 2
