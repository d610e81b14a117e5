"""A held day for the operator: what status shows, what release does and refuses, and what the partner reads."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.stages.feedback import publish_verdict
from pipeline_cli.output.errors import CommandError
from pipeline_cli.verbs import check
from pipeline_cli.verbs.release import find_held, release

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_check import DAY, write

WRONG = [f"o1,Lamp,1,{number}.x" for number in range(30)]


@pytest.fixture
def held(stack: Stack, tmp_path: Path) -> Ledger:
    """A day whose prices are invalid, after its run."""
    folder = write(tmp_path / "day", items=WRONG)
    for path in folder.iterdir():
        stack.put(f"incoming/{path.name}", path.read_bytes())
    outcome = check.run(DAY, {kind: folder / f"{kind}_{DAY}.csv" for kind in MODEL.kinds}, tmp_path / "work")
    files, now = stack.bucket.find_set(DAY), datetime.now(UTC)

    def hold(entry: Ledger) -> Ledger:
        queued = ledger.claim(entry, files, now)
        begun = ledger.begin(queued, str(queued.execution), now)
        summary = {**outcome.summary.as_dict(), "examples": "work/examples.json"}
        cause = f"items_{DAY}.csv: too_many_refused"
        return ledger.finish(begun, str(queued.execution), BatchState.HELD, now, summary=summary, cause=cause)

    stack.bucket.put_json("work/examples.json", outcome.examples)
    entry = stack.table.update_ledger(DAY, hold)
    stack.put(f"feedback/{DAY}/{entry.version}/items_rejects.csv", outcome.rejects[data_model.ITEMS].read_bytes())
    publish_verdict(stack.bucket, stack.table, DAY)
    return entry


def test_status_says_why_and_what_to_do(held: Ledger, run: Run) -> None:
    result = run("status", DAY)

    assert f"Batch {DAY} HELD" in result.stdout
    assert "items_20220131.csv: too_many_refused" in result.stdout
    assert "1 customer has an incomplete total" in result.stdout
    assert f"deliver the batch as it is: .venv/bin/pipeline release {DAY}" in result.stdout
    (found,) = json.loads(run("status", "--json").stdout)["batches"]
    assert found["state"] == "HELD"


def test_a_release_says_what_it_delivers_and_starts_the_same_set_without_the_gate(
    held: Ledger, stack: Stack, run: Run
) -> None:
    result = run("release", DAY, "--no-wait")

    assert result.exit_code == 0, result.output
    assert f"This delivers batch {DAY}: 2 customers, 2 orders, 2 items; 30 of 36 records refused" in result.stderr
    assert "total amount spent 87.5." in result.stderr
    entry = stack.table.get_ledger(DAY)
    assert entry is not None
    assert (entry.state, entry.released, entry.version) == (BatchState.QUEUED, held.version, held.version)
    executions = stack.client("stepfunctions").list_executions(stateMachineArn=stack.target.output("state_machine_arn"))
    assert [one["name"] for one in executions["executions"]] == [f"{held.execution}-2"]


def test_a_release_is_printed_as_json(held: Ledger, run: Run) -> None:
    result = run("release", DAY, "--no-wait", "--json")

    assert json.loads(result.stdout) == {"batch": DAY, "execution": f"{held.execution}-2", "state": "QUEUED"}


def test_on_another_target_a_release_asks_first(held: Ledger, stack: Stack, run: Run) -> None:
    refused = run("--env", "prod", "release", DAY, "--no-wait", answers="no\n")
    assert refused.exit_code == 1
    assert "This delivers batch 20220131" in refused.stderr
    assert "nothing was done" in refused.stderr
    assert stack.table.get_ledger(DAY) == held

    assert run("--env", "prod", "release", DAY, "--no-wait", answers="prod\n").exit_code == 0


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.FAILED, BatchState.QUEUED])
def test_a_batch_that_is_not_held_is_not_released(held: Ledger, stack: Stack, run: Run, state: BatchState) -> None:
    stack.table.update_ledger(DAY, lambda entry: ledger.replace(entry, state=state))

    result = run("release", DAY)

    assert result.exit_code == 1
    assert f"Batch {DAY} is {state}, not HELD: there is nothing to release." in result.stderr


def test_an_unknown_batch_is_not_released(stack: Stack, run: Run) -> None:
    result = run("release", DAY)

    assert (result.exit_code, "is not known, not HELD" in result.stderr) == (1, True)


@pytest.mark.parametrize("change", ["corrected", "deleted"])
def test_changed_files_are_not_released(held: Ledger, stack: Stack, run: Run, change: str) -> None:
    key = f"incoming/items_{DAY}.csv"
    if change == "corrected":
        stack.put(key, b"corrected")
    else:
        stack.client("s3").delete_object(Bucket=stack.bucket.name, Key=key)

    result = run("release", DAY)

    assert result.exit_code == 1
    assert "have changed since it was held: nothing was released" in result.stderr
    assert stack.table.get_ledger(DAY) == held


def test_a_correction_that_comes_between_the_look_and_the_release_wins(held: Ledger, stack: Stack) -> None:
    found = find_held(stack.table, stack.bucket, DAY)
    stack.put(f"incoming/items_{DAY}.csv", b"corrected")
    claim = functools.partial(ledger.claim, files=stack.bucket.find_set(DAY), now=datetime.now(UTC))
    corrected = stack.table.update_ledger(DAY, claim)

    with pytest.raises(CommandError, match="nothing was released"):
        release(stack.table, stack.target.workflow, found)
    assert stack.table.get_ledger(DAY) == corrected


def test_the_verdict_is_shown_for_people_and_for_machines(held: Ledger, stack: Stack, run: Run) -> None:
    result = run("feedback", DAY)

    assert result.exit_code == 0, result.output
    assert f"Batch {DAY} HELD" in result.stdout
    assert "What to do: Nothing was delivered, as too many records of items_20220131.csv were refused" in result.stdout
    assert "30 × not_an_amount  items_20220131.csv" in result.stdout
    assert "total_price '2.x' is not a plain decimal number" in result.stdout
    assert "total_price '3.x'" not in result.stdout
    assert f"s3://{stack.bucket.name}/feedback/{DAY}/{held.version}/items_rejects.csv" in result.stdout
    assert json.loads(run("feedback", DAY, "--json").stdout)["state"] == "HELD"


def test_the_verdict_and_the_refused_records_are_copied(held: Ledger, run: Run, tmp_path: Path) -> None:
    assert run("feedback", DAY, "--download", str(tmp_path / "there")).exit_code == 0

    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        f"{DAY}_items_rejects.csv",
        f"{DAY}_verdict.json",
    ]
    assert "o1,Lamp,1,0.x" in (tmp_path / "there" / f"{DAY}_items_rejects.csv").read_text()


def test_a_partner_names_the_bucket_and_needs_no_deployment(
    held: Ledger, stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_cli.terraform.target.load", lambda _: pytest.fail("asked for the deployment"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    assert f"Batch {DAY} HELD" in run("feedback", DAY, "--bucket", stack.bucket.name).stdout


def test_a_missing_verdict_is_reported(stack: Stack, run: Run) -> None:
    result = run("feedback", DAY)

    assert result.exit_code == 1
    assert "There is no verdict on batch 20220131 yet." in result.stderr
    assert run("feedback", "tomorrow").exit_code == 2


def test_a_day_that_would_be_held_is_exit_code_3(tmp_path: Path, run: Run) -> None:
    result = run("check", str(write(tmp_path / "day", items=WRONG)), "--out", str(tmp_path / "out.jsonl"))

    assert result.exit_code == 3
    assert "would be held, as too many records of items_20220131.csv were refused" in result.stdout
    sent = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [message["code"] for message in sent] == ["too_many_refused"] + ["not_an_amount"] * 30


def test_a_release_says_how_many_results_it_removes(stack: Stack, held: Ledger, run: Run) -> None:
    summary = {**held.summary, "removed_customers": 1000}
    stack.table.update_ledger(DAY, lambda entry: replace(entry, summary=summary))

    result = run("release", DAY, "--no-wait")

    assert "This removes 1,000 customers that an earlier version delivered." in result.stderr
