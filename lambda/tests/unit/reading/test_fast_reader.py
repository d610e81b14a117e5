"""Files that DuckDB's CSV reader splits into cells: the same result as reading by line, and when it falls
back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day, observe
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pipeline.model import data_model
from pipeline.reading import csv_parser, fast_reader
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import read_file, verify_records_are_lines
from pipeline.reading.dialect import BLOCK, RefusedFileError, read_profile
from pipeline.reading.line_reader import records_sql
from pipeline.reading.sql import literal, open_database

ODD = b"\no1\n,,,\n   \no1,pen,1,2,3\no1;pen;1;2\n\t\n"


def understand(content: bytes, directory: Path) -> CsvFile:
    path = directory / "items.csv"
    path.write_bytes(content)
    with open_database(directory, 200, 1) as connection:
        file = read_file(
            connection, data_model.ITEMS, path.name, read_profile(path, data_model.ITEMS, directory), directory
        )
        return verify_records_are_lines(connection, file, directory)


@pytest.mark.parametrize(
    ("content", "is_fast"),
    [
        (ITEMS, True),
        (ITEMS.replace(b"\n", b"\r\n"), True),
        (ITEMS.replace(b"\n", b"\r\n").rstrip(), True),
        (ITEMS + ODD, True),
        (b"\xef\xbb\xbf" + ITEMS, True),
        (ITEMS.replace(b"\n", b"\r"), True),
        (ITEMS.replace(b"\n", b"\r\n", 1), True),
        (ITEMS + b"o1,pen,1,1\r", True),
        (ITEMS + b'o1,a"red"pen,1,1\n', True),
        (ITEMS + b'o1,5"pen,1,1\n', False),
        (ITEMS + b'o1,5" pen,1,1\n', False),
        (ITEMS + b'"o1","a,""pen"",blue","1",1\n', True),
        ((ITEMS + b'"o1","pen","1",1\n').replace(b"\n", b"\r\n"), True),
        (b"\xef\xbb\xbf" + ITEMS.replace(b"order_reference", b'"order_reference"'), True),
        (ITEMS + b'o1,"pen",1,1\n\n\n', True),
        (ITEMS + b'o1,"pen",1,1\n\no1,"pen",1,1\n', False),
        (ITEMS + b'o1,"two\nlines",1,1\n', True),
        (ITEMS + b'o1,"two\nlines",1,1\n"o1,pen,1,1\no1",pen,1,1\n', False),
        (ITEMS + b'o1,"pen"x,1,1\no1,"pen",1\n', False),
        (ITEMS + b'o1, "pen",1,1\n', False),
        (ITEMS + b'o1,"pen" ,1,1\n', False),
        (ITEMS + b'o1,\t"pen",1,1\n', False),
        (ITEMS.replace(b",", b";") + b'o1;"pen";1;1\n', False),
        (ITEMS + ITEMS.splitlines()[0] + b"\no1,ink,1,2\n", False),
        (ITEMS + b"o1,\xff,1,1\n", False),
        (ITEMS + b"o1," + b"x" * BLOCK + b",1,1\n", False),
    ],
)
def test_a_file_is_fast_if_every_line_is_a_record_with_the_right_quotes(
    tmp_path: Path, content: bytes, is_fast: bool
) -> None:
    assert understand(content, tmp_path).is_fast == is_fast


@pytest.mark.parametrize("new_line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"o1,pen,1,1"])
def test_malformed_lines_are_found_by_reading_by_line(new_line: bytes, bom: bytes, end: bytes) -> None:
    content = bom + (ITEMS + ODD + b"o1,pen,1,0.5\n" + ODD + end).replace(b"\n", new_line)
    observed = assert_agrees_with_reference(day(items=content))
    assert observed.summary["files"]["items"]["blank_lines"] == 8
    assert observed.summary["files"]["items"]["refused_by_code"] == {"wrong_cell_count": 6}


@pytest.mark.parametrize("cell", [" o1", "o1\t", "\u00a0o1 ", "o1", "o9", "", " ", "x" * 1025, "O1"])
def test_references_to_a_parent_are_trimmed_if_needed(cell: str) -> None:
    observed = assert_agrees_with_reference(day(items=ITEMS + f"{cell},pen,1,1\no9,pen,1,1\n".encode()))
    assert observed.customers["c1"][1] == 87.5 + (cell.strip() == "o1")
    orders = ORDERS + f"{cell.replace('o', 'c')},x,o3,1\nc1,x,o3,1\n".encode()
    assert_agrees_with_reference(day(orders=orders, items=ITEMS + b"o3,pen,1,1\n"))


def test_numbers_and_own_references_are_trimmed_if_needed() -> None:
    observed = assert_agrees_with_reference(
        day(
            CUSTOMERS + b" c3 ,a,b,c\n\xc2\xa0,a,b,c\n" + b"y" * 1024 + b",a,b,c\n" + b"y" * 1025 + b",a,b,c\n",
            ORDERS + b"c3,x, o3,\t5 \nc3,x,o\xe9\xa0\x81,0x5\nc3,x,o3,7\n",
            ITEMS + b"o3,pen, 1 , 2.5\no3,pen,1 1,1\no3,pen,9223372036854775808,1\no3,pen,00000000000000000000007,-0\n",
        )
    )
    assert observed.customers["c3"] == (1, 2.5)


@pytest.mark.parametrize("reference", ["c3\t", "c3\u00a0", "\tc3", "\u00a0c3", "c3 ", " c3"])
@pytest.mark.parametrize("records_before", [0, BLOCK // 1000])
def test_blanks_around_a_reference_are_trimmed_wherever_the_first_of_them_is(
    reference: str, records_before: int
) -> None:
    before = b"".join(b"x%d,%s,b,c\n" % (number, b"y" * 1000) for number in range(records_before))
    customers = CUSTOMERS + before + f"{reference},a,b,c\nc3,a,b,c\n".encode()
    observed = observe(day(customers, ORDERS + b"c3,x,o3,1\n"))
    assert observed.customers["c3"] == (1, 0)
    assert observed.codes() == [("customers", customers.count(b"\n"), "duplicate_reference")]


@pytest.mark.parametrize("new_line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n"])
def test_blank_lines_at_the_end_are_counted_without_reading_by_line(
    tmp_path: Path, new_line: bytes, end: bytes
) -> None:
    content = (ITEMS + end).replace(b"\n", new_line)
    assert understand(content, tmp_path).profile.blank_end == len(end)
    observed = assert_agrees_with_reference(day(items=content))
    assert observed.summary["files"]["items"]["blank_lines"] == len(end)


def test_a_file_with_a_missing_row_is_read_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    again = []
    by_line = csv_parser._for_other_reader
    monkeypatch.setattr(csv_parser, "_for_other_reader", lambda *them: (again.append(them[1].kind), by_line(*them))[1])
    assert_agrees_with_reference(day(items=ITEMS + b"o1,pen\n"))
    assert again == [data_model.ITEMS]


@pytest.mark.parametrize("blocks", [100, 1000, 4000])
def test_no_line_is_lost_or_doubled_at_the_end_of_a_read_buffer(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr(fast_reader, "BLOCK", blocks)
    monkeypatch.delattr(csv_parser, "_for_other_reader")
    items = ITEMS + b"".join(b"o1,%s,1,0.%d\n" % (b"x" * (number % 50), number) for number in range(9000))
    assert_agrees_with_reference(day(items=items))


@pytest.mark.parametrize("new_line", [b"\n", b"\r\n"])
def test_a_usual_file_with_bad_cells_is_not_read_by_line_first(
    monkeypatch: pytest.MonkeyPatch, new_line: bytes
) -> None:
    monkeypatch.delattr(csv_parser, "_for_other_reader")
    items = ITEMS + b"o1,pen,x,1\no9,pen,1,x\n,pen,1,1\n" + b"o1,pen,1,0.5\n" * 5000 + b"\n\n"
    assert_agrees_with_reference(day(items=items.replace(b"\n", new_line)))


@pytest.mark.slow
def test_lines_of_very_many_cells_are_refused_without_a_crash() -> None:
    """DuckDB's reader crashes on them if it ignores errors and several threads read such lines."""
    wide = b"o1,pen" + b"," * 9000 + b"\n"
    observed = assert_agrees_with_reference(day(items=ITEMS + wide * 1200 + b"o1,pen,1,0.5\n"), threads=2)
    assert observed.summary["files"]["items"]["refused_by_code"] == {"wrong_cell_count": 1200}


