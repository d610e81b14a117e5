"""Amounts and the reconciliation in words."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_cli.output.summary import amount, files_table, reconciliation


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("87.50", "87.5"),
        ("-0.1", "-0.1"),
        ("1234567.8901", "1,234,567.8901"),
        ("100000000000000099.8999", "100,000,000,000,000,099.8999"),
    ],
)
def test_an_amount_keeps_each_digit(text: str, shown: str) -> None:
    assert amount(text) == shown


def summary(**sides: Any) -> dict[str, Any]:
    return {"state": "READY", "reconciliation": {"refused_without_amount": 0, **sides}}


def test_both_sides_of_the_reconciliation_are_shown_with_the_sign_that_holds() -> None:
    right = reconciliation(summary(scanned_amount="91", delivered_amount="87.5", refused_amount="3.5"))
    wrong = reconciliation(summary(scanned_amount="91", delivered_amount="87.5", refused_amount="3.4"))

    assert right == "Reconciled: 91 in the items file = 87.5 counted + 3.5 refused"
    assert " ≠ " in wrong
    assert reconciliation({"state": "REFUSED", "reconciliation": {}}) == ""


def test_counts_that_are_not_known_are_not_zeros() -> None:
    file = {"file": "items_20220131.csv", "read": None, "counted": None, "refused": None, "delimiter": None}
    shown = files_table({"files": {"items": file}})
    assert [list(column.cells) for column in shown.columns[1:4]] == [[""], [""], [""]]
