from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.contenders import CONTENDERS, Limits
from benchmarks.generate import SUM, Day, generate
from benchmarks.results import DOCUMENT, Result, load
from benchmarks.transform import PLOT, draw, fingerprint, measure, render

DAY = Day(60)


@pytest.fixture
def files(tmp_path: Path) -> dict:
    return generate(DAY, tmp_path / "day")


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_comes_to_the_same_result(name: str, files: dict, tmp_path: Path) -> None:
    expected = sum(Decimal(number * 37 % 1000) + Decimal(number % 100) / 100 for number in range(DAY.records(SUM.kind)))
    results, total = CONTENDERS[name](files, Limits(500, 1), tmp_path)
    assert (results, Decimal(total if isinstance(total, str) else total())) == (60, expected)


@pytest.mark.slow
def test_a_quick_run_measures_shows_and_draws(tmp_path: Path) -> None:
    result = Result.of("transform", measure(quick=True, say=lambda _: None))
    shown = render(result)
    assert all(column in shown for column in ("× bare", "peak memory", "csv and Decimal"))
    draw(result, tmp_path / "plot.svg")
    assert "csv and Decimal" in (tmp_path / "plot.svg").read_text()


def test_the_document_shows_what_is_kept() -> None:
    assert DOCUMENT.read_text() == bench.document(), "write it anew: python -m benchmarks --write"


def test_the_plot_shows_what_is_kept() -> None:
    kept = load("transform")
    assert kept, "nothing is kept: make bench"
    assert fingerprint(kept) in PLOT.read_text(), "draw it anew: python -m benchmarks --write"
