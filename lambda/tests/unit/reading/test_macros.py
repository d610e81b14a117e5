"""The macros, each by one SELECT over a table of examples."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline.model.error_codes import FILE_SENTENCES, RECORD_CODES
from pipeline.model.text import escape_controls
from pipeline.reading.sql import create_macros

EXAMPLES: dict[str, dict[str | None, object]] = {
    "unquoted(cell)": {"a": "a", '"a""b"': 'a"b', 'a"b': 'a"b', '""': "", '""""': '"', "": ""},
    "trimmed(cell)": {
        "\u200e\u3000a b\ufeff\x01": "a b",
        "\u200b": "",
        "a\u200bb": "a\u200bb",
        "\r\n\u00a0é\u00a0": "é",
        "": "",
    },
    "is_integer(cell)": {
        **dict.fromkeys(("0", "-007", "9223372036854775807", "-9223372036854775808", "0" * 40 + "5"), True),
        **dict.fromkeys(("9223372036854775808", "+1", "1.0", "१", ""), False),
    },
    "is_amount(cell, '.')": {
        **dict.fromkeys(("1", "-12.5000", "99999999999999.9999"), True),
        **dict.fromkeys(("100000000000000", "1.23456", "1,5", ".5", "5.", "1e5", ""), False),
    },
    "is_amount(cell, ',')": {"1,5": True, "1": True, "1.5": False, "1.234,5": False},
    "as_amount(cell, ',')::VARCHAR": {"12,5": "12.5000", "-99999999999999,9999": "-99999999999999.9999"},
    "is_usual_reference(cell)": {
        **dict.fromkeys(("a", "a b"), True),
        **dict.fromkeys((" a", "a\t", "a\u00a0", "\u00a0a", "é", ""), False),
    },
    "is_usual_integer(cell)": {
        **dict.fromkeys(("7", "-12", "1" * 18, "007"), True),
        **dict.fromkeys(("1" * 19, " 7", "/", "1e3", "1_0", "+1", "-", ""), False),
    },
    "id_number(cell)": {"7": 7, "\u00a07": 7, **dict.fromkeys(("a", "-1", "9" * 30, "  "), 2**64 - 1), "": None},
    "as_cents(cell, rounded(cell))::VARCHAR": {
        **{cell: cell for cell in ("12.50", "-0.01", "99999999999999.99")},
        **dict.fromkeys(("100000000000000.00", "12.5", "012.50", "-0.00", "12.505", " 1.00", "1e2", "NaN", ""), None),
    },
    "number_text(cell::DECIMAL(38,4))": {
        **{cell: cell for cell in ("0", "-0.5", "100", "0.0001", "12.125", "-1000000000000000000000.5")},
        "87.50": "87.5",
        "-12.2500": "-12.25",
    },
    "shown(cell)": {
        None: "",
        "é" * 80: "é" * 80,
        "é" * 81: "é" * 79 + "…",
        "x\ny\tz\r\x01\x85": r"x\ny\tz\r\x01\x85",
        "a\u202eb\u00a0": r"a\u202eb\xa0",
    },
    "amount_hint(cell, '.')": {
        "": "it is empty",
        "12,50": "the decimal mark of this file is the point",
        "1e5": "it has an exponent",
        "−5": "its minus is not the character -",
        "5-": "its minus is behind the number",
        "(5)": "it is in parentheses; a negative amount begins with -",
        "+1": "it begins with +",
        **dict.fromkeys(("$5", "5 EUR"), "it has a currency"),
        **dict.fromkeys(("1,234.56", "1.250.000", "1 234,5", "1'000"), "its thousands are grouped"),
        "1" * 15: "it has more than 14 digits before the decimal mark",
        "1.23456": "it has more than 4 decimals",
        ".5": "a digit is missing beside its decimal mark",
        "free": "it must consist of digits, with - before a negative one and one decimal mark",
    },
    "may_group(cell, ',')": {
        **dict.fromkeys(("1,234", "-1,234", "999,000"), True),
        **dict.fromkeys(("0,125", "1234,567", "1,23", "1.234", "1,234,567"), False),
    },
    "shows_grouping(cell, '.')": {
        **dict.fromkeys(("1.250.000", "-1.234,5", "1.250.000,75"), True),
        **dict.fromkeys(("1.234", "1,250,000", "1.25.000"), False),
    },
    "as_reference(cell)": {"--": "", " -7 ": "-7", "\\N": "\\N", "日本": "日本", "\u200b": ""},
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        create_macros(connection)
        yield connection


@pytest.mark.parametrize("call", EXAMPLES)
def test_a_macro_gives_the_expected_value_for_each_example(connection: duckdb.DuckDBPyConnection, call: str) -> None:
    examples = list(EXAMPLES[call].items())
    connection.execute("CREATE OR REPLACE TABLE examples (position INTEGER, cell VARCHAR)")
    connection.executemany("INSERT INTO examples VALUES (?, ?)", [[i, cell] for i, (cell, _) in enumerate(examples)])
    found = connection.execute(f"SELECT cell, {call} FROM examples ORDER BY position").fetchall()
    assert found == examples


TEXTS = st.one_of(
    st.text(alphabet="0123456789.,-+eE_ x\t\u00a0é", max_size=24),
    st.decimals("-1e15", "1e15", places=2).map("{:f}".format),
    st.integers(-(10**19), 10**19).map(str),
    st.text(max_size=4),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(TEXTS.filter(lambda text: not {"\r", "\n", "\0"} & set(text)), min_size=20, max_size=40))
def test_a_short_check_accepts_only_what_the_full_one_accepts(
    connection: duckdb.DuckDBPyConnection, cells: list[str]
) -> None:
    rows = connection.execute(
        """SELECT cell, is_usual_reference(cell) AND (cell = '' OR trimmed(cell) <> cell),
            is_usual_integer(cell) <> regexp_full_match(cell, '-?[0-9]{1,18}'),
            CASE WHEN trimmed(cell) <> '' THEN id_number(cell) <> id_number(trimmed(cell)) ELSE false END,
            cents IS NOT NULL AND NOT is_amount(cell, '.'),
            CASE WHEN is_amount(cell, '.') THEN cents <> as_amount(cell, '.') ELSE false END
        FROM (SELECT cell, as_cents(cell, rounded(cell)) AS cents FROM (SELECT unnest(?::VARCHAR[]) AS cell))""",
        [cells],
    ).fetchall()
    assert [row for row in rows if any(row[1:])] == []


def test_error_codes_sort_in_the_order_of_the_rules(connection: duckdb.DuckDBPyConnection) -> None:
    codes = ", ".join(f"('{code}')" for code in sorted(RECORD_CODES))
    found = connection.execute(f"SELECT code FROM (VALUES {codes}) AS t(code) ORDER BY code::error_code").fetchall()
    assert [code for (code,) in found] == [str(code) for code in RECORD_CODES]
    assert not FILE_SENTENCES.keys() & set(RECORD_CODES)


def test_cells_are_escaped_as_all_other_text_is(connection: duckdb.DuckDBPyConnection) -> None:
    characters = "".join(chr(code) for code in range(1, 0x3000))
    found = connection.execute("SELECT escaped(?)", [characters]).fetchall()
    assert found == [(escape_controls(characters),)]
