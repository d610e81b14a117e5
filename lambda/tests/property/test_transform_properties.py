"""Any mix of defects, any bytes: the transform and the reference have the same result."""

from __future__ import annotations

import gzip
import os
from decimal import Decimal

import pytest
from batches import ITEMS, ORDERS, assert_agrees_with_reference, day, observe
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "60"))
"""Examples of each property; PROPERTY_EXAMPLES=5000 searches for an hour."""

PHASES = (Phase.explicit, Phase.generate, *([Phase.shrink] if os.environ.get("PROPERTY_SHRINK") else []))
"""A failing batch is shown as it was generated; PROPERTY_SHRINK=1 makes it smaller, which takes minutes."""

searched = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES <= 100,
    phases=PHASES,
)

REFERENCES = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "d",
        "A",
        "a ",
        "\u00a0b",
        "007",
        "7",
        "NULL",
        "1e5",
        "2022-01-31",
        "é",
        "日本",
        "x" * 1024,
        "",
        " ",
        "x" * 1025,
        "a;b",
        "a,b",
        'a"b',
        '"',
        "a\tb",
        "a\nb",
        "\x01",
        "\x1f\x1e\x1d",
        "o'k",
        "\u200b",
        "\uffff",
    ]
)
GOOD_REFERENCES = st.sampled_from(["a", "b", "c", "d", "e"])
NUMBERS = st.sampled_from(
    [
        "1",
        "-3",
        "0",
        "007",
        " 4 ",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "",
        "x",
        "1.0",
        "1e5",
        "+1",
        "--1",
        "१",
        "1 2",
        "0" * 30 + "5",
        "-",
    ]
)
AMOUNTS = st.sampled_from(
    [
        "1,234",
        "-1,234,567",
        "1,234.50",
        "1",
        "12.50",
        "-0.01",
        "0",
        "-0",
        "99999999999999.9999",
        "000000000001.5",
        " 2.5 ",
        "0.0001",
        "12,50",
        "1,5",
        "-0,01",
        "1.234,50",
        "12.34567",
        "1e5",
        "NaN",
        "inf",
        "$5",
        "",
        ".5",
        "5.",
        "+1",
        "999999999999999",
        "1.5 €",
        "1_000",
        "٣",
    ]
)
GOOD_AMOUNTS = st.decimals("-1000", "1000", places=2).map(str)
TEXTS = st.sampled_from(
    ["x", "", " pad ", 'say "hi"', "a,b", "a;b", "two\nlines", "two\r\nlines", "é", "\x0b", "'", "\t"]
)
IDS = st.sampled_from(["1", "2", "3", "01", " 1", "\u00a01", "\u00a0", "", "a", "18446744073709551615", "-1", "1.0"])


@st.composite
def cells(draw: st.DrawFn, column: str, tidy: bool) -> str:
    if column in ("customer_reference", "order_reference"):
        return draw(GOOD_REFERENCES if tidy else st.one_of(GOOD_REFERENCES, REFERENCES))
    if column in ("quantity", "order_timestamp"):
        return draw(st.integers(-(2**40), 2**40).map(str) if tidy else NUMBERS)
    if column == "total_price":
        return draw(GOOD_AMOUNTS if tidy else AMOUNTS)
    return draw(TEXTS)


