"""What a file's first line is, where it is no header: the sentence says it. And what parts of a file add up to."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from batches import day, observe
from pipeline.model.error_codes import ErrorCode
from pipeline.reading.control_file import ControlTotal, control_file
from pipeline.reading.decimal_marks import Votes
from pipeline.reading.dialect import RefusedFileError


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (b"customer_reference,first_name,last_name,status\nc1,a,b,c\n", "is the header of customers"),
        (b'"order_reference,item_name,quantity,total_price"\n"o1,pen,1,1"\n', "is one quoted cell"),
        (b'{"order_reference": "o1"}\n', "is JSON"),
        (b"Warning: mysqldump: no password given\n", "the message of a program"),
        (b"------------\n", "consists of dashes"),
    ],
)
def test_the_sentence_about_a_missing_header_says_what_is_there_instead(items: bytes, said: str) -> None:
    error = observe(day(items=items)).only_error()
    assert (error["code"], said in error["message"]) == ("missing_column", True), error["message"]


def test_the_votes_of_two_parts_of_a_file_are_those_of_the_file() -> None:
    whole = Votes(2, "1,234", "1.250.000") + Votes(3, "0,999", None) + Votes()
    assert whole == Votes(5, "0,999", "1.250.000")


def test_the_reason_to_refuse_a_file_survives_the_way_to_another_process() -> None:
    error = RefusedFileError(ErrorCode.REPEATED_COLUMN, column="quantity")
    sent = pickle.loads(pickle.dumps(error))
    assert (sent.code, str(sent)) == (error.code, "the header names column quantity more than once")


def test_a_control_file_has_a_line_for_each_file() -> None:
    totals = {"a.csv": ControlTotal(7, Decimal("1.50"), "0" * 64), "b.csv": ControlTotal(0)}
    assert control_file(totals) == f"file,records,amount,sha256\na.csv,7,1.5,{'0' * 64}\nb.csv,0,,\n"
