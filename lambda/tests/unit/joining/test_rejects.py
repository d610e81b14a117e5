"""The rejects file in a spreadsheet: no cell is a formula, wherever it cuts, and the record can be restored."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest
from batches import ITEMS, as_read, day, run
from hypothesis import given
from hypothesis import strategies as st
from pipeline.model import data_model
from pipeline.reading.sql import create_macros

FORMULA = tuple("=+-@＝＋－＠")
DELIMITERS = ",;\t|: "
RECORDS = st.text(alphabet="=+-@'\"\n\r\t;,|: aé1＝＠\u200b", max_size=12)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    create_macros(connection)
    return connection


def cells(text: str) -> list[str]:
    """Every cell that a spreadsheet could cut, with and without regard to quotes, without what it may trim."""
    lines = text.replace("\r", "\n").split("\n")
    found = [cell for delimiter in DELIMITERS for line in lines for cell in line.split(delimiter)]
    for delimiter in DELIMITERS:
        found += [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    return [cell.strip(' "\t\u200b') for cell in found]


@given(RECORDS, RECORDS)
def test_no_cell_is_a_formula_and_the_record_is_restored(
    connection: duckdb.DuckDBPyConnection, record: str, reason: str
) -> None:
    safe = connection.execute("SELECT no_formula_in_sentence(?), no_formula(?)", [reason, record]).fetchall()[0]
    written = io.StringIO(newline="")
    csv.writer(written).writerow(["7", "not_an_amount", *safe])

    assert [cell for cell in cells(written.getvalue()) if cell.startswith(FORMULA)] == []
    assert as_read(safe[1]) == record


def test_the_rejects_file_has_safe_records_and_reasons(tmp_path: Path) -> None:
    records = ["=1+1,a,1,1", "-1,a,1,1", "'q,a,1,1", "plain,a,1,1", '"=x",a,1,1', "o9,a;=b,1,1", "o1,pen,1,x;=y|-z"]
    outcome = run(day(items=ITEMS + "\n".join(records).encode()), tmp_path)

    text = outcome.rejects[data_model.ITEMS].read_text(encoding="utf-8")
    assert [cell for cell in cells(text) if cell.startswith(FORMULA)] == []
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [as_read(row["record"]) for row in rows] == records
    assert rows[-1]["reason"].count("x;'=y|'-z") == 1
