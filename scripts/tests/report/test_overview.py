"""The page of all days: held and failed days on top, trends, a row for each day, links to the pages of days."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pipeline.ledger import Ledger

from scripts.tests.report.support import Page, close, complete, hold, refuse
from scripts.tests.support import Run, Stack

DAYS = ("20220129", "20220130", "20220131")
REFUSED, HELD, WAITING = "20220127", "20220128", "20220201"


@pytest.fixture
def days(stack: Stack) -> Stack:
    """Three completed days, a failed and a held one before them, and one that waits after them."""
    for number, day in enumerate(DAYS):
        complete(stack, day, records=20 + 10 * number)
    refuse(stack, REFUSED)
    hold(stack, HELD)
    stack.put(f"incoming/orders_{WAITING}.csv")
    return stack


def written(run: Run, *arguments: str, file: Path) -> Page:
    result = run("report", "--out", str(file), *arguments)
    assert result.exit_code == 0, result.output
    assert f"Written: {file}" in result.stdout
    return Page(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_held_and_failed_days_stand_on_top_with_cause_and_advice(days: Stack, run: Run, tmp_path: Path) -> None:
    text = written(run, file=tmp_path / "all.html").text
    top, rest = text.split("Trends", 1)
    assert "27 January 2022 FAILED Partner: Nothing was delivered" in top
    assert "28 January 2022 HELD Partner: Nothing was delivered" in top
    assert f"Operator: To deliver the day as it is: .venv/bin/pipeline release {HELD}" in top
    assert "1 February 2022 waits for customers and items." in top
    assert "30 January 2022" not in top
    assert [rest.index(f" {day} Jan 2022 COMPLETED") for day in (31, 30, 29)] == sorted(
        rest.index(f" {day} Jan 2022 COMPLETED") for day in (31, 30, 29)
    )


def test_each_bar_of_a_trend_carries_its_day_and_value(days: Stack, run: Run, tmp_path: Path) -> None:
    page = written(run, file=tmp_path / "all.html")
    customers = {day: int(_entry(days, day).summary["customers"]) for day in DAYS}
    assert len(page.all("ol")) == 4
    assert all(drawing["aria-labelledby"] for drawing in page.all("ol"))
    for day, number in customers.items():
        assert f" {int(day[-2:])} Jan 2022: {number} " in page.text
    assert "29 Jan 2022: no value" not in page.text
    assert "28 Jan 2022: no value" in page.text  # what is held is not delivered
    (held,) = re.findall(r"28 Jan 2022 HELD ([\d,.()% ]+?) 4.3 s", page.text)
    assert held.split()[-1] == "17", "the held day has 17 incomplete totals"


@pytest.mark.slow
def test_links_lead_only_to_pages_that_exist(days: Stack, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.html"
    assert written(run, file=file).all("a") == []

    run("report", DAYS[0], "--out", str(tmp_path / f"report_{DAYS[0]}.html"))
    assert [link["href"] for link in written(run, file=file).all("a")] == [f"report_{DAYS[0]}.html"]

    file = tmp_path / "new" / "folder" / "all.html"
    links = {str(link["href"]) for link in written(run, "--all", file=file).all("a")}
    assert links == {f"report_{day}.html" for day in (*DAYS, REFUSED, HELD, WAITING)}
    every = sorted((*DAYS, REFUSED, HELD, WAITING))
    for before, one, after in zip(["", *every], every, [*every[1:], ""], strict=False):
        around = [f"report_{other}.html" for other in (before, after) if other]
        found = [str(back["href"]) for back in Page(file.with_name(f"report_{one}.html").read_text()).all("a")]
        assert [link for link in found if not link.startswith("#")] == ["all.html", *around]


def test_a_calendar_day_of_which_nothing_arrived_is_a_gap_in_the_trends(stack: Stack, run: Run) -> None:
    for day in ("20220102", "20220104", "20220131"):
        complete(stack, day, records=20)
    page = run("report", "--out", "-").stdout
    assert page.count('title="10 Jan 2022: nothing arrived"') == page.count("<ol")
    assert page.count("<li") == 28 * page.count("<ol"), "as many days as have room side by side on a phone"


@pytest.mark.parametrize("arguments", [(DAYS[0], "--all"), ("--all", "--out", "-")])
def test_all_pages_need_a_place_and_no_single_day(stack: Stack, run: Run, arguments: tuple[str, ...]) -> None:
    result = run("report", *arguments)
    assert result.exit_code == 2
    assert "--all writes the pages of all days into files" in result.stderr


def test_an_empty_bucket_has_a_page_that_says_so(stack: Stack, run: Run, tmp_path: Path) -> None:
    page = written(run, file=tmp_path / "all.html")
    assert "No day has arrived yet." in page.text
    assert "table" not in page.seen


def test_one_day_has_no_trend_and_files_without_a_day_are_counted(stack: Stack, run: Run) -> None:
    complete(stack)
    stack.put("incoming/holiday.jpg")
    page = Page(run("report", "--out", "-").stdout)
    assert "Trends" not in page.text
    assert "31 Jan 2022" in page.text
    assert page.all("a") == [], "what goes to standard output has no pages beside it"
    assert "1 file has a name that is no batch file's: .venv/bin/pipeline errors unknown" in page.text


def test_refunds_below_zero_have_a_value_and_no_bar(stack: Stack, run: Run) -> None:
    for day, total in (("20220130", "-5.5"), ("20220131", "10")):
        for kind in ("customers", "orders", "items"):
            stack.put(f"incoming/{kind}_{day}.csv", day.encode())
        close(stack, _summary(total), day=day)
    page = run("report", "--out", "-").stdout
    assert 'style="--share: 0.000" title="30 Jan 2022: -5.5"' in page
    assert 'style="--share: 1.000" title="31 Jan 2022: 10"' in page


def _summary(total: str) -> dict[str, Any]:
    files = {"items": {"file": "items.csv", "read": 1, "counted": 1, "refused": 0}}
    return {"state": "READY", "customers": 1, "orders": 1, "items": 1, "total_amount": total, "files": files}


def _entry(stack: Stack, day: str) -> Ledger:
    entry = stack.table.get_ledger(day)
    assert entry is not None
    return entry
