"""The check of the day's benchmark finds lost, doubled and wrong results, and the benchmark shows all stages."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from pipeline.model import data_model

from benchmarks import day
from benchmarks.generate import generate
from benchmarks.outcome import NotExactError, Result, compare, expected, sent, stored
from benchmarks.results import Result as Kept

BATCH = "20220131"
FACTS = Counter(Result(BATCH, f"c-{number}", Decimal(2), Decimal("87.50")) for number in range(3))
ONE, OTHER, *_ = FACTS


def test_results_that_are_all_there_once_pass() -> None:
    compare("messages", FACTS, Counter({fact._replace(total_amount_spent=Decimal("87.5")): 1 for fact in FACTS}))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (FACTS - Counter([ONE]), "of 3 messages there are 1 lost"),
        (FACTS + Counter([ONE]), "there are 1 doubled"),
        (FACTS + Counter([ONE, ONE, OTHER]), "there are 3 doubled"),
        (FACTS - Counter([ONE]) + Counter([OTHER]), "there are 1 lost, .*; 1 doubled"),
        (FACTS + Counter([ONE._replace(batch="20220201")]), "there are 1 wrong, .*20220201"),
        (FACTS - Counter([ONE]) + Counter([ONE._replace(total_amount_spent=Decimal(87))]), "1 lost, .*; 1 wrong"),
    ],
)
def test_a_lost_a_doubled_and_a_wrong_result_are_reported(found: Counter[Result], message: str) -> None:
    with pytest.raises(NotExactError, match=message):
        compare("messages", FACTS, found)


def test_the_expected_results_are_those_of_the_files(tmp_path: Path) -> None:
    contents = {
        data_model.CUSTOMERS: "customer_reference,first_name,last_name,status\nc-1,Ada,Byron,\nc-2,Max,Born,\n",
        data_model.ORDERS: "order_reference,customer_reference,order_status,order_timestamp\no-1,c-1,,1\no-2,c-1,,1\n",
        data_model.ITEMS: "order_reference,item_name,quantity,total_price\n"
        "o-1,Pen,1,0.10\no-1,Ink,1,0.20\no-2,Ink,1,-0.1\n",
    }
    files = {kind: tmp_path / kind for kind in contents}
    for kind, path in files.items():
        path.write_text(contents[kind])

    assert expected(BATCH, files) == Counter(
        [Result(BATCH, "c-1", Decimal(2), Decimal("0.2")), Result(BATCH, "c-2", Decimal(0), Decimal(0))]
    )


def test_messages_and_items_are_read_as_results() -> None:
    message = {"batch": BATCH, "body": '{"customer_reference":"c-1","number_of_orders":2,"total_amount_spent":87.5}'}
    item = {"customer_reference": {"S": "c-1"}, "number_of_orders": {"N": "2"}, "total_amount_spent": {"N": "87.50"}}
    other = item | {"customer_reference": {"S": "c-2"}}
    items = {(f"customer#c-{number}", f"batch#{BATCH}"): one for number, one in ((1, item), (2, other))}
    marker: dict = {("batch#marker", "error#marker#0#m"): {}}

    assert sent([message, message]) == Counter({Result(BATCH, "c-1", 2, Decimal("87.5")): 2})
    assert stored(items | marker) == Counter(Result(BATCH, name, 2, Decimal("87.5")) for name in ("c-1", "c-2"))
    assert sent([{"batch": BATCH, "body": '{"type":"error_message"}'}]) == Counter([Result(BATCH, None, None, None)])


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
    sentences = " ".join(text.split())

    assert "**11.0 seconds from the last upload to the last message**, after 0.2 seconds" in sentences
    assert "| transform | 0.50 | 2.25 | 1.75 | 1 | 1.70 |" in text
    assert "| all | 0.00 | 11.00 | 11.00 | 105 | 11.40 |" in text
    assert "The ingest queue held at most 52 events, 5 of them in the hands of intake." in sentences
    assert "the first day was COMPLETED at 4.4, the last at 38.2, and the last of 10,000 messages was sent" in sentences
    assert "busy for 40 of the 49 seconds, all functions together for 33, with 61 cold starts" in sentences

    data["one"]["processor_seconds"] = data["many"]["processor_seconds"] = {}
    assert "busy" not in day.render(Kept("day", "2022-01-31", "a machine", data))
