"""The page about a batch: what it tells, that nothing on it is markup that should be text, and how it looks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import Kind
from pipeline.model.items import error_item
from pipeline_cli.commands import check, report
from pipeline_cli.commands.sample import generate
from pipeline_cli.operations.runs import Chunks, Runs, Stage
from pipeline_cli.report.distribution import Distribution, classes
from pipeline_cli.report.page import render

from scripts.tests.support import Run, Stack

DAY = "20220131"
HOSTILE = '<script>alert("x")</script>&<b>'


class Page(HTMLParser):
    """The page's text, and proof that what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {data.strip()}" if data.strip() else ""


@pytest.fixture
def completed(stack: Stack, tmp_path: Path) -> Stack:
    """A day that went through the pipeline's own transform, with its chunk files and its history."""
    files = generate(tmp_path / "day", DAY, customers=40, defects=0.05).files
    for path in files.values():
        stack.put(f"incoming/{path.name}", path.read_bytes())
    outcome = check.run(DAY, files, tmp_path / "work")
    entry = close(stack, outcome.summary.as_dict())
    folder = f"work/{DAY}/{entry.version}"
    chunks = [{"key": f"{folder}/chunks/{chunk.path.name}", "records": chunk.records} for chunk in outcome.chunks]
    for chunk, known in zip(outcome.chunks, chunks, strict=True):
        stack.put(str(known["key"]), chunk.path.read_bytes())
    stack.put(f"{folder}/manifest.json", json.dumps(chunks).encode())
    stack.put(f"feedback/{DAY}/{entry.version}/items_rejects.csv")
    for line, reference in ((7, HOSTILE), (9, "c-9")):
        reason = f"customer_reference '{reference}' is not in the customers file"
        stack.table.put(error_item(DAY, Kind.ORDERS, f"orders_{DAY}.csv", line, "unknown_customer", reason, reference))
    return stack


def close(stack: Stack, summary: dict[str, Any], state: BatchState = BatchState.COMPLETED, cause: str = "") -> Ledger:
    files, now = stack.bucket.find_set(DAY), datetime.now(UTC)

    def change(entry: Ledger) -> Ledger:
        claimed = ledger.claim(entry, files, now)
        begun = ledger.begin(claimed, str(claimed.execution), now)
        end = now + timedelta(seconds=4)
        return ledger.finish(begun, str(begun.execution), state, end, summary=summary, cause=cause or None)

    return stack.table.update_ledger(DAY, change)


@pytest.fixture
def page(completed: Stack, run: Run, tmp_path: Path) -> str:
    file = tmp_path / "report.html"
    result = run("report", DAY, "--out", str(file))
    assert result.exit_code == 0, result.output
    assert f"Written: {file}" in result.stdout
    assert "Target: the local AWS" in result.stderr
    return file.read_text(encoding="utf-8")


def test_the_page_tells_what_arrived_what_was_refused_and_how_the_books_stand(completed: Stack, page: str) -> None:
    found = Page(page)
    entry = completed.table.get_ledger(DAY)
    assert entry is not None
    for part in (
        "31 January 2022",
        "COMPLETED",
        f"items_{DAY}.csv",
        "comma-delimited, decimal point",
        f"{int(entry.summary['customers']):,} customers",
        "✓ holds",
        f"s3://files/feedback/{DAY}/{entry.version}/items_rejects.csv",
        "Orders per customer",
        "Amount per customer",
        str(entry.execution),
    ):
        assert part in found.text, part
    assert "✗" not in found.text
    assert found.seen.count("svg") >= 3


def test_what_a_partner_wrote_is_text_on_the_page(page: str) -> None:
    assert "<script" not in page
    assert f"customer_reference '{HOSTILE}' is not in the customers file" in Page(page).text


def test_the_page_needs_nothing_from_a_network(page: str) -> None:
    for attribute in ("src=", "href=", "url(", "@import", "http://", "https://"):
        assert attribute not in page
    assert "Content-Security-Policy" in page


def test_no_customer_is_named(page: str) -> None:
    from pipeline_cli.commands.sample import FIRST_NAMES, LAST_NAMES

    words = set(Page(page).text.split())
    assert not words & {*FIRST_NAMES, *LAST_NAMES}