CELLS = st.sampled_from(
    [
        "a",
        "o1",
        '"a"',
        '"a""b"',
        '"a,b"',
        '""',
        '""""',
        '"a b"',
        "",
        "1",
        '"1"',
        '" 1"',
        "12.50",
        '"12.5"',
        'a"b',
        "é",
        '"é"',
        '"two\nlines"',
        '"o1\n"',
        '"\no1"',
        '"\n"',
    ]
)
NAMES = ("item_name", "quantity", "total_price", "order_reference")
WRONG_CELLS = st.sampled_from(
    [
        '"',
        '"a',
        'a"',
        '"a"b',
        '"a" ',
        ' "a"',
        '\t"a"',
        '"a"\t',
        '"a"""',
        'a""',
        '"a\n',
        '\na"',
        ' ""',
        '"" ',
        '"a, "b"',
        "\n",
    ]
)


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=8),
    wrong=st.one_of(st.none(), WRONG_CELLS),
    new_line=st.sampled_from(["\n", "\r\n"]),
    data=st.data(),
)
def test_records_with_quotes_are_the_same_as_by_line(
    tmp_path: Path, records: list[list[str]], wrong: str | None, new_line: str, data: st.DataObject
) -> None:
    if wrong is not None:
        record = data.draw(st.sampled_from(records))
        record[data.draw(st.integers(0, 3))] = wrong
    event(f"read by the fast path: {are_read_alike(tmp_path, records, new_line)}")


