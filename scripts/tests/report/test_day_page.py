"""The page about a day: what it shows, and that what a partner wrote is text on it."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pipeline.ledger import BatchState
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item
from pipeline.stages.feedback import publish_verdict
from pipeline_cli.deployment import feedback
from pipeline_cli.deployment.runs import Stage
from pipeline_cli.report import day

from scripts.tests.report.support import DAY, HOSTILE, Page, close, complete, hold, refuse
from scripts.tests.support import Run, Stack

ITEMS = f"items_{DAY}.csv"


@pytest.fixture
def completed(stack: Stack) -> Stack:
    complete(stack)
    return stack


@pytest.fixture
def page(completed: Stack, run: Run, tmp_path: Path) -> str:
    file = tmp_path / "report.html"
    result = run("report", DAY, "--out", str(file))
    assert result.exit_code == 0, result.output
    assert f"Written: {file}" in result.stdout
    assert "Target: the local AWS" in result.stderr
    return file.read_text(encoding="utf-8")


def change(stack: Stack, **values: Any) -> None:
    stack.table.update_ledger(DAY, lambda entry: replace(entry, **values))


def arrive(stack: Stack, *kinds: str) -> None:
    for kind in kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")


def fail(stack: Stack) -> None:
    refuse(stack)
    change(stack, summary={}, cause="MemoryError: 3 GB")


def break_off(stack: Stack) -> None:
    version = refuse(stack).version
    change(stack, summary={}, delivered=(version,))


def hold_a_correction(stack: Stack) -> None:
    hold(stack)
    change(stack, delivered=("0000000000000000",))


def complete_large(stack: Stack) -> None:
    complete(stack)
    change(stack, large_day={"run": "jr_1", "seconds": 750, "dpu_seconds": 7500})


def differ(stack: Stack) -> None:
    summary = complete(stack).summary
    change(stack, summary={**summary, "reconciliation": {**summary["reconciliation"], "delivered_amount": "5"}})


@pytest.mark.parametrize(
    ("happen", "shown", "hidden"),
    [
        (complete, ["its run took 4.3 s", "comma-delimited, decimal point", "✓ holds", "Reconciled: "], ["✗"]),
        (lambda stack: arrive(stack, "orders"), ["WAITING for customers and items.", "has not arrived"], []),
        (lambda stack: arrive(stack, *MODEL.kinds), ["WAITING although all its files are there"], []),
        (
            refuse,
            [
                "FAILED at",
                "can't be used: html_file",
                f"{ITEMS}: the file is a web page",
                f"Partner: Nothing was delivered, as {ITEMS} can't be used: correct and send again.",
            ],
            ["Operator"],
        ),
        (fail, ["MemoryError: 3 GB", f"pipeline replay {DAY} --env dev", "send the files again only when asked"], []),
        (break_off, ["a part of the results may have been delivered"], []),
        (
            hold,
            [
                f"its run took 4.3 s. {ITEMS}: 25 of 99 records were refused (it is held where more than 20 %",
                f"Partner: Nothing was delivered, as too many records of {ITEMS} were refused",
                f"Operator: To deliver the day as it is: .venv/bin/pipeline release {DAY} --env dev",
                "A release would deliver the figures below: ",
                "Nothing of them was delivered.",
                "customers with incomplete totals 17",
            ],
            ["an earlier version"],
        ),
        (hold_a_correction, ["was delivered; what an earlier version of the day delivered stays."], []),
        (complete_large, ["Spark job for large days took 12 min 30 s and 7,500 DPU-seconds."], []),
        (differ, ["✗ differs"], []),
    ],
)
def test_the_page_says_what_happened_and_what_to_do(
    stack: Stack, run: Run, happen: Callable[[Stack], object], shown: list[str], hidden: list[str]
) -> None:
    happen(stack)
    text = Page(run("report", DAY, "--out", "-", "--env", "dev").stdout).text
    assert [part for part in shown if part not in text] == [], text
    assert [part for part in hidden if part in text] == [], text


def test_the_page_names_the_day_its_run_and_the_files_of_refused_records(completed: Stack, page: str) -> None:
    text, entry = Page(page).text, completed.table.get_ledger(DAY)
    assert entry is not None
    rejects = f"s3://pipeline-test/feedback/{DAY}/{entry.version}/items_rejects.csv"
    for part in ("31 January 2022 COMPLETED at", ITEMS, rejects, str(entry.execution)):
        assert part in text
    for word in ("chunk", "books", "ledger", "Step Functions", "manifest"):
        assert word not in text, "a term that only developers know"
    assert "Columns ignored" not in text, "no row has any"


def test_what_a_partner_wrote_is_text_on_the_page_with_directional_marks_escaped(completed: Stack) -> None:
    reason = "order_reference '\u202efdp.exe' is not in the orders file"
    completed.table.put(error_item(DAY, data_model.ITEMS, ITEMS, 3, "unknown_order", reason))
    page = day.page(completed.target, DAY)
    assert "<script" not in page
    assert f"customer_reference '{HOSTILE}' is not in the customers file" in Page(page).text
    assert "\u202e" not in page
    assert "\\u202efdp.exe" in page


def test_the_first_refused_records_are_quoted_as_they_were_read_and_cut_if_they_are_long(page: str) -> None:
    text = Page(page).text
    assert f"Line Code Record 3 not_an_amount o1,{HOSTILE},1,x 4 not_an_amount o1,nnn" in text
    assert f" o1,{'n' * 297}… 5 not_an_amount o1,pen,1,x " in text
    assert "ink" not in text


@pytest.mark.parametrize(
    ("cut", "records"),
    [
        (',y"\n4,not', ["o1,a\x0c\u2028\nx,y"]),
        (',y"\n4,not_an_amount,no,', ["o1,a\x0c\u2028\nx,y", ""]),
        ("", ["o1,a\x0c\u2028\nx"]),
    ],
)
def test_the_beginning_of_a_rejects_file_may_end_anywhere(cut: str, records: list[str]) -> None:
    beginning = f'line,code,reason,record\n3,not_an_amount,no,"o1,a\x0c\u2028\nx{cut}'
    assert [row["record"] for row in feedback.first_refused(beginning.encode(), 3)] == records


def test_the_page_needs_nothing_from_a_network(page: str) -> None:
    for attribute in ("src=", "href=", "url(", "@import", "http://", "https://"):
        assert attribute not in page.replace('href="#', "")
    assert "Content-Security-Policy" in page


def test_a_screen_reader_finds_a_language_headings_in_order_and_a_scope_for_each_heading_cell(page: str) -> None:
    found = Page(page)
    levels = [int(tag[1]) for tag in found.seen if tag in ("h1", "h2", "h3", "h4")]
    assert found.all("html")[0]["lang"] == "en"
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert {cell.get("scope") for cell in found.all("th")} == {"col", "row"}
    assert len(found.all("caption")) + len(found.all("figcaption")) == len(found.all("table"))


def test_a_run_in_progress_is_shown_with_its_failures(completed: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [Stage("Transform", 0, 2), Stage("Deliver", 2, 61, failures=2, over=False), Stage("Weigh", 63, 2)]
    monkeypatch.setattr(day.Runs, "stages", lambda *_: stages)
    text = Page(day.page(completed.target, DAY)).text
    assert "(failed 2 times) 1 min 1 s so far" in text
    assert "Weigh 2.0 s" in text, "a stage that is not known is named as the state machine names it"


def test_each_error_code_leads_to_its_errors_and_records_of_nobody_are_counted(stack: Stack) -> None:
    summary = complete(stack).summary
    change(stack, summary={**summary, "unassigned_records": 3})
    page = Page(day.page(stack.target, DAY))
    assert [link["href"] for link in page.all("a")] == ["#unknown_customer"]
    assert [section.get("id") for section in page.all("section")] == ["unknown_customer"]
    assert "refused records of unknown customers: any total may lack them 3" in page.text


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.HELD])
def test_a_correction_is_compared_with_the_version_delivered_before(stack: Stack, state: BatchState) -> None:
    before = complete(stack).summary
    publish_verdict(stack.bucket, stack.table, DAY)
    stack.put(f"incoming/items_{DAY}.csv", b"corrected")
    after = copy.deepcopy(before)
    after["files"]["items"]["counted"] += 3
    after["files"]["customers"]["counted"] -= 1
    after["removed_customers"] = 3
    after["files"]["items"]["held_by"] = ["cut_short"] if state is BatchState.HELD else []
    after["reconciliation"]["delivered_amount"] = str(Decimal(before["reconciliation"]["delivered_amount"]) - 10)
    close(stack, after, state)

    text = Page(day.page(stack.target, DAY)).text

    items = before["files"]["items"]["counted"]
    assert f"items counted {items} {items + 3} 3" in text, text
    assert "customers added 2 customers removed -3" in text, text
    entry = stack.table.get_ledger(DAY)
    assert entry is not None
    between = {**entry.history[0], "execution": f"{DAY}-0000000000000000", "state": "SUPERSEDED"}
    change(stack, history=(entry.history[0], between, *entry.history[1:]))
    assert "customers added" not in Page(day.page(stack.target, DAY)).text, "it may have delivered a part"
    assert re.search(r"total amount spent \S+ \S+ -10 ", text), text
    complete(stack, "20220201")
    assert "What this version changes" not in Page(day.page(stack.target, "20220201")).text


def test_without_the_batch_there_is_no_page(stack: Stack, run: Run) -> None:
    result = run("report", DAY)
    assert result.exit_code == 1
    assert f"There is no batch {DAY}" in result.stderr
    assert run("report", "tomorrow").exit_code == 2
    assert not Path(f"report_{DAY}.html").exists()
