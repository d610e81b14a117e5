"""A customer's result has the number of refused records, as far as these still name the customer."""

from __future__ import annotations

import pytest
from batches import ITEMS, ORDERS, assert_agrees_with_reference, day, observe, run, working_directory


def incomplete(orders: bytes = b"", items: bytes = b"") -> dict[str, int]:
    return assert_agrees_with_reference(day(orders=ORDERS + orders, items=ITEMS + items)).incomplete


@pytest.mark.parametrize(
    ("orders", "items", "expected"),
    [
        (b"", b"", {}),
        (b"c2,sent,o3,yesterday\n", b"", {"c2": 1}),
        (b"", b"o1,pen,1,free\no2,pen,x,1\n", {"c1": 2}),
        (b"c2,sent,o3,yesterday\n", b"o3,pen,1,1\no3,ink,1,x\n", {"c2": 3}),
        (b"c2,sent,o1,soon\n", b"o1,pen,1,free\n", {"c1": 1, "c2": 1}),
        (b"c9,sent,o3,1643646722\nc2,sent,o3,x\nc1,sent,o3,x\n", b"o3,pen,1,1\n", {"c1": 2, "c2": 2}),
        (b"c9,sent,o9,1643646722\n", b"o9,pen,1,1\no8,pen,1,1\n", {}),
        (b"", b'o1,"pen\n\n# a note\nred" x,1,1\n', {"c1": 4}),
    ],
    ids=[
        "nothing refused",
        "an order counts for the customer whom it names",
        "an item counts for the customer of its order",
        "an item of a refused order counts for whom the order names",
        "the accepted order of a reference goes before a refused one",
        "each customer of refused orders with the reference",
        "nobody known",
        "lines of a record refused for its quotes count for whom its first line names",
    ],
)
def test_a_refused_record_counts_for_the_customer_whom_it_names(
    orders: bytes, items: bytes, expected: dict[str, int]
) -> None:
    assert incomplete(orders, items) == expected


def test_an_exact_repetition_of_a_record_loses_nothing() -> None:
    first_order = ORDERS.splitlines()[1] + b"\n"
    assert incomplete(orders=first_order + first_order) == {}
    assert incomplete(orders=first_order.replace(b"sent", b"open")) == {"c1": 1}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"o1,pen, red,1,1\n", {"c1": 1}),
        (b'o1,"pen" red,1,1\n', {"c1": 1}),
        (b' "o1" ,pen,1\n', {"c1": 1}),
        (b"o1,p\xe9n,1,1\n", {"c1": 1}),
        (b"o1,pen,1,1o3,pen,1,1\n", {"c1": 1}),
        (b'"o1","pen, red",1,1,x\n', {"c1": 1}),
        (b"o8,pen, red,1,1\n", {}),
        (b"-- 3 records --\n", {}),
    ],
)
def test_a_record_whose_cells_cannot_be_assigned_counts_for_the_customer_of_the_order_at_its_place(
    item: bytes, expected: dict[str, int]
) -> None:
    assert incomplete(items=item) == expected


def test_a_record_that_names_one_order_from_the_left_and_another_from_the_right_counts_for_both_customers() -> None:
    items = b"item_name,order_reference,quantity,total_price\npen,o1,o3,1,1\n"
    orders = ORDERS + b"c2,sent,o3,1\n"

    assert assert_agrees_with_reference(day(orders=orders, items=items)).incomplete == {"c1": 1, "c2": 1}


def test_a_parent_whose_cells_cannot_be_assigned_was_refused_and_is_not_unknown() -> None:
    observed = assert_agrees_with_reference(
        day(orders=ORDERS + b"c2,sent, by post,o3,1\n", items=ITEMS + b"o3,a,1,1\n")
    )

    assert observed.codes() == [("items", 4, "refused_order"), ("orders", 4, "wrong_cell_count")]
    assert "was refused in the orders file (line 4)" in observed.errors[0]["message"]
    assert observed.incomplete == {"c2": 2}


def test_refused_records_that_name_nobody_are_unassigned() -> None:
    def unassigned(items: bytes, orders: bytes = b"") -> int:
        observed = assert_agrees_with_reference(day(orders=ORDERS + orders, items=ITEMS + items))
        return int(observed.summary["unassigned_records"])

    assert unassigned(b"o8,pen,1,1\n") == 1
    assert unassigned(b"o9,pen,1,1\n", orders=b"c9,sent,o9,1\n") == 2
    assert unassigned(b"o1,pen,1,1o8,ink,1,1\n") == 1, "two records on one line: the second names nobody"
    assert unassigned(ITEMS.splitlines()[0] + b"\n") == 0, "a header is no record"


def test_a_repeated_id_of_an_item_counts_for_the_customer_of_its_order() -> None:
    items = b"id,order_reference,item_name,quantity,total_price\n1,o1,pen,1,1\n1,o1,pen,1,2\n"

    assert assert_agrees_with_reference(day(items=items)).incomplete == {"c1": 1}


def test_the_first_twenty_errors_of_each_code_are_examples_even_without_a_message() -> None:
    bad = b"o1,pen,1,x\n" * 25 + b"o9,pen,1,1\n"
    with working_directory() as directory:
        outcome = run(day(items=ITEMS + bad), directory, max_error_messages=3)

    counts = {group["code"]: (group["count"], len(group["examples"])) for group in outcome.examples}
    assert counts == {"not_an_amount": (25, 20), "unknown_order": (1, 1), "too_many_errors": (1, 1)}
    assert [example["line"] for example in outcome.examples[0]["examples"]] == list(range(4, 24))
    assert outcome.examples[0]["examples"][0]["message"].startswith("items_20220131.csv line 4: total_price 'x'")
    assert observe(day()).summary["incomplete_customers"] == 0