@pytest.mark.parametrize("new_line", ["\n", "\r\n"])
def test_a_line_end_in_the_free_text_of_a_clean_record_is_no_difference(tmp_path: Path, new_line: str) -> None:
    assert are_read_alike(tmp_path, [["a", '"two\nlines"', "1", "1"]], new_line)


def are_read_alike(directory: Path, records: list[list[str]], new_line: str) -> bool:
    """Read items by line and by DuckDB's reader, and expect the same; return False if its reader can't read them."""
    text = "".join(",".join(record) + "\n" for record in records).replace("\n", new_line)
    path = directory / "items.csv"
    path.write_bytes(ITEMS[: ITEMS.index(b"\n") + 1].replace(b"\n", new_line.encode()) + text.encode())
    with open_database(directory, 200, 2) as connection:
        try:
            file = read_file(
                connection, data_model.ITEMS, path.name, read_profile(path, data_model.ITEMS, directory), directory
            )
        except RefusedFileError:
            return False
        if not file.is_fast:
            return False
        # Line ends in the free text of a clean record are restored by one way only, as nothing reads them.
        restored = {name: f"replace({name}, {literal(file.sentinels.newline)}, chr(10))" for name in NAMES}
        restored["order_reference"] = f"trimmed({restored['order_reference']})"
        select = f"SELECT {', '.join(restored.values())}, amount_1, code::VARCHAR, is_valid FROM"
        try:
            fast = connection.execute(f"{select} ({fast_reader.fast_records_sql(file)})").fetchall()
        except fast_reader.NotSuitedError:
            return False
        if len(fast) != file.fast_lines:
            return False  # Such a file is then read by line.
        slow = connection.execute(f"{select} ({records_sql(file)}) WHERE NOT is_blank").fetchall()
        assert sorted(map(repr, without_parent_rules(fast))) == sorted(map(repr, without_parent_rules(slow)))
        return True


def without_parent_rules(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The fast path leaves the form of a reference to a parent to the join, so an empty one is no error yet."""
    return [row for row in rows if any(character.isalnum() for character in row[3])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("two_lines", "is_fast"),
    [
        ([b'o1,"pen,1,1', b'o1,pen",1,1'], False),
        # The second line is also a record by itself, and a thread that starts there could take it for one.
        ([b'o1,p"n,"1', b'o1,pen,1",1'], False),
    ],
)
def test_quotes_over_two_lines_are_noticed_also_where_a_read_buffer_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, two_lines: list[bytes], is_fast: bool
) -> None:
    monkeypatch.setattr(fast_reader, "BLOCK", 500)
    lines = [b'o%d,"pen",1,0.%d' % (number % 3, number) for number in range(2000)]
    # In the first thousand lines, odd numbers of quotes are noticed before the records are read.
    for number in [*range(150, 170), *range(1050, 1065), *range(1160, 1175)]:
        file = understand(ITEMS + b"\n".join([*lines[:number], *two_lines, *lines[number:]]), tmp_path)
        assert (file.lines.path.name, file.is_fast) == ("items.records.csv", is_fast)
    file = understand(ITEMS + b"\n".join(lines), tmp_path)
    assert (file.lines.path.name, file.is_fast) == ("items.csv", True)
