"""What the tests of the pages share: days as the pipeline leaves them, and the text of a page."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item
from pipeline_cli.verbs import check
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Stack

DAY = "20220131"
HOSTILE = '<script>alert("x")</script>&<b>'
REJECTS = "line,code,reason,record\n" + "".join(
    f'{line},not_an_amount,no,"o1,{name},1,x"\n'
    for line, name in enumerate((HOSTILE.replace('"', '""'), "n" * 400, "pen", "ink"), 3)
)


class Page(HTMLParser):
    """The page's text; fails if an element is not closed."""

    VOID = ("meta", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        self.attributes.append({"": tag, **dict(attrs)})
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in self.VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {' '.join(data.split())}" if data.strip() else ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a name."""
        return [given for given in self.attributes if given[""] == tag]


@functools.cache
def transformed(day: str, records: int) -> tuple[Mapping[str, bytes], Mapping[str, Any]]:
    """Generate and transform a day; return its files and its summary. Once, as each test needs the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = generate(folder / "day", day, records=records, defects=0.05).files
        content = {path.name: path.read_bytes() for path in files.values()}
        return content, check.run(day, files, folder / "work").summary.as_dict()


def complete(stack: Stack, day: str = DAY, records: int = 40) -> Ledger:
    """Run a day through the pipeline's own transform, and store its history and its errors."""
    files, summary = transformed(day, records)
    for name, content in files.items():
        stack.put(f"incoming/{name}", content)
    entry = close(stack, dict(summary), day=day)
    stack.put(f"feedback/{day}/{entry.version}/items_rejects.csv", REJECTS.encode())
    for line, reference in ((7, HOSTILE), (9, "c-9")):
        reason = f"customer_reference '{reference}' is not in the customers file"
        stack.table.put(
            error_item(
                day,
                data_model.ORDERS,
                f"orders_{day}.csv",
                line,
                "unknown_customer",
                reason,
                {"customer_reference": reference},
            )
        )
    return entry


def close(
    stack: Stack,
    summary: dict[str, Any],
    state: BatchState = BatchState.COMPLETED,
    cause: str = "",
    day: str = DAY,
) -> Ledger:
    """Run a day whose files are there, and close it."""
    files, now = stack.bucket.find_set(day), datetime.now(UTC)

    def change(entry: Ledger) -> Ledger:
        claimed = ledger.claim(entry, files, now)
        begun = ledger.begin(claimed, str(claimed.execution), now)
        end = now + timedelta(milliseconds=4347)
        return ledger.finish(begun, str(begun.execution), state, end, summary=summary, cause=cause or None)

    return stack.table.update_ledger(day, change)


def refuse(stack: Stack, day: str = DAY) -> Ledger:
    """A day whose items file could not be used."""
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{day}.csv", day.encode())
    name = f"items_{day}.csv"
    summary = {"state": "REFUSED", "files": {"items": {"file": name, "file_error": "html_file"}}}
    stack.table.put(error_item(day, data_model.ITEMS, name, None, "html_file", "the file is a web page"))
    return close(stack, summary, BatchState.FAILED, f"{name}: html_file", day)


def hold(stack: Stack, day: str = DAY) -> Ledger:
    """A day that is held, as too many records of its items file were refused."""
    files, made = transformed(day, records=40)
    for name, content in files.items():
        stack.put(f"incoming/{name}", content)
    summary: dict[str, Any] = copy.deepcopy(dict(made)) | {"state": "HELD", "incomplete_customers": 17}
    summary["files"]["items"]["too_many_refused"] = True
    reason = "25 of 99 records were refused (it is held where more than 20 % of a file's records are refused)"
    stack.table.put(error_item(day, data_model.ITEMS, f"items_{day}.csv", None, "too_many_refused", reason))
    return close(stack, summary, BatchState.HELD, f"items_{day}.csv: too_many_refused", day)