def test_chunk_files_that_are_gone_are_said_to_be(completed: Stack, run: Run) -> None:
    for key in list(completed.bucket.keys(f"work/{DAY}/")):
        completed.client("s3").delete_object(Bucket=completed.bucket.name, Key=key)
    result = run("report", DAY, "--out", "-")
    assert "have been cleaned up since" in Page(result.stdout).text


def test_books_that_differ_from_what_was_delivered_show(completed: Stack, run: Run) -> None:
    entry = completed.table.get_ledger(DAY)
    assert entry is not None
    (key,) = completed.bucket.keys(f"work/{DAY}/{entry.version}/chunks/")
    completed.put(key, json.dumps(put("c1", 1, "5")).encode())
    assert "✗ differs" in Page(run("report", DAY, "--out", "-").stdout).text


def test_a_batch_that_waits_has_a_page_too(stack: Stack, run: Run) -> None:
    stack.put(f"incoming/orders_{DAY}.csv")
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "WAITING : waits for customers and items" in text
    assert "has not arrived" in text
    assert "Nothing is delivered yet." in text


def test_a_refused_batch_shows_the_file_and_why(stack: Stack, run: Run) -> None:
    for kind in Kind:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    name = f"items_{DAY}.csv"
    close(stack, {"state": "REFUSED", "files": {"items": {"file": name, "file_error": "html_file"}}}, BatchState.FAILED,
          f"{name}: html_file")  # fmt: skip
    text = Page(run("report", DAY, "--out", "-").stdout).text
    assert "FAILED" in text
    assert "can't be used: html_file" in text
    assert f"Cause: {name}: html_file" in text


def test_without_the_batch_there_is_no_page(stack: Stack, run: Run) -> None:
    result = run("report", DAY)
    assert result.exit_code == 1
    assert f"There is no batch {DAY}" in result.stderr
    assert run("report", "tomorrow").exit_code == 2
    assert not Path(f"report_{DAY}.html").exists()


def put(customer: str, orders: int, spent: str) -> dict[str, Any]:
    item = {"pk": {"S": f"customer#{customer}"}, "number_of_orders": {"N": str(orders)}}
    return {"PutRequest": {"Item": {**item, "total_amount_spent": {"N": spent}}}}


def test_customers_are_counted_in_classes_that_widen() -> None:
    found = Distribution().count(
        [
            put("a", 0, "0"),
            put("b", 3, "0.99"),
            put("c", 9, "1"),
            put("d", 10, "99.9999"),
            put("e", 49, "-3"),
            put("f", 50, "20000"),
            {"PutRequest": {"Item": {"pk": {"S": "batch#20220131"}, "message": {"S": "no result"}}}},
            {"DeleteRequest": {"Key": {}}},
        ]
    )
    assert (found.customers, str(found.total), str(found.largest)) == (6, "20098.9899", "20000")
    assert found.orders == {0: 1, 3: 1, 9: 1, 10: 1, 20: 1, 50: 1}
    assert found.amounts == {0: 1, 1: 1, 50: 1, None: 1, 20000: 1}
    assert classes(found.orders, 10) == [*range(10), 10, 20, 50]
    assert classes(found.amounts, 1)[:6] == [None, 0, 1, 2, 5, 10]


class StepFunctions:
    """Step Functions as far as a run's story goes."""

    def __init__(self, events: list[dict[str, Any]], runs: list[dict[str, Any]] | None = None, code: str = "") -> None:
        self.events, self.runs, self.code = events, runs or [], code

    def get_paginator(self, _: str) -> StepFunctions:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        self._fail()
        half = len(self.events) // 2
        yield {"events": self.events[:half]}
        yield {"events": self.events[half:]}

    def list_map_runs(self, **_: Any) -> dict[str, Any]:
        self._fail()
        return {"mapRuns": self.runs}

    def describe_map_run(self, **wanted: Any) -> dict[str, Any]:
        (run,) = [run for run in self.runs if run["mapRunArn"] == wanted["mapRunArn"]]
        return {"itemCounts": run["counts"]}

    def _fail(self) -> None:
        if self.code:
            raise ClientError({"Error": {"Code": self.code}}, "GetExecutionHistory")


START = datetime(2022, 2, 1, 6, 0, tzinfo=UTC)


def event(second: float, kind: str, name: str = "") -> dict[str, Any]:
    side = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
    return {"timestamp": START + timedelta(seconds=second), "type": kind, **({side: {"name": name}} if name else {})}


