"""Prices have a source, the bill hangs together, and the README says what the model says."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from datetime import date

import hcl2
import pytest
from hcl2 import SerializationOptions

from benchmarks import beyond, bill, cost
from benchmarks.bill import CHILD_TRANSITIONS, MILLION, RUN_STATES, TYPICAL, Measured, Times
from benchmarks.results import ROOT, Result, load
from benchmarks.traffic import Day, Sizes, optional_defaults, read_settings

SETTINGS = read_settings()
MEASURED = Measured(Sizes(), {})
TIMES = Times()

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", bill.prices())
def test_a_price_says_when_and_where_it_was_found(name: str) -> None:
    price = bill.prices()[name]

    assert price.usd > 0
    assert date.fromisoformat(price.looked_up) >= date(2026, 1, 1)
    assert price.page.startswith("https://aws.amazon.com/")
    assert price.source
    assert price.unit
    assert price.confirmed == (price.region == "eu-west-1"), "another region's price is not confirmed for ours"


def test_the_dashboard_reckons_with_the_same_prices() -> None:
    plain = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    declared = hcl2.loads((ROOT / "infra/variables.tf").read_text(), serialization_options=plain)["variable"]
    (variable,) = (entry["prices"] for entry in declared if "prices" in entry)
    dashboard = optional_defaults(variable)

    # The dashboard can't tell the queues apart and takes the dearer request for all.
    expected = {name: bill.prices()[name].usd for name in dashboard}
    assert dashboard == {**expected, "queue_request": bill.prices()["fifo_request"].usd}


def test_a_run_passes_the_states_that_are_charged() -> None:
    text = (ROOT / "infra/modules/workflow/state_machine.json.tftpl").read_text()
    states = json.loads(re.sub(r"\$\{\w+\}", "1", text))["States"]
    for state, following in itertools.pairwise(RUN_STATES):
        ways = [states[state].get("Next"), states[state].get("Default")]
        assert following in [*ways, *(choice["Next"] for choice in states[state].get("Choices", ()))]
    assert states[RUN_STATES[-1]]["Type"] == "Succeed"
    child = states["Deliver"]["ItemProcessor"]
    assert child["ProcessorConfig"]["ExecutionType"] == "STANDARD"
    assert child["States"][child["StartAt"]]["End"]
    assert CHILD_TRANSITIONS == 2


def test_a_bill_grows_with_the_day() -> None:
    amounts = [bill.dollars(bill.bill(Day(n), SETTINGS, MEASURED, TIMES)) for n in (0, 1, 10_000, MILLION, 2 * MILLION)]

    assert amounts == sorted(amounts)
    assert amounts[4] == pytest.approx(2 * amounts[3], rel=0.02)


def test_a_rerun_pays_for_the_writes_but_for_no_message() -> None:
    lines = bill.bill(replace(TYPICAL, changed=0), SETTINGS, MEASURED, TIMES)
    quantities = {line.what: line.quantity for line in lines}

    assert quantities["results written"] == TYPICAL.customers
    assert quantities["requests of ten messages"] == 0


def test_a_larger_item_takes_more_units() -> None:
    def written(size: float) -> float:
        lines = bill.bill(Day(1_000), SETTINGS, Measured(Sizes(result=size), {}), TIMES)
        return next(line.quantity for line in lines if line.what == "results written")

    assert [written(size) for size in (1_024, 1_025, 2_049)] == [1_000, 2_000, 3_000]


def test_processor_times_are_the_measured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [
        {"customers": n, "sides": {"ours": {"cpu_seconds": seconds}}} for n, seconds in ((1_000, 9), (500_000, 10))
    ]
    sent = {service: {"5": {"ours": {"cpu_seconds": 2, "items": 8}}} for service in ("dynamodb", "sqs")}
    kept = {"transform": {"sizes": sizes}, "delivery": {"cost": sent}}
    monkeypatch.setattr(bill, "load", lambda name: Result(name, "", "", kept[name]))

    assert (bill.times().transform, bill.times().write, bill.times().send) == (20, 0.25, 0.25)


def test_the_size_of_an_item_counts_names_texts_and_numbers() -> None:
    item = {"pk": {"S": "é"}, "n": {"N": "1234"}, "none": {"NULL": True}, "map": {"M": {"k": {"L": [{"S": "ab"}]}}}}

    assert cost.item_bytes(item) == (2 + 2) + (1 + 4) + (4 + 1) + (3 + 3 + 1 + 1 + 3 + 1 + 2)


def test_what_is_counted_is_what_is_predicted_and_shown() -> None:
    data = cost.measure(quick=True, say=lambda _: None)
    data = json.loads(json.dumps(data))

    assert all(sent == predicted for _, _, sent, predicted in data["requests"])
    assert "was predicted" in cost.render(Result("cost", "", "", data))
    assert set(data["measured"]["log_bytes"]) == set(SETTINGS.memory_mb)


def test_a_wrong_prediction_is_told() -> None:
    data = {
        **json.loads(json.dumps(cost.measure(quick=True, say=lambda _: None))),
        "requests": [["deliver", "X", 1, 2]],
    }

    assert "wrong: deliver X 1 instead of 2" in cost.render(Result("cost", "", "", data))


def test_the_readme_says_what_a_million_customers_cost() -> None:
    kept = load("cost")
    assert kept, "there is no result: make bench"
    lines = bill.bill(TYPICAL, SETTINGS, Measured.from_dict(kept.data["measured"]), bill.times())
    largest, *_ = bill.by_service(lines)
    said = re.search(r"costs about \$(\d+\.\d\d) a million customers.*?(\d+) % of it (\w+)", readme(), re.DOTALL)

    assert said, "README.md has no sentence with the figure"
    total = bill.dollars(lines)
    assert said.groups() == (f"{total:.2f}", f"{bill.by_service(lines)[largest] / total:.0%}"[:-1], largest)


def readme() -> str:
    return (ROOT / "README.md").read_text()


TRANSFORM = {
    "customers": 3 * MILLION,
    "csv_mb": 2_400,
    "memory_mb": 1_000,
    "threads": 2,
    "sides": {"ours": {"seconds": 60, "cpu_seconds": 90, "peak_mb": 1_145, "disk_mb": 3_600}},
}


@pytest.mark.parametrize("kept", [None, Result("transform", "", "", {"sizes": [TRANSFORM]})])
def test_the_limits_can_be_shown(monkeypatch: pytest.MonkeyPatch, kept: Result | None) -> None:
    monkeypatch.setattr(beyond, "load", lambda name: kept)
    shown = beyond.render(Result("beyond", "", "", json.loads(json.dumps(beyond.measure(True, lambda _: None)))))

    assert ("not measured" in shown) == (kept is None)
    assert "| 100,000,000 |" in shown


def test_the_least_of_time_and_storage_is_the_limit() -> None:
    rates = beyond.rates([{**TRANSFORM, "customers": 1}, TRANSFORM])
    limit = beyond.most_customers(rates, memory_mb=1_769, storage_mb=10_000, moments=Times(bytes_a_second=1e12))

    assert rates.measured_to == 3 * MILLION
    assert limit["storage"] == pytest.approx(0.9 * 10_000 / 3_600 * 3 * MILLION)
    assert limit["time"] == pytest.approx(0.9 * 900 / 30 * MILLION, rel=0.001)
