"""The changes of docs/extending.md, each with a day of good and bad records and what is right, reckoned by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from clone import ROOT, Clone

GUIDE = ROOT / "docs" / "extending.md"


@dataclass(frozen=True)
class Day:
    """The files of a day by kind, and its marks, errors (by kind and line) and messages of results.

    Decimals are texts, whole numbers are numbers.
    """

    files: dict[str, str]
    incomplete: dict[str, int]
    errors: dict[tuple[str, int], str]
    messages: list[dict[str, Any]]


ORDERS = (
    "customer_reference,order_status,order_reference,order_timestamp\n"
    "c1,Placed,o1,1643620000\nc2,Placed,o2,1643620000\nc3,Placed,o3,noon\n"
)
ITEMS = (
    "order_reference,item_name,quantity,total_price\no1,Tea towel,1,5.00\no2,Cup,2,3.25\no2,Cup,2,free\no3,Cup,1,1\n"
)


CUSTOMERS = "customer_reference,first_name,last_name,status\nc1,A,B,Active\nc2,A,B,Active\nc3,A,B,Active\n"


def message(reference: str, orders: int, spent: int | str, **more: Any) -> dict[str, Any]:
    figures = {"number_of_orders": orders, "total_amount_spent": spent}
    return {"type": "customer_message", "customer_reference": reference, **figures, **more}


DAYS = {
    "A column": Day(
        files={
            "customers": "customer_reference,first_name,last_name,status,registered_at\n"
            "c1,A,B,Active,1643587200\nc2,A,B,Active,last spring\nc3,A,B,Active,0\n",
            "orders": ORDERS,
            "items": ITEMS,
        },
        incomplete={"c3": 2},
        errors={
            ("customers", 3): "not_a_timestamp",
            ("orders", 3): "refused_customer",
            ("orders", 4): "not_a_timestamp",
            ("items", 3): "refused_order",
            ("items", 4): "not_an_amount",
            ("items", 5): "refused_order",
        },
        messages=[message("c1", 1, 5), message("c3", 0, 0)],
    ),
    "An optional column in the message": Day(
        files={
            "customers": "segment,customer_reference,first_name,last_name,status\n"
            "business,c1,A,B,Active\n,c2,A,B,Active\ngold,c3,A,B,Active\n",
            "orders": ORDERS,
            "items": ITEMS,
        },
        incomplete={"c2": 1},
        errors={
            ("customers", 4): "not_allowed",
            ("orders", 4): "not_a_timestamp",
            ("items", 4): "not_an_amount",
            ("items", 5): "refused_order",
        },
        messages=[message("c1", 1, 5, segment="business"), message("c2", 1, "3.25", segment="")],
    ),
    "A fourth file with a sum": Day(
        files={
            "customers": CUSTOMERS,
            "orders": ORDERS,
            "items": ITEMS,
            "payments": "payment_reference,customer_reference,amount\n"
            "p1,c1,4.25\np2,c1,0.25\np3,c2,-1\np3,c2,7\np4,c3,much\np5,c9,2\n",
        },
        incomplete={"c2": 2, "c3": 3},
        errors={
            ("orders", 4): "not_a_timestamp",
            ("items", 4): "not_an_amount",
            ("items", 5): "refused_order",
            ("payments", 5): "duplicate_reference",
            ("payments", 6): "not_an_amount",
            ("payments", 7): "unknown_customer",
        },
        messages=[
            message("c1", 1, 5, total_amount_paid="4.5"),
            message("c2", 1, "3.25", total_amount_paid=-1),
            message("c3", 0, 0, total_amount_paid=0),
        ],
    ),
}
CHANGES = tuple(DAYS)


def follow(project: Clone, title: str) -> None:
    """Make a change of the guide in a copy."""
    for name, before, after in steps(title):
        file = project.root / name
        text = file.read_text()
        assert text.count(before) == 1, f"{name} has this not exactly once, so the guide is out of date:\n{before}"
        file.write_text(text.replace(before, after))


def steps(title: str) -> list[tuple[str, str, str]]:
    """The edits of a section: a file, the lines that are there and those that take their place."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    found = []
    for name, body in re.findall(r"^```diff\n--- (\S+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        for hunk in body.split("@@\n"):
            lines = hunk.splitlines()
            assert all(not line or line[0] in " -+" for line in lines), hunk
            before = "\n".join(line[1:] for line in lines if line[:1] in ("", " ", "-"))
            after = "\n".join(line[1:] for line in lines if line[:1] in ("", " ", "+"))
            found.append((name, before, after))
    assert found, f"the guide has no change in its section {title}"
    return found