def runs_of(*events: dict[str, Any], code: str = "") -> Runs:
    return Runs("arn:aws:states:eu-west-1:1:stateMachine:batch", StepFunctions(list(events), code=code))  # type: ignore[arg-type]


def test_stages_are_told_from_the_history_with_their_failures() -> None:
    runs = runs_of(
        event(0, "ExecutionStarted"),
        event(0, "PassStateEntered", "Begin"),
        event(0, "PassStateExited", "Begin"),
        event(1, "TaskStateEntered", "Transform"),
        event(2, "TaskFailed"),
        event(4, "TaskSucceeded"),
        event(5, "TaskStateExited", "Transform"),
        event(5, "MapStateEntered", "Deliver"),
        event(7, "MapRunFailed"),
        event(8, "TaskStateEntered", "RunFailed"),
        event(9, "TaskStateExited", "RunFailed"),
        event(9, "ExecutionFailed"),
    )
    assert runs.stages("x", START) == [
        Stage("Transform", 1, 4, failures=1),
        Stage("Deliver", 5, 3, failures=1),
        Stage("RunFailed", 8, 1),
    ]


def test_the_stage_at_work_has_no_end_and_a_stopped_one_ends_with_its_run() -> None:
    begun = event(0, "ExecutionStarted"), event(1, "TaskStateEntered", "Transform")
    assert runs_of(*begun).stages("x", START + timedelta(seconds=3)) == [Stage("Transform", 1, 2, over=False)]
    assert runs_of(*begun, event(5, "ExecutionAborted")).stages("x", START) == [Stage("Transform", 1, 4)]


def test_a_run_that_is_forgotten_has_no_stages_but_another_failure_is_one() -> None:
    assert runs_of(code="ExecutionDoesNotExist").stages("x", START) == []
    assert runs_of(code="ExecutionDoesNotExist").chunks("x") is None
    for ask in (lambda runs: runs.stages("x", START), lambda runs: runs.chunks("x")):
        with pytest.raises(ClientError):
            ask(runs_of(code="ThrottlingException"))


def test_the_newest_map_run_counts_the_chunks() -> None:
    runs = [
        {"mapRunArn": "old", "startDate": START, "counts": {"succeeded": 1, "total": 9}},
        {"mapRunArn": "new", "startDate": START + timedelta(seconds=1), "counts": {"succeeded": 4, "total": 9}},
    ]
    assert Runs("arn", StepFunctions([], runs)).chunks("x") == Chunks(4, 9)  # type: ignore[arg-type]
    assert runs_of().chunks("x") is None


# --- in a browser ------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
DARK, LIGHT = 0, 1


def screenshot(page: Path, scheme: int, width: int) -> tuple[Image.Image, list[str]]:
    """Open a page, return what it looks like and what the browser's console said."""
    target = page.with_name(f"{scheme}-{width}.png")
    profile = page.with_name(f"profile-{scheme}-{width}")
    done = subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={width},2400",
            f"--screenshot={target}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(page.parent)},
    )
    with Image.open(target) as image:
        return image.convert("L"), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium on this machine (apt install chromium)"
)
def test_a_browser_shows_the_page_light_and_dark_without_complaint(page: str, tmp_path: Path) -> None:
    assert CHROMIUM, "continuous integration needs Chromium: apt-get install chromium"
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    for scheme, ground in ((LIGHT, range(240, 256)), (DARK, range(40))):
        for width in (1100, 420):
            image, complaints = screenshot(file, scheme, width)
            assert complaints == []
            assert image.getpixel((2, 2)) in ground
            # Ink, bars and lines on the ground, not an empty page.
            assert sum(count for count, shade in image.getcolors() or () if shade not in ground) > 10_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (apt install chromium)")
def test_the_browser_test_would_see_a_complaint(tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<script>console.error('x')</script>")
    assert screenshot(file, LIGHT, 420)[1]


def test_a_page_of_a_run_at_work_says_so(completed: Stack) -> None:
    found = report.gather(completed.target, DAY)
    stages = [Stage("Transform", 0, 2), Stage("Deliver", 2, 61, failures=2, over=False)]
    text = Page(render(report.Report(**{**{n: getattr(found, n) for n in found.__slots__}, "stages": stages}))).text
    assert "1 min 1 s, failed 2 times so far" in text
