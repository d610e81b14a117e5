"""The page of a batch report, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import INCOMING_PREFIX, Kind
from pipeline.model.messages import number_text

from pipeline_cli.operations.batches import BatchStatus, duration_of
from pipeline_cli.operations.runs import STAGES, Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.summary import Numbers, amount, read_as
from pipeline_cli.report.charts import Bar, columns, rows
from pipeline_cli.report.distribution import SINGLE, Distribution, class_name, classes
from pipeline_cli.report.markup import Markup, join, tag

if TYPE_CHECKING:
    from pipeline_cli.commands.report import Report

TEMPLATE = Path(__file__).with_name("template.html")
STYLES = {BatchState.COMPLETED: "good", BatchState.FAILED: "bad"}


def render(report: Report) -> str:
    """Return the page as HTML."""
    entry = report.status.ledger
    summary = entry.summary if entry else {}
    body = [
        _head(report, summary),
        _arrived(report.status, summary),
        _books(summary, report.results),
        _refused(report),
        _customers(report.results, entry),
        _stages(report.stages, entry),
        _versions(entry),
        tag(
            "footer",
            tag(
                "p",
                f"Made {_moment(report.made_at.isoformat())} from {report.target}. All times are UTC, amounts exact.",
            ),
            tag("p", "The page names customers and orders by their references only."),
        ),
    ]
    title = f"Batch {report.status.batch} {report.status.state}"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=join(title), body="\n".join(part for part in body if part)
    )


def _head(report: Report, summary: Mapping[str, Any]) -> Markup:
    status, entry = report.status, report.status.ledger
    day = datetime.strptime(status.batch, "%Y%m%d").replace(tzinfo=UTC)
    seconds = duration_of(entry, report.made_at)
    told: list[object] = [tag("span", status.state, class_=f"state {STYLES.get(status.state, 'warn')}")]
    if entry and entry.finished_at and seconds is not None:
        told.append(f" at {_moment(entry.finished_at)}, {terminal.duration(seconds)} after the set was complete.")
    elif status.missing:
        told.append(f": waits for {' and '.join(status.missing)}.")
    else:
        told.append(": not finished when this page was made.")
    if entry and entry.cause:
        told.append(join(" Cause: ", tag("span", entry.cause, class_="bad"), "."))
    newer = tag("p", "A newer set of files lies in the bucket and is not noticed yet.", class_="warn")
    return join(
        tag(
            "header",
            tag("p", f"csv-pipeline · {report.target} · batch {status.batch}", class_="eyebrow"),
            tag("h1", f"{day.day} {day:%B %Y}"),
            tag("p", *told),
            newer if entry and entry.version and status.corrected else None,
        ),
        _tiles(summary),
    )


def _tiles(summary: Mapping[str, Any]) -> Markup | None:
    numbers = Numbers.of(summary)
    if not numbers.read:
        return None
    facts = {
        "customers": f"{numbers.customers:,}",
        "orders": f"{numbers.orders:,}",
        "items": f"{numbers.items:,}",
        "spent in all": amount(str(summary["total_amount"])),
        f"of {numbers.read:,} records refused": f"{numbers.refused:,}",
    }
    if removed := int(summary.get("removed_customers", 0)):
        facts["removed by this correction"] = f"{removed:,}"
    return tag("div", *(tag("div", tag("b", value), tag("span", name), class_="tile") for name, value in facts.items()),
               class_="tiles")  # fmt: skip


def _arrived(status: BatchStatus, summary: Mapping[str, Any]) -> Markup:
    known, files = status.ledger.files if status.ledger else {}, summary.get("files", {})
    lines: list[list[object]] = []
    for kind in Kind:
        source = known.get(kind) or status.files.get(kind)
        if source is None:
            missing = tag("span", "has not arrived", class_="warn")
            lines.append([tag("code", f"{kind}_{status.batch}.csv"), missing, *[""] * 3])
            continue
        lines.append(
            [
                tag("code", source.key.removeprefix(INCOMING_PREFIX)),
                _moment(source.last_modified),
                terminal.size(source.size),
                _dialect(kind, files.get(kind, {})),
                ", ".join(files.get(kind, {}).get("ignored_columns") or ()),
            ]
        )
    return join(tag("h2", "What arrived"), _table(["File", "Arrived", "#Size", "Read as", "Columns ignored"], lines))


def _dialect(kind: Kind, file: Mapping[str, Any]) -> object:
    if file.get("file_error"):
        return tag("span", f"can't be used: {file['file_error']}", class_="bad")
    return read_as(kind, file)


def _books(summary: Mapping[str, Any], results: Distribution | None) -> Markup | None:
    """Show both sides of the books, as the run compared them before it delivered anything."""
    if not Numbers.of(summary).read or summary.get("state") == "REFUSED":
        return None
    lines: list[list[object]] = []
    for kind in Kind:
        file = summary["files"].get(kind, {})
        read, counted, refused = (int(file.get(name, 0)) for name in ("read", "counted", "refused"))
        lines.append(
            [f"Records of {kind}", f"{read:,}", f"{counted:,}", f"{refused:,}", _check(read == counted + refused)]
        )
    books = summary["reconciliation"]
    scanned, delivered, refused_amount = (
        Decimal(str(books[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")
    )
    shown = [amount(str(value)) for value in (scanned, delivered, refused_amount)]
    lines.append(["Amounts of items", *shown, _check(scanned == delivered + refused_amount)])
    if results is not None:
        agrees = results.total == delivered and results.customers == int(summary["customers"])
        what = f"Chunk files, {terminal.counted(results.customers, 'customer')}"
        lines.append([what, "", amount(number_text(results.total)), "", _check(agrees)])
    without = int(books.get("refused_without_amount", 0))
    note = f"{terminal.counted(without, 'refused item')} had no valid amount and can't be part of the sums."
    return join(
        tag("h2", "Totals and reconciliation"),
        _table(["", "#Read", "#Counted", "#Refused", "Read = counted + refused"], lines),
        tag("p", note, class_="soft") if without else None,
    )


def _check(holds: bool) -> Markup:
    return tag("span", "✓ holds" if holds else "✗ differs", class_="good" if holds else "bad")


def _refused(report: Report) -> Markup:
    title = tag("h2", "What was refused")
    if not report.errors:
        return join(title, tag("p", "Nothing."))
    by_code: dict[str, int] = {}
    for group in report.errors:
        by_code[group.code] = by_code.get(group.code, 0) + group.count
    ranked = sorted(by_code.items(), key=lambda found: (-found[1], found[0]))
    faults = [
        tag(
            "div",
            tag("b", f"{group.count:,} × "),
            tag("code", group.code),
            tag("span", f"  {group.file or ''}", class_="soft"),
            tag("ul", *(tag("li", fault["message"]) for fault in group.examples)),
            class_="fault",
        )
        for group in report.errors
    ]
    places = [join(tag("br"), tag("code", place)) for place in report.rejects]
    return join(
        title,
        tag(
            "div",
            rows("Errors by code", [Bar(code, n, f"{n:,}", style="bar-bad") for code, n in ranked]),
            class_="card",
        ),
        *faults,
        tag("p", "Every refused record, as it was read:", *places, class_="soft") if places else None,
    )


def _customers(results: Distribution | None, entry: Ledger | None) -> Markup:
    title = tag("h2", "What customers ordered")
    if results is None:
        completed = entry is not None and entry.state is BatchState.COMPLETED
        why = "The chunk files that hold it have been cleaned up since." if completed else "Nothing is delivered yet."
        return join(title, tag("p", why))
    if not results.customers:
        return join(title, tag("p", "There were no customers."))
    orders = _bars(results.orders, classes(results.orders, SINGLE), SINGLE)
    amounts = _bars(results.amounts, classes(results.amounts, 1), 0)
    mean = (results.total / results.customers).quantize(Decimal("0.01"))
    sentence = (
        f"On average a customer spent {amount(str(mean))}; the most that one spent is "
        f"{amount(number_text(results.largest))}."
    )
    return join(
        title,
        tag(
            "div",
            _card("Orders per customer", columns("Customers by number of orders", orders, "orders")),
            _card("Amount per customer who ordered", columns("Customers by amount", amounts, "spent at least"))
            if amounts
            else None,
            class_="pair",
        ),
        tag("p", sentence, class_="soft"),
    )


def _bars(counts: Mapping[Any, int], ends: Sequence[int | None], first: int) -> list[Bar]:
    return [Bar(class_name(end, first), counts[end], f"{counts[end]:,}") for end in ends]


def _card(title: str, chart: Markup) -> Markup:
    return tag("div", tag("h3", title), chart, class_="card")


def _stages(stages: Sequence[Stage], entry: Ledger | None) -> Markup | None:
    if entry is None or entry.execution is None:
        return None
    title = tag("h2", "How long it took")
    if not stages:
        return join(title, tag("p", "Step Functions does not tell (it forgets a run after 90 days)."))
    bars = []
    for stage in stages:
        failed = f", failed {terminal.counted(stage.failures, 'time')}" if stage.failures else ""
        text = terminal.duration(stage.seconds) + failed + ("" if stage.over else " so far")
        style = "bar" if stage.over else "bar-open"
        bars.append(Bar(STAGES[stage.name], stage.seconds, text, stage.start, style))
    return join(
        title,
        tag("div", rows("Stages of the run", bars), class_="card"),
        tag("p", "Run ", tag("code", entry.execution), class_="soft"),
    )


def _versions(entry: Ledger | None) -> Markup | None:
    if entry is None or not entry.history:
        return None
    lines = []
    for number, run in enumerate(entry.history, 1):
        state = BatchState(run["state"])
        cause = run.get("cause") if state is not BatchState.SUPERSEDED else "a newer set of files took over"
        lines.append(
            [
                f"{number}",
                tag("code", run["execution"]),
                tag("span", state, class_=STYLES.get(state, "warn")),
                _moment(run.get("started_at")),
                _moment(run["finished_at"]),
                cause or "",
            ]
        )
    return join(
        tag("h2", "Versions of the day"),
        tag(
            "p",
            "A version is a set of three files; its name is made of their content. A number after it counts replays.",
            class_="soft",
        ),
        _table(["#", "Run", "State", "Started", "Finished", "Cause"], lines),
    )


def _table(titles: Sequence[str], lines: Sequence[Sequence[object]]) -> Markup:
    """Make a table; a column whose title begins with # holds numbers."""
    styles = ["number" if title.startswith("#") else None for title in titles]
    head = [
        tag("th", title if title == "#" else title.removeprefix("#"), class_=style)
        for title, style in zip(titles, styles, strict=True)
    ]
    body = [
        tag("tr", *(tag("td", cell, class_=style) for cell, style in zip(line, styles, strict=True))) for line in lines
    ]
    return tag("div", tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body)), class_="scroll")


def _moment(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")
