"""What the tests of the transform share: run it on bytes, and compare the result with the reference."""

from __future__ import annotations

import csv
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import reference
from pipeline.joining.chunks import put_items
from pipeline.joining.customer_data_processor import Options, Outcome, Previous, SourceFile, messages, process
from pipeline.joining.gate import Gate
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, RESULT_ATTRIBUTES
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import literal

BATCH = "20220131"

CUSTOMERS = b"customer_reference,first_name,last_name,status\nc1,Ada,Lovelace,active\nc2,Alan,Turing,active\n"
ORDERS = (
    b"customer_reference,order_status,order_reference,order_timestamp\nc1,sent,o1,1643646722\nc1,sent,o2,1643646723\n"
)
ITEMS = b"order_reference,item_name,quantity,total_price\no1,pen,1,12.50\no2,ink,2,75.00\n"

csv.field_size_limit(sys.maxsize)


def day(customers: bytes = CUSTOMERS, orders: bytes = ORDERS, items: bytes = ITEMS) -> dict[RecordKind, bytes]:
    """A good day, or one with some other file."""
    return {data_model.CUSTOMERS: customers, data_model.ORDERS: orders, data_model.ITEMS: items}


def items_with_long_records() -> bytes:
    """Items where the header, and records that are too long, have several lines; errors come after them."""
    short = b'o1,"two\nlines",1,1,\n'
    many_lines = b'o1,"long\n' + b"x\n" * (MAX_RECORD // 2) + b'",1,1,\n'
    long_lines = b'o1,"longer\n' + (b"y" * 600_000 + b"\n") * 2 + b"z\n" * 1000 + b'",1,1,\n'
    header = ITEMS.splitlines()[0] + b',"a\nnote"\n'
    return b"".join([header, short, many_lines, b"o1,pen,1,x,\n", short * 3, long_lines, short, b"o1,pen,y,1,\n"])


def file_name(kind: RecordKind) -> str:
    return f"{kind}_{BATCH}.csv"


def run(
    files: Mapping[RecordKind, bytes], directory: Path, previous: Previous | None = None, **options: Any
) -> Outcome:
    """Run the transform over files with these contents."""
    sources = {}
    for kind, content in files.items():
        path = directory / file_name(kind)
        path.write_bytes(content)
        sources[kind] = SourceFile(file_name(kind), path)
    chosen = {
        "memory_mb": 200,
        "threads": 2,
        "max_error_messages": 1_000_000,
        "rejects_location": lambda: "feedback/",
    } | with_gate(options)
    return process(BATCH, sources, directory / "work", Options(**chosen), previous)


def with_gate(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for a run, with its gate in place of the limits of one."""
    limits = {name: options[name] for name in ("max_refused_percent", "history") if name in options}
    others = {name: value for name, value in options.items() if name not in limits}
    gate = Gate(**limits) if limits and limits.get("max_refused_percent", 0) is not None else None
    return {**others, "gate": gate}


def as_read(cell: str) -> str:
    """Remove the apostrophes that prevent a spreadsheet from reading parts of a record as formulas."""
    return re.sub(r"(^|(?![=+\-@＝＋－＠'])[\W_])'([=+\-@＝＋－＠']+)", r"\1\2", cell)


@dataclass
class Observed:
    """An outcome, read back from its files."""

    state: str
    results: dict[str, dict[str, Any]]
    """By the reference of a record of the root kind: its measures, and the columns that it carries."""
    incomplete: dict[str, int]
    errors: list[dict[str, Any]]
    rejects: dict[RecordKind, list[dict[str, str]]]
    messages: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def customers(self) -> dict[str, tuple[int, Decimal]]:
        """The measures of each result alone."""
        measures = [measure.name for measure in MODEL.result.measures]
        return {
            reference: (int(result[measures[0]]), *(result[name] for name in measures[1:]))
            for reference, result in self.results.items()
        }

    def codes(self) -> list[tuple[str, int | None, str]]:
        """File kind, line and code of each error."""
        return [(error["kind"], error["line"] and int(error["line"]), error["code"]) for error in self.errors]

    def only_error(self) -> dict[str, Any]:
        (error,) = self.errors
        return error


def read(outcome: Outcome) -> Observed:
    """Read an outcome's files."""
    items = list(put_items(outcome.chunks))
    rejects = {}
    for kind, path in outcome.rejects.items():
        with path.open(newline="", encoding="utf-8") as file:
            rejects[kind] = [{**row, "record": as_read(row["record"])} for row in csv.DictReader(file)]
    return Observed(
        state=outcome.state,
        results={
            item[IDENTITY]: {name: item[name] for name in RESULT_ATTRIBUTES if name != IDENTITY}
            for item in items
            if MODEL.result.measures[0].name in item
        },
        incomplete={item[IDENTITY]: int(item[REFUSED_RECORDS]) for item in items if REFUSED_RECORDS in item},
        errors=[item for item in items if item["sk"].startswith("error#")],
        rejects=rejects,
        messages=[json.loads(body, parse_float=Decimal) for body in messages(outcome)],
        summary=outcome.summary.as_dict(),
    )


def observe(files: Mapping[RecordKind, bytes], **options: Any) -> Observed:
    """Run the transform in a temporary directory and read its output."""
    with working_directory() as directory:
        return read(run(files, directory, **options))


@contextmanager
def working_directory() -> Any:
    with tempfile.TemporaryDirectory(prefix="batch-") as directory:
        yield Path(directory)


def delivered(directory: Path, *references: str) -> Path:
    """Write the list of references that an earlier version delivered."""
    path = directory / f"delivered-{len(list(directory.iterdir()))}.parquet"
    with duckdb.connect() as connection:
        values = f"SELECT unnest(?::VARCHAR[]) AS {IDENTITY}"
        connection.execute(f"COPY ({values}) TO {literal(str(path))} (FORMAT parquet)", [list(references)])
    return path


def assert_agrees_with_reference(files: Mapping[RecordKind, bytes], **options: Any) -> Observed:
    """Run the transform, and compare what comes out with the reference."""
    return assert_agrees(observe(files, **options), files)


def assert_agrees(observed: Observed, files: Mapping[RecordKind, bytes]) -> Observed:
    """Compare results, errors, lines, references and rejected text with the reference's."""
    expected = reference.reference(files)
    if expected.refused_files:
        assert observed.codes() == [(refused.kind, None, refused.code) for refused in _by_file(expected.refused_files)]
        assert (observed.state, observed.results, observed.rejects) == ("REFUSED", {}, {})
        return observed
    assert observed.state == "READY"
    refused = _by_file(expected.refused)
    assert [
        (error["kind"], int(error["line"]), error["code"], {name: error[name] for name in MODEL.identities.values()})
        for error in observed.errors
    ] == [(error.kind, error.line, error.code, error.references) for error in refused]
    for kind in MODEL.kinds:
        mine = [(int(row["line"]), row["code"], _beginning(row["record"])) for row in observed.rejects.get(kind, [])]
        assert mine == [(one.line, one.code, _beginning(one.record)) for one in refused if one.kind == kind]
        summary = observed.summary["files"][kind]
        assert summary["read"] == expected.read[kind] == summary["counted"] + summary["refused"]
        parts = ("header_lines", "blank_lines", "read", "further_lines")
        assert summary["lines"] == expected.lines[kind] == sum(summary[part] for part in parts)
    assert observed.results == expected.results
    assert observed.incomplete == expected.incomplete
    assert observed.summary[f"incomplete_{MODEL.root}"] == len(expected.incomplete)
    assert observed.summary["unassigned_records"] == expected.unassigned
    assert list(observed.results) == sorted(observed.results, key=lambda text: text.encode())
    return observed


def _beginning(record: str) -> str:
    """Only the beginning of a very long record is kept."""
    return record[:200_000]


def _by_file(refused: list[reference.Refused]) -> list[reference.Refused]:
    return sorted(refused, key=lambda one: (file_name(one.kind), one.line or 0))
