"""Files that DuckDB's CSV reader splits into cells: which it can read, and when the reader by line takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from batches import ITEMS, assert_agrees_with_reference, day
from pipeline.joining.first_pass import first_pass
from pipeline.model import data_model
from pipeline.reading import csv_parser, fast_reader
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import read_file
from pipeline.reading.dialect import BLOCK, read_profile
from pipeline.reading.sql import open_database


def understand(content: bytes, directory: Path) -> CsvFile:
    """Read a file of items; return it as it was read in the end."""
    path = directory / "items.csv"
    path.write_bytes(content)
    profile = read_profile(path, data_model.ITEMS, directory)
    with open_database(directory, 200, 1) as connection:
        file = read_file(connection, data_model.ITEMS, path.name, profile, directory)
        return first_pass(connection, file, directory, with_parents=False)


@pytest.mark.parametrize(
    ("content", "is_fast"),
    [
        (ITEMS.replace(b"\n", b"\r\n").rstrip(), True),
        (b"\xef\xbb\xbf" + ITEMS.replace(b"order_reference", b'"order_reference"'), True),
        (ITEMS.replace(b"\n", b"\r"), True),
        (ITEMS + b'"o1","a,""pen"",blue","1",1\n', True),
        (ITEMS + b'o1,"pen",1,1\n\n\n', True),
        (ITEMS + b'o1,"two\nlines",1,1\n', True),
        (ITEMS + b'o1,"pen",1,1\n\no1,"pen",1,1\n', False),
        (ITEMS + b'o1,5" pen,1,1\n', False),
        (ITEMS + b'o1,"two\nlines",1,1\n"o1,pen,1,1\no1",pen,1,1\n', False),
        (ITEMS + b'o1, "pen",1,1\n', False),
        (ITEMS + b'o1,"pen" ,1,1\n', False),
        (ITEMS + b'o1,\t"pen",1,1\n', False),
        (ITEMS.replace(b",", b";") + b'o1;"pen";1;1\n', False),
        (ITEMS + ITEMS.splitlines()[0] + b"\no1,ink,1,2\n", False),
        (ITEMS + b"o1,\xff,1,1\n", False),
        (ITEMS + b"o1," + b"x" * BLOCK + b",1,1\n", False),
    ],
)
def test_a_file_is_read_fast_if_every_line_is_a_record_with_the_right_quotes(
    tmp_path: Path, content: bytes, is_fast: bool
) -> None:
    assert understand(content, tmp_path).is_fast == is_fast


@pytest.mark.parametrize("new_line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n\n\n"])
def test_blank_lines_at_the_end_are_counted_without_reading_by_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_line: bytes, end: bytes
) -> None:
    content = (ITEMS + end).replace(b"\n", new_line)
    file = understand(content, tmp_path)
    assert (file.profile.blank_end, file.is_fast) == (len(end), True)
    assert assert_agrees_with_reference(day(items=content)).summary["files"]["items"]["blank_lines"] == len(end)


@pytest.mark.parametrize("blocks", [100, 4000])
def test_no_line_is_lost_or_doubled_at_the_end_of_a_read_buffer(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr(fast_reader, "BLOCK", blocks)
    monkeypatch.delattr(csv_parser, "ensure_records_are_lines")
    items = ITEMS + b"".join(b"o1,%s,1,0.%d\n" % (b"x" * (number % 50), number) for number in range(9000))
    assert_agrees_with_reference(day(items=items))


@pytest.mark.slow
@pytest.mark.parametrize(
    "two_lines",
    [
        [b'o1,"pen,1,1', b'o1,pen",1,1'],
        # The second line is also a record by itself, and a thread that starts there could take it for one.
        [b'o1,p"n,"1', b'o1,pen,1",1'],
    ],
)
def test_quotes_over_two_lines_are_noticed_also_where_a_read_buffer_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, two_lines: list[bytes]
) -> None:
    monkeypatch.setattr(fast_reader, "BLOCK", 500)
    lines = [b'o%d,"pen",1,0.%d' % (number % 3, number) for number in range(2000)]
    for number in [*range(150, 160), *range(1050, 1065), *range(1160, 1175)]:
        file = understand(ITEMS + b"\n".join([*lines[:number], *two_lines, *lines[number:]]), tmp_path)
        assert (file.is_rewritten, file.is_fast) == (True, False)
    file = understand(ITEMS + b"\n".join(lines), tmp_path)
    assert (file.is_rewritten, file.is_fast) == (False, True)
