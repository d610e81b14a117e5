"""The bill follows from the counted usage, and the README shows the computed cost."""

from __future__ import annotations

import re

import pytest

from benchmarks import cost
from benchmarks.cost import MILLION, basis, bill, dollars
from benchmarks.results import ROOT, Result, load

CHUNK = 60


@pytest.fixture(scope="module")
def counted() -> dict[int, dict[str, float]]:
    """The usage of two days that the functions processed in memory."""
    return {results: cost.count(results, CHUNK) for results in (CHUNK, 2 * CHUNK)}


@pytest.mark.slow
def test_a_customer_more_is_a_write_unit_and_a_message_more(counted: dict[int, dict[str, float]]) -> None:
    small, large = counted[CHUNK], counted[2 * CHUNK]

    assert large["messages"] - small["messages"] == CHUNK
    assert large["write_unit"] - small["write_unit"] == CHUNK
    assert large["fifo_request"] - small["fifo_request"] == CHUNK / 10
    assert large["state_transition"] - small["state_transition"] == 2


@pytest.mark.slow
def test_a_bill_grows_with_the_day(counted: dict[int, dict[str, float]]) -> None:
    amounts = [dollars(bill(n, counted, basis())) for n in (1, 10_000, MILLION, 2 * MILLION)]

    assert amounts == sorted(amounts)
    assert amounts[3] == pytest.approx(2 * amounts[2], rel=0.02)


def test_the_readme_says_what_a_million_customers_cost() -> None:
    kept = load("cost")
    assert kept, "there is no result: make bench"
    text = " ".join((ROOT / "README.md").read_text().split())
    said = re.search(r"\$(\d+\.\d\d) a million customers.*?(\d+) % of it (\w+)", text)
    assert said, "README.md has no sentence with the figure"
    largest, amount = next(iter(cost.by_service(kept.data["lines"]).items()))
    total = dollars(kept.data["lines"])
    assert said.groups() == (f"{total:.2f}", f"{amount / total:.0%}"[:-1], largest)


def test_the_bill_that_is_kept_can_be_shown() -> None:
    kept = load("cost")
    assert kept
    assert f"**${dollars(kept.data['lines']):.2f}**" in cost.render(Result("cost", "", "", kept.data))
