"""Names, keys and messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pipeline.model import data_model
from pipeline.model.batch_files import BatchFile, is_batch, parse_file_name, parse_key, today
from pipeline.model.data_model import MODEL
from pipeline.model.items import batch_key, error_item, error_sort_key, result_key, result_sort_key
from pipeline.model.messages import Message, message_for, number_text


@pytest.mark.parametrize("name", ["customers_20220131.csv", "orders_20240229.csv.gz", "items_20000101.csv"])
def test_the_name_of_a_batch_file_gives_its_kind_and_day(name: str) -> None:
    kind, _, day = name.partition("_")
    assert parse_file_name(name) == parse_key(f"incoming/{name}") == BatchFile(MODEL.kind(kind), day[:8], name)


@pytest.mark.parametrize(
    "name",
    [
        "customers_20220230.csv",
        "customers_00000101.csv",
        "customers_19991231.csv",
        "customers_99991231.csv",
        "Customers_20220131.csv",
        "customers_20220131.csv.zip",
        "customers_20220131.csv\n",
        "customers_２０２２０１３１.csv",
        "customer_20220131.csv",
        "x/customers_20220131.csv",
        "",
    ],
)
def test_any_other_name_is_not_that_of_a_batch_file(name: str) -> None:
    assert parse_file_name(name) is None
    assert parse_key(f"incoming/{name}") is None


def test_only_direct_children_of_incoming_count() -> None:
    assert parse_key("work/customers_20220131.csv") is None
    assert parse_key("incoming/old/customers_20220131.csv") is None


def test_a_batch_is_a_day_that_exists_and_at_most_the_set_number_of_days_ahead() -> None:
    def ahead(days: int) -> str:
        return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d")

    assert is_batch(today())
    assert not is_batch("2022-1-1")
    assert (is_batch(ahead(365)), is_batch(ahead(368))) == (True, False)
    assert (is_batch(ahead(2), days_ahead=3), is_batch(ahead(3), days_ahead=1)) == (True, False)


def test_keys_are_those_of_the_design() -> None:
    assert (result_key("ade3-11ed"), result_sort_key("20220131")) == ("customer#ade3-11ed", "batch#20220131")
    assert (batch_key("20220131"), batch_key(None)) == ("batch#20220131", "batch#unknown")
    assert error_sort_key("items", 17, "not_an_amount") == "error#items#0000000017#not_an_amount"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("87.5000"), "87.5"),
        (Decimal("0.0000"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("100"), "100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.0001"), "-0.0001"),
        (Decimal("12345678901234567890123456789012345.6789"), "12345678901234567890123456789012345.6789"),
        (7, "7"),
    ],
)
def test_numbers_are_written_plainly_and_exactly(value: Decimal | int, text: str) -> None:
    assert number_text(value) == text


def result_item(**changes: Any) -> dict[str, Any]:
    return {
        "pk": "customer#ade3-11ed",
        "sk": "batch#20220131",
        "customer_reference": "ade3-11ed",
        "number_of_orders": Decimal(2),
        "total_amount_spent": Decimal("87.50"),
    } | changes


def announced(new: dict[str, Any], old: dict[str, Any] | None = None) -> Message:
    message = message_for(new, old)
    assert message is not None
    return message


def test_an_error_is_announced_with_all_its_fields() -> None:
    named = {"order_reference": "o1"}
    item = error_item("20220131", data_model.ITEMS, "items_20220131.csv", 17, "not_an_amount", "it is wrong", named)
    assert json.loads(announced(item | {"line": Decimal(17)}).body) == {
        "type": "error_message",
        "customer_reference": None,
        "order_reference": "o1",
        "message": "items_20220131.csv line 17: it is wrong",
        "batch": "20220131",
        "file": "items_20220131.csv",
        "line": 17,
        "code": "not_an_amount",
    }


def test_the_same_fact_has_the_same_id_and_a_different_one_a_different_id() -> None:
    first, again = announced(result_item()), announced(result_item(total_amount_spent=Decimal("87.5")))
    other = announced(result_item(sk="batch#20220201"))
    assert first.id == again.id == "eec385649ed251095a4832ab9911051b"
    assert first.group == other.group
    incomplete = [announced(result_item(refused_records=number)) for number in (1, 2)]
    assert len({first.id, other.id, *(one.id for one in incomplete)}) == 4
    assert {one.body for one in incomplete} == {first.body}


@pytest.mark.parametrize("reference", ["\x01", "\x1f", "\ufffe", "\uffff", "日本", '"\\', "\u2028"])
def test_a_body_has_only_characters_that_sqs_accepts(reference: str) -> None:
    message = announced(result_item(customer_reference=reference, pk=f"customer#{reference}"))
    assert not {char for char in message.body if char < " " or char in "\ufffe\uffff"}
    assert json.loads(message.body)["customer_reference"] == reference
