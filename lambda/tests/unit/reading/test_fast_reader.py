"""Files that DuckDB's CSV reader splits into cells: the same result as reading by line, and when it falls
back."""

from __future__ import annotations

from pathlib import Path

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day
from pipeline.model import data_model
from pipeline.reading import csv_parser, fast_reader
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import ensure_records_are_lines, read_file
from pipeline.reading.dialect import BLOCK, read_profile
from pipeline.reading.sql import open_database

ODD = b"\no1\n,,,\n   \no1,pen,1,2,3\no1;pen;1;2\n\t\n"


def understand(content: bytes, directory: Path) -> CsvFile:
    path = directory / "items.csv"
    path.write_bytes(content)
    with open_database(directory, 200, 1) as connection:
        file = read_file(
            connection, data_model.ITEMS, path.name, read_profile(path, data_model.ITEMS, directory), directory
        )
        return ensure_records_are_lines(connection, file, directory)


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


@pytest.mark.parametrize("new_line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n"])
def test_blank_lines_at_the_end_are_counted_without_reading_by_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_line: bytes, end: bytes
) -> None:
    monkeypatch.delattr(csv_parser, "_for_other_reader")
    content = (ITEMS + end).replace(b"\n", new_line)
    assert understand(content, tmp_path).profile.blank_end == len(end)
    observed = assert_agrees_with_reference(day(items=content))
    assert observed.summary["files"]["items"]["blank_lines"] == len(end)


@pytest.mark.parametrize("blocks", [100, 1000, 4000])
def test_no_line_is_lost_or_doubled_at_the_end_of_a_read_buffer(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr(fast_reader, "BLOCK", blocks)
    monkeypatch.delattr(csv_parser, "_for_other_reader")
    items = ITEMS + b"".join(b"o1,%s,1,0.%d\n" % (b"x" * (number % 50), number) for number in range(9000))
    assert_agrees_with_reference(day(items=items))


@pytest.mark.slow
def test_lines_of_very_many_cells_are_refused_without_a_crash() -> None:
    """DuckDB's reader crashes on them if it ignores errors and several threads read such lines."""
    wide = b"o1,pen" + b"," * 9000 + b"\n"
    observed = assert_agrees_with_reference(day(items=ITEMS + wide * 1200 + b"o1,pen,1,0.5\n"), threads=2)
    assert observed.summary["files"]["items"]["refused_by_code"] == {"wrong_cell_count": 1200}


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
