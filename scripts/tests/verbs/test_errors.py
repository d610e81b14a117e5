from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch


@pytest.fixture
def faulty(stack: Stack) -> Stack:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    entry = run_batch(stack)
    for line in (10, 2, 7, 3):
        stack.table.put(
            error_item(DAY, data_model.ITEMS, f"items_{DAY}.csv", line, "not_an_amount", f"'[b]{line}' is no amount")
        )
    stack.table.put(error_item(DAY, data_model.ORDERS, f"orders_{DAY}.csv", 5, "unknown_customer", "who?"))
    stack.put(f"feedback/{DAY}/{entry.version}/items_rejects.csv", b"line,code\n2,not_an_amount\n")
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


def test_json_has_all_errors(faulty: Stack, run: Run) -> None:
    found = json.loads(run("errors", DAY, "--json").stdout)
    assert [fault["line"] for fault in found["errors"]] == [2, 3, 7, 10, 5]
    assert found["by_code"][0] == {"code": "not_an_amount", "file": f"items_{DAY}.csv", "count": 4}
    assert found["state"] == "COMPLETED"


def test_the_refused_records_can_be_downloaded(faulty: Stack, run: Run, tmp_path: Path) -> None:
    result = run("errors", DAY, "--download", str(tmp_path / "there"))
    assert result.exit_code == 0
    file = tmp_path / "there" / f"{DAY}_items_rejects.csv"
    assert file.read_bytes() == b"line,code\n2,not_an_amount\n"
    assert str(file) in result.stdout


def test_a_batch_without_errors_and_an_unknown_one_differ(stack: Stack, run: Run) -> None:
    unknown = run("errors", DAY)
    assert (unknown.exit_code, "There is no batch 20220131." in unknown.stderr) == (1, True)
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    run_batch(stack)
    assert "Batch 20220131 has no errors." in run("errors", DAY).stdout
    assert "No file without a day was reported." in run("errors", "unknown").stdout
    assert run("errors", "20220231").exit_code == 2


def test_files_without_a_day_have_their_own_list(stack: Stack, run: Run) -> None:
    stack.table.put(
        {
            "pk": "batch#unknown",
            "sk": "error#file#0000000000#unknown_file#abc",
            "message": "notes.txt was not processed",
            "code": "unknown_file",
            "file": "notes.txt",
        }
    )
    assert "notes.txt was not processed" in run("errors", "unknown").stdout


def test_errors_beyond_those_with_a_message_are_counted_by_the_run(faulty: Stack, run: Run) -> None:
    summary = {"files": {"items": {"file": f"items_{DAY}.csv", "refused_by_code": {"not_an_amount": 4321}}}}
    faulty.table.update_ledger(DAY, lambda entry: replace(entry, summary=summary))
    result = run("errors", DAY, "--examples", "1")
    assert f"4,321 × not_an_amount  items_{DAY}.csv" in result.stdout
    assert "… and 4,320 more" in result.stdout
    assert json.loads(run("errors", DAY, "--json").stdout)["by_code"][0]["count"] == 4321
