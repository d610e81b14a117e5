"""`errors` and `feedback`: what was wrong with a batch, for the operator and as the partner reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item
from pipeline.stages.feedback import publish_verdict
from pipeline_cli.verbs import check

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_check import write
from scripts.tests.verbs.test_upload import DAY, run_batch

REJECTS = b'line,code,reason,record\n2,not_an_amount,why,"o1,Lamp,1,0.x"\n'


@pytest.fixture
def faulty(stack: Stack) -> Stack:
    """A completed batch with refused records."""
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    entry = run_batch(stack)
    for line in (10, 2, 7, 3):
        stack.table.put(
            error_item(DAY, data_model.ITEMS, f"items_{DAY}.csv", line, "not_an_amount", f"'[b]{line}' is no amount")
        )
    stack.table.put(error_item(DAY, data_model.ORDERS, f"orders_{DAY}.csv", 5, "unknown_customer", "who?"))
    stack.put(f"feedback/{DAY}/{entry.version}/items_rejects.csv", REJECTS)
    return stack


def test_errors_are_grouped_by_code_with_the_first_examples_by_line(faulty: Stack, run: Run) -> None:
    result = run("errors", DAY, "--examples", "2")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == f"4 × not_an_amount  items_{DAY}.csv"
    assert "line 2: '[b]2' is no amount" in lines[1]
    assert "line 3: '[b]3' is no amount" in lines[2]
    assert lines[3] == "… and 2 more"
    assert lines[4] == f"1 × unknown_customer  orders_{DAY}.csv"
    assert f"s3://pipeline-test/feedback/{DAY}/" in lines[6]

    found = json.loads(run("errors", DAY, "--json").stdout)
    assert [fault["line"] for fault in found["errors"]] == [2, 3, 7, 10, 5]
    assert found["by_code"][0] == {"code": "not_an_amount", "file": f"items_{DAY}.csv", "count": 4}
    assert found["state"] == "COMPLETED"


def test_errors_beyond_those_with_a_message_are_counted_by_the_run(faulty: Stack, run: Run) -> None:
    summary = {"files": {"items": {"file": f"items_{DAY}.csv", "refused_by_code": {"not_an_amount": 4321}}}}
    faulty.table.update_ledger(DAY, lambda entry: replace(entry, summary=summary))
    result = run("errors", DAY, "--examples", "1")
    assert f"4,321 × not_an_amount  items_{DAY}.csv" in result.stdout
    assert "… and 4,320 more" in result.stdout


def test_a_batch_without_errors_and_an_unknown_one_differ(stack: Stack, run: Run) -> None:
    unknown = run("errors", DAY)
    assert (unknown.exit_code, "There is no batch 20220131." in unknown.stderr) == (1, True)
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    run_batch(stack)
    assert "Batch 20220131 has no errors." in run("errors", DAY).stdout
    assert run("errors", "20220231").exit_code == 2


# --- the verdict ---------------------------------------------------------------------------------------------------


@pytest.fixture
def held(stack: Stack, tmp_path: Path) -> Ledger:
    """A batch whose prices are invalid, held after its run, with its verdict."""
    folder = write(tmp_path / "day", items=[f"o1,Lamp,1,{number}.x" for number in range(30)])
    for path in folder.iterdir():
        stack.put(f"incoming/{path.name}", path.read_bytes())
    outcome = check.run(DAY, {kind: folder / f"{kind}_{DAY}.csv" for kind in MODEL.kinds}, tmp_path / "work")
    stack.bucket.put_json("work/examples.json", outcome.examples)
    run_batch(stack, BatchState.HELD, f"items_{DAY}.csv: too_many_refused")
    summary = outcome.summary.as_dict() | {"examples": "work/examples.json"}
    entry = stack.table.update_ledger(DAY, lambda entry: replace(entry, summary=summary))
    stack.put(f"feedback/{DAY}/{entry.version}/items_rejects.csv", REJECTS)
    publish_verdict(stack.bucket, stack.table, DAY)
    return entry


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
    run("feedback", DAY, "--download", str(tmp_path / "there"))

    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        f"{DAY}_items_rejects.csv",
        f"{DAY}_verdict.json",
    ]
    assert (tmp_path / "there" / f"{DAY}_items_rejects.csv").read_bytes() == REJECTS


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