@st.composite
def files(draw: st.DrawFn, kind: RecordKind) -> bytes:
    """A file of any dialect with valid and invalid records."""
    delimiter = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
    names = [column.name for column in kind.required]
    names += draw(st.lists(st.sampled_from(["id", "note", "extra"]), unique=True, max_size=2))
    names = draw(st.permutations(names))
    newlines = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    quoting = draw(st.sampled_from(["needed", "needed", "all", "wild", "none", "none"]))
    ids = draw(st.sampled_from([IDS, st.sampled_from(["a", "b", "-1", ""])]))
    lines = [delimiter.join(draw(st.sampled_from([name, name.upper(), f" {name} "])) for name in names)]
    for _ in range(draw(st.integers(0, 12))):
        tidy = draw(st.booleans())
        record = [draw(ids if name == "id" else cells(name, tidy)) for name in names]
        if not draw(st.integers(0, 9)):
            record = record[:-1] if draw(st.booleans()) else [*record, "more"]
        lines.append(delimiter.join(quote(cell, quoting, delimiter, draw) for cell in record))
        if not draw(st.integers(0, 9)):
            lines.append(draw(st.sampled_from(["", "  ", "\t", "\u00a0", '"', 'a"b', lines[0].title()])))
    if quoting == "none":
        # Many such files are plain, so that DuckDB's CSV reader reads them.
        lines = [line.translate({ord(char): None for char in '"\r\n'}) for line in lines]
        newlines = newlines[:1]
    elif len(lines) > 2 and not draw(st.integers(0, 5)):
        lines = stray_quotes(draw, lines, delimiter)
    if not draw(st.integers(0, 15)):
        second = draw(st.permutations([*names, *draw(st.sampled_from([[], ["more"], ["total_price"]]))]))
        lines.insert(draw(st.integers(1, len(lines))), delimiter.join(second))
    text = "".join(line + draw(st.sampled_from(newlines)) for line in lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()
    if not draw(st.integers(0, 5)):
        position = draw(st.integers(0, len(data)))
        data = (
            data[:position] + draw(st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90"])) + data[position:]
        )
    return gzip.compress(data, mtime=0) if not draw(st.integers(0, 5)) else data


def stray_quotes(draw: st.DrawFn, lines: list[str], delimiter: str) -> list[str]:
    """Put a quote to the beginning of one cell, and one to the end or the beginning of a cell of a later line."""
    first = draw(st.integers(1, len(lines) - 2))
    second = draw(st.integers(first + 1, min(len(lines) - 1, first + 3)))
    changed = list(lines)
    for number, ends in ((first, False), (second, draw(st.booleans()))):
        cells = changed[number].split(delimiter)
        position = draw(st.integers(0, len(cells) - 1))
        cells[position] = f'{cells[position]}"' if ends else f'"{cells[position]}'
        changed[number] = delimiter.join(cells)
    return changed


def quote(cell: str, quoting: str, delimiter: str, draw: st.DrawFn) -> str:
    if quoting == "none":
        return cell.replace(delimiter, "")
    special = any(char in cell for char in (delimiter, "\n", "\r")) or cell.lstrip(" \t").startswith('"')
    if quoting == "wild" and not draw(st.integers(0, 4)):
        return draw(st.sampled_from([f'"{cell}', f'{cell}"', f' "{cell}"', f'"{cell}" ', f'"{cell}"x', cell]))
    if quoting == "all" or special:
        return '"' + cell.replace('"', '""') + '"'
    return cell


batches = st.fixed_dictionaries({kind: files(kind) for kind in MODEL.kinds})


@pytest.mark.slow
@searched
@given(batches)
def test_any_mix_of_defects_gives_the_reference_s_result(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


@searched
@given(batches)
def test_the_totals_are_reconciled_and_every_record_is_counted_or_refused(batch: dict[RecordKind, bytes]) -> None:
    observed = observe(batch)
    totals = observed.summary["reconciliation"]
    delivered = sum((total for _, total in observed.customers.values()), Decimal(0))
    assert Decimal(totals["scanned_amount"]) == delivered + Decimal(totals["refused_amount"])
    for kind, summary in observed.summary["files"].items():
        assert summary["read"] == summary["counted"] + summary["refused"]
        assert summary["refused"] == len(observed.rejects.get(MODEL.kind(kind), []))
        assert summary["refused"] == sum(summary["refused_by_code"].values())


@st.composite
def shuffled_lines(draw: st.DrawFn, good: bytes) -> bytes:
    """Good lines, some of which were repeated, cut out, put elsewhere, glued together or got a quote."""
    lines = good.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        number, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        position = draw(st.integers(0, len(lines[number])))
        lines[number : number + 1] = draw(
            st.sampled_from(
                [
                    [lines[number], lines[other]],
                    [lines[number], lines[0]],
                    [lines[number].rstrip(b"\r\n")],
                    [lines[number], b"\n"],
                    [lines[number][:position] + b'"' + lines[number][position:]],
                    [lines[number].replace(b",", b',"', 1)],
                    [lines[number].replace(b",", b'",', 1)],
                    [lines[number].swapcase()],
                    [],
                ]
            )
        ) or [b""]
    return b"".join(lines)


BYTES = st.sampled_from([bytes([byte]) for byte in (0, 9, 10, 13, 26, 31, 32, 34, 44, 59, 128, 160, 255)])


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes, some of which were changed, inserted, cut out or repeated."""
    data = good
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        new = draw(st.one_of(BYTES, st.binary(max_size=3), st.just(data[start:end] * 2), st.just(b"")))
        data = data[:start] + new + data[end:]
    return data


GOOD = day(
    b"id,customer_reference,first_name,last_name,status\n"
    b'1,c1,"Ada, Countess",Lovelace,x\n2,c2,"two\nlines",Turing,x\n3,c3,J,C,x\n',
    b"order_status,customer_reference,order_reference,order_timestamp\r\nx,c1,o1,1\r\nx,c1,o2,2\r\nx,c2,o3,3\r\n",
    b"order_reference;item_name;quantity;total_price\no1;a;1;1,50\no2;b;2;-2,25\n\no3;c;3;3\no3;d;4;0,0001",
)


@searched
@given(st.fixed_dictionaries({kind: mutated(content) for kind, content in GOOD.items()}))
@example({kind: content + b'"' for kind, content in GOOD.items()})
def test_random_damage_never_crashes_and_never_gives_a_wrong_sum(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


LONG = day(
    GOOD[data_model.CUSTOMERS] + b"".join(b"%d,d%d,F,L,x\n" % (number + 10, number) for number in range(12)),
    ORDERS + b"".join(b"c%d,sent,p%d,%d\n" % (number % 3, number, number) for number in range(12)),
    ITEMS + b"".join(b"o%d,pen,%d,%d.5\n" % (number % 2 + 1, number, number) for number in range(20)),
)


@searched
@given(st.fixed_dictionaries({kind: shuffled_lines(content) for kind, content in LONG.items()}))
def test_no_line_disappears_whatever_happens_to_the_lines_of_a_good_day(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_gzip_cut_short_refuses_the_file(cut: int) -> None:
    packed = gzip.compress(GOOD[data_model.ITEMS], mtime=0)
    observed = assert_agrees_with_reference(day(items=packed[: len(packed) - 1 - cut]))
    assert observed.state == "REFUSED"
