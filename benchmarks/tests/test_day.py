"""The checker of the day's benchmark finds what it is there for, and the benchmark shows all stages."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from pipeline.model.data_model import Kind

from benchmarks import day
from benchmarks.generate import generate
from benchmarks.outcome import NotExactError, Result, compare, expected
from benchmarks.results import Result as Kept

BATCH = "20220131"
FACTS = Counter(Result(BATCH, f"c-{number}", Decimal(2), Decimal("87.50")) for number in range(3))
ONE, OTHER, *_ = FACTS


def test_results_that_are_all_there_once_pass() -> None:
    compare("messages", FACTS, Counter({fact._replace(total_amount_spent=Decimal("87.5")): 1 for fact in FACTS}))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (FACTS - Counter([ONE]), "of 3 messages there are 1 lost"),
        (FACTS + Counter([ONE]), "there are 1 doubled"),
        (FACTS + Counter([ONE, ONE, OTHER]), "there are 3 doubled"),
        (FACTS - Counter([ONE]) + Counter([OTHER]), "there are 1 lost, .*; 1 doubled"),
        (FACTS + Counter([ONE._replace(batch="20220201")]), "there are 1 wrong, .*20220201"),
        (FACTS - Counter([ONE]) + Counter([ONE._replace(total_amount_spent=Decimal(87))]), "1 lost, .*; 1 wrong"),
    ],
)
def test_a_lost_a_doubled_and_a_wrong_result_are_told(found: Counter[Result], told: str) -> None:
    with pytest.raises(NotExactError, match=told):
        compare("messages", FACTS, found)


def test_a_day_is_added_up_from_its_files(tmp_path: Path) -> None:
    contents = {
        Kind.CUSTOMERS: "customer_reference\nc-1\nc-2\n",
        Kind.ORDERS: "order_reference,customer_reference\no-1,c-1\no-2,c-1\n",
        Kind.ITEMS: "order_reference,total_price\no-1,0.10\no-1,0.20\no-2,-0.1\n",
    }
    files = {kind: tmp_path / kind for kind in contents}
    for kind, path in files.items():
        path.write_text(contents[kind])

    assert expected(BATCH, files) == Counter(
        [Result(BATCH, "c-1", Decimal(2), Decimal("0.2")), Result(BATCH, "c-2", Decimal(0), Decimal(0))]
    )


def test_no_two_of_the_days_that_come_at_once_have_the_same_results(tmp_path: Path) -> None:
    shapes = day.shapes(20, 10)
    sums = [expected(BATCH, generate(shape, tmp_path / str(number))) for number, shape in enumerate(shapes)]

    assert len({frozenset(facts) for facts in sums}) == 20


def test_the_stages_are_shown_with_their_times() -> None:
    data = {
        "one": {
            "customers": 10_000,
            "orders": 40_000,
            "items": 120_000,
            "csv_mb": 7.3,
            "upload": 0.25,
            "chunks": 2,
            "stages": {"intake": [0.0, 0.5], "transform": [0.5, 2.25], "publish": [3.0, 11.0]},
            "calls": {"intake": [3, 0.9], "transform": [1, 1.7], "publish": [101, 8.8], "workflow": [0, 0.0]},
            "processor_seconds": {"emulator": 9.4, "functions": 5.2},
        },
        "many": {
            "days": 20,
            "customers": 500,
            "files": 60,
            "csv_mb": 4.8,
            "deepest": 52,
            "hidden": 5,
            "first_ended": 4.4,
            "last_ended": 38.2,
            "last_message": 48.9,
            "messages": 10_000,
            "cold_starts": 61,
            "processor_seconds": {"emulator": 40.0, "functions": 33.0},
        },
    }

    text = day.render(Kept("day", "2022-01-31", "a machine", data))

    assert "**11.0 seconds from the last upload to the last message**, after 0.2 seconds" in text
    assert "| transform | 0.50 | 2.25 | 1.75 | 1 | 1.70 |" in text
    assert "| all | 0.00 | 11.00 | 11.00 | 105 | 11.40 |" in text
    assert "| most events seen in the ingest queue | 52 |" in text

    assert "61 cold starts" in text

    data["one"]["processor_seconds"] = data["many"]["processor_seconds"] = {}
    assert "processor time" not in day.render(Kept("day", "2022-01-31", "a machine", data))
