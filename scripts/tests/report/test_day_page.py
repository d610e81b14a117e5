"""The page about a day: what it shows, that what a partner wrote is text on it, and that nobody is named."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline.ledger import Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item
from pipeline_cli.deployment.runs import Stage
from pipeline_cli.report import day

from scripts.tests.report.support import DAY, HOSTILE, Page, complete, hold, refuse
from scripts.tests.support import Run, Stack


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


def test_the_page_shows_what_arrived_what_was_refused_and_how_the_totals_reconcile(completed: Stack, page: str) -> None:
    found = Page(page)
    entry = completed.table.get_ledger(DAY)
    assert entry is not None
    for part in (
        "31 January 2022",
        "COMPLETED",
        f"items_{DAY}.csv",
        "comma-delimited, decimal point",
        "✓ holds",
        f"s3://pipeline-test/feedback/{DAY}/{entry.version}/items_rejects.csv",
        "Reconciled: ",
        "its run took 4.0 s",
        str(entry.execution),
    ):
        assert part in found.text, part
    assert "✗" not in found.text


def test_what_a_partner_wrote_is_text_on_the_page(page: str) -> None:
    assert "<script" not in page
    assert f"customer_reference '{HOSTILE}' is not in the customers file" in Page(page).text


def test_bidirectional_marks_are_escaped(completed: Stack) -> None:
    reason = "order_reference '\u202efdp.exe' is not in the orders file"
    completed.table.put(error_item(DAY, data_model.ITEMS, f"items_{DAY}.csv", 3, "unknown_order", reason))
    page = day.page(completed.target, DAY)
    assert "\u202e" not in page
    assert "\\u202efdp.exe" in page


def test_the_page_needs_nothing_from_a_network(page: str) -> None:
    for attribute in ("src=", "href=", "url(", "@import", "http://", "https://"):
        assert attribute not in page
    assert "Content-Security-Policy" in page


def test_a_screen_reader_finds_a_language_headings_in_order_and_a_scope_for_each_heading_cell(page: str) -> None:
    found = Page(page)
    levels = [int(tag[1]) for tag in found.seen if tag in ("h1", "h2", "h3", "h4")]
    assert found.all("html")[0]["lang"] == "en"
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert {cell.get("scope") for cell in found.all("th")} == {"col", "row"}
    assert len(found.all("caption")) + len(found.all("figcaption")) == len(found.all("table"))


def test_a_column_that_is_empty_in_every_row_is_left_out(completed: Stack, page: str) -> None:
    assert "Columns ignored" not in page
    entry = completed.table.get_ledger(DAY)
    assert entry is not None
    assert not any(file["ignored_columns"] for file in entry.summary["files"].values())


def test_the_page_uses_no_internal_terms(page: str) -> None:
    for word in ("chunk", "books", "ledger", "Step Functions", "manifest"):
        assert word not in Page(page).text.lower(), word


def test_a_batch_that_waits_has_a_page_too(stack: Stack, run: Run) -> None:
    stack.put(f"incoming/orders_{DAY}.csv")
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "WAITING for customers and items." in text
    assert "has not arrived" in text


def test_a_refused_batch_shows_the_file_why_and_what_to_do(stack: Stack, run: Run) -> None:
    refuse(stack)
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "FAILED" in text
    assert "can't be used: html_file" in text
    assert f"Cause: items_{DAY}.csv: html_file" in text
    assert f"Partner: Nothing was delivered, as items_{DAY}.csv can't be used: correct and send again." in text
    assert "Operator" not in text


def test_a_failed_run_shows_the_operator_what_to_do_and_the_partner_that_it_must_wait(stack: Stack, run: Run) -> None:
    entry = refuse(stack)
    stack.table.update_ledger(DAY, lambda found: replace(found, summary={}, cause="MemoryError: 3 GB"))
    text = Page(run("report", DAY, "--out", "-", "--env", "dev").stdout).text
    assert "MemoryError: 3 GB" in text
    assert f"pipeline replay {DAY} --env dev" in text
    assert "send the files again only when asked to" in text
    assert str(entry.execution) in text


def test_a_held_day_shows_why_what_a_release_would_deliver_and_what_to_do(stack: Stack, run: Run) -> None:
    hold(stack)
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "HELD at" in text
    assert f"Cause: items_{DAY}.csv: too_many_refused" in text
    assert f"Partner: Nothing was delivered, as too many records of items_{DAY}.csv were refused" in text
    assert f"Operator: To deliver the day as it is: .venv/bin/pipeline release {DAY}" in text
    assert "The figures below are what a release would deliver. Nothing of them was delivered." in text
    assert "customers with incomplete totals 17" in text
    assert "✓ holds" in text


def test_the_page_says_that_results_of_an_earlier_version_stay(stack: Stack, run: Run) -> None:
    hold(stack)
    stack.table.update_ledger(DAY, lambda found: replace(found, delivered=("0000000000000000",)))
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "Nothing of them was delivered; what an earlier version of the day delivered stays." in text


def test_a_run_that_failed_during_delivery_says_so(stack: Stack, run: Run) -> None:
    refuse(stack)
    stack.table.update_ledger(DAY, lambda found: replace(found, summary={}, delivered=(str(found.version),)))
    assert "a part of the results may have been delivered" in Page(run("report", DAY, "--out", "-").stdout).text


def test_files_that_are_not_noticed_yet_are_shown(stack: Stack, run: Run) -> None:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "WAITING although all its files are there: the pipeline has not noticed them yet." in text


def test_a_large_day_shows_what_its_job_took_and_costs(completed: Stack) -> None:
    facts = {"run": "jr_1", "seconds": 750, "dpu_seconds": 7500}
    completed.table.update_ledger(DAY, lambda entry: replace(entry, large_day=facts))

    text = Page(day.page(completed.target, DAY)).text

    assert "The Spark job for large days took 12 min 30 s and 7,500 DPU-seconds, about $0.92" in text


def test_a_run_in_progress_is_shown_with_its_failures(completed: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [Stage("Transform", 0, 2), Stage("Deliver", 2, 61, failures=2, over=False), Stage("Weigh", 63, 2)]
    monkeypatch.setattr(day.Runs, "stages", lambda *_: stages)
    text = Page(day.page(completed.target, DAY)).text
    assert "(failed 2 times) 1 min 1 s so far" in text
    assert "Weigh 2.0 s" in text, "a stage that is not known is named as the state machine names it"


def test_control_totals_that_differ_show(completed: Stack, run: Run) -> None:
    def other(entry: Ledger) -> Ledger:
        totals = {**entry.summary["reconciliation"], "delivered_amount": "5"}
        return replace(entry, summary={**entry.summary, "reconciliation": totals})

    completed.table.update_ledger(DAY, other)
    assert "✗ differs" in Page(run("report", DAY, "--out", "-").stdout).text


def test_without_the_batch_there_is_no_page(stack: Stack, run: Run) -> None:
    result = run("report", DAY)
    assert result.exit_code == 1
    assert f"There is no batch {DAY}" in result.stderr
    assert run("report", "tomorrow").exit_code == 2
    assert not Path(f"report_{DAY}.html").exists()
