"""The fast way to the bodies of messages gives the bytes of the slow one, which is that of `publish`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, day, run
from pipeline.joining.bodies import error_items
from pipeline.joining.chunks import put_items
from pipeline.joining.customer_data_processor import Outcome, Previous, messages, write_messages

ODD = ["\x01", "\x1f", "\x7f", "\ufffe", "\uffff", "\u2028", "日本", "\\", 'x"y', "a/b", "\x85", "é", "�"]


def written(outcome: Outcome) -> list[str]:
    target = io.BytesIO()
    write_messages(outcome, target)
    return target.getvalue().decode().split("\n")[:-1]


@pytest.mark.parametrize("chunk_records", [1, 3, 5000])
def test_bodies_are_those_of_publish(tmp_path: Path, chunk_records: int) -> None:
    customers = CUSTOMERS + b"".join(b"d%d,a,b,c\n" % number for number in range(20))
    orders = ORDERS + b"d3,x,o4,1\nd4,x,o5,1\nd5,x,o6,oops\n"
    items = ITEMS + b"o4,x,1,-0.0001\no5,x,1,100\no5,x,1,1e5\no9,x,1,1\n"
    outcome = run(day(customers, orders, items), tmp_path, chunk_records=chunk_records)
    expected = list(messages(outcome))
    assert written(outcome) == expected
    assert [item for item in put_items(outcome.chunks) if "line" in item] == list(error_items(outcome.chunks))
    assert len(expected) == 25


@pytest.mark.parametrize("reference", ODD)
def test_references_of_any_characters_are_written_alike(tmp_path: Path, reference: str) -> None:
    cell = '"' + reference.replace('"', '""') + '"'
    outcome = run(day(CUSTOMERS + f"{cell},a,b,c\n".encode()), tmp_path)
    assert written(outcome) == list(messages(outcome))
    assert len(written(outcome)) == 3


def test_customers_that_a_correction_removes_have_no_body(tmp_path: Path) -> None:
    earlier = run(day(CUSTOMERS + b"c3,a,b,c\n"), tmp_path)
    correction = tmp_path / "correction"
    correction.mkdir()
    outcome = run(day(), correction, Previous(customers=[earlier.customers]))
    assert outcome.summary.removed_customers == 1
    assert written(outcome) == list(messages(outcome))
