"""The catalogue of files with one defect, and the table of error codes in the documentation."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from batches import CUSTOMERS, ITEMS, Observed, assert_agrees_with_reference, day, observe
from contracts import check_fields
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import FILE_SENTENCES, RECORD_CODES, SENTENCES, ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.dialect import MAX_LINE

TESTS = Path(__file__).parents[2]
DATA = TESTS / "data"
TABLE = TESTS.parents[1] / "docs" / "error-codes.md"
ROW = re.compile(r"^\| `(?P<code>\w+)` \| (?P<example>.+) \| .* \|$", re.MULTILINE)

WORDED_ELSEWHERE = {ErrorCode.UNKNOWN_FILE, ErrorCode.MISSING_FILE, ErrorCode.RUN_FAILED}
MADE_HERE = {
    ErrorCode.NOT_ALLOWED,
    ErrorCode.RECORD_TOO_LONG,
    ErrorCode.LINE_TOO_LONG,
    ErrorCode.FILE_TOO_LARGE,
    ErrorCode.UNREADABLE_FILE,
    ErrorCode.TOO_MANY_ERRORS,
    ErrorCode.TOO_MANY_REFUSED,
    ErrorCode.RECORD_WITHOUT_END,
    ErrorCode.SUSPICIOUS_GZIP,
    ErrorCode.BAD_CONTROL_FILE,
    ErrorCode.CONTROL_TOTAL_DIFFERS,
    ErrorCode.NO_RECORDS,
    ErrorCode.DAY_TOO_SMALL,
    ErrorCode.CUT_SHORT,
    ErrorCode.TOO_MANY_REMOVED,
}
"""Codes whose files would be too large to store, or that depend on a setting or on another data model."""

CATALOGUE = sorted(path.name for path in (DATA / "defects").iterdir())


def documented() -> dict[str, str]:
    """The codes of the table, with their examples."""
    return {row["code"]: row["example"] for row in ROW.finditer(TABLE.read_text())}


def as_documented(message: str, code: str) -> str:
    """A message as the table shows it: without file and line, and without the end that `…` leaves out there."""
    sentence = re.sub(r"^\S+\.csv(?: line \d+)?: ", "", message)
    begin, left_out, end = documented()[code].rpartition(" …")
    return sentence[: len(begin)] + left_out if left_out and not end else sentence


def defective_day(code: str) -> dict[RecordKind, bytes]:
    found = {}
    for kind in MODEL.kinds:
        (path,) = [*(DATA / "defects" / code).glob(f"{kind}_*"), DATA / "good" / f"{kind}_20220131.csv"][:1]
        found[kind] = path.read_bytes()
    return found


def examples(observed: Observed, code: str) -> list[str]:
    return [as_documented(error["message"], code) for error in observed.errors if error["code"] == code]


def test_the_good_files_have_no_error() -> None:
    good = {kind: (DATA / "good" / f"{kind}_20220131.csv").read_bytes() for kind in MODEL.kinds}
    assert assert_agrees_with_reference(good).errors == []


def test_the_table_has_every_code_and_no_other() -> None:
    assert set(documented()) == {*RECORD_CODES, *ErrorCode}


def test_every_code_has_a_file_that_shows_it() -> None:
    assert set(CATALOGUE) == {*RECORD_CODES, *ErrorCode} - WORDED_ELSEWHERE - MADE_HERE
    assert set(SENTENCES) == {*RECORD_CODES, *ErrorCode} - WORDED_ELSEWHERE


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_file_with_one_defect_gives_the_message_of_the_table(code: str) -> None:
    observed = assert_agrees_with_reference(defective_day(code))
    assert documented()[code] in examples(observed, code)
    for message in observed.messages:
        check_fields(message)
    assert observed.state == ("REFUSED" if code in FILE_SENTENCES else "READY")


def test_a_record_of_more_than_a_million_bytes_is_refused_by_itself() -> None:
    record = b"c3," + b"x" * 1_000_000 + b",y,z\n"
    observed = assert_agrees_with_reference(day(CUSTOMERS.rstrip(b"\n") + b"\n" + record + b"c4,a,b,c\n"))
    assert examples(observed, ErrorCode.RECORD_TOO_LONG) == [documented()[ErrorCode.RECORD_TOO_LONG]]
    assert list(observed.customers) == ["c1", "c2", "c4"]


def test_a_line_that_no_csv_has_refuses_the_file() -> None:
    header = ITEMS.splitlines(keepends=True)[0]
    observed = observe(day(items=header + b"x" * (MAX_LINE + 1)))
    assert examples(observed, ErrorCode.LINE_TOO_LONG) == [documented()[ErrorCode.LINE_TOO_LONG]]


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    observed = observe(day(items=gzip.compress(ITEMS * 3)), max_unpacked=100)
    assert observed.state == "REFUSED"
    assert documented()[ErrorCode.FILE_TOO_LARGE] in examples(observed, ErrorCode.FILE_TOO_LARGE)


def test_above_the_limit_one_message_gives_the_number_of_errors() -> None:
    bad = b"".join(b"o1,pen,1,%d.5.5\n" % number for number in range(3))
    observed = observe(day(items=ITEMS + bad), max_error_messages=2)
    assert [code for *_, code in observed.codes()] == ["not_an_amount", "not_an_amount", "too_many_errors"]
    assert examples(observed, ErrorCode.TOO_MANY_ERRORS) == [documented()[ErrorCode.TOO_MANY_ERRORS]]
    assert observed.errors[-1]["line"] is None
    assert [row["line"] for row in observed.rejects[data_model.ITEMS]] == ["4", "5", "6"]


def test_a_record_of_16_mib_refuses_the_file_before_all_of_it_is_examined() -> None:
    record = b'o1,"x\n' + (b"y" * 999 + b"\n") * 17_000

    assert observe(day(items=ITEMS + record)).only_error()["code"] == "record_without_end"


def test_a_record_of_more_than_a_million_lines_refuses_the_file() -> None:
    observed = observe(day(items=ITEMS + b'o1,"x\n' + b"y\n" * 1_000_001))

    assert examples(observed, ErrorCode.RECORD_WITHOUT_END) == [documented()[ErrorCode.RECORD_WITHOUT_END]]


def test_gzip_data_that_unpacks_to_far_more_than_any_csv_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reading.dialect._USUAL_UNPACKED", 100_000)
    records = b"".join(b"o%d,pen,1,%d.50\n" % (number % 2 + 1, number) for number in range(10_000))
    blank_lines = gzip.compress(ITEMS + b"\n" * 2_000_000)

    refused = observe(day(items=blank_lines))
    assert examples(refused, ErrorCode.SUSPICIOUS_GZIP) == [documented()[ErrorCode.SUSPICIOUS_GZIP]]
    assert observe(day(items=gzip.compress(ITEMS + records))).errors == []
