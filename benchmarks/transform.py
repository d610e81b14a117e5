"""The transform compared with other implementations, on the same generated files, from small days to large ones.

Every run is a separate process, the contenders alternate, and the best repeat counts. Compare the ratios; the seconds
depend on the machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.model.data_model import MODEL

from benchmarks.contenders import CONTENDERS, NAMES, VALIDATORS, Files, Limits
from benchmarks.generate import Day, generate
from benchmarks.results import ROOT, SCRATCH, Result, paragraph, table
from benchmarks.run import OutOfMemoryError, Usage, contender

PLOT = ROOT / "docs" / "performance.svg"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 3_000_000)
QUICK_SIZES = (1_000, 10_000)
LARGE = 1_000_000
"""Largest day that is repeated three times."""
LIMITS = Limits(memory_mb=1_000, threads=2)
BAD = 1_000_000
VALIDATED = 10_000

Say = Callable[[str], None]


def measure(quick: bool, say: Say) -> dict[str, Any]:
    """Compare all contenders at all sizes, then the transform alone under other limits and with bad data."""
    sizes = []
    for roots in QUICK_SIZES if quick else SIZES:
        repeats = 1 if quick else 3 if roots <= LARGE else 2
        sizes.append(_entry(Day(roots), LIMITS, CONTENDERS, repeats, say))
    middle = QUICK_SIZES[-1] if quick else LARGE
    bad = [_entry(Day(middle // 2, bad), Limits(500, 2), ["ours"], 2, say) for bad in (0, 1_000 if quick else BAD)]
    installed = [name for name in VALIDATORS if importlib.util.find_spec(name)]
    validators = _entry(Day(VALIDATED), LIMITS, ["ours", *installed], 1 if quick else 3, say)
    return {"sizes": sizes, "bad": bad, "validators": validators}


def _entry(day: Day, limits: Limits, names: Iterable[str], repeats: int, say: Say) -> dict[str, Any]:
    """Measure some contenders on one day and return the results as plain values."""
    say(f"generating {day.roots:,} {MODEL.root}")
    files = generate(day, SCRATCH / f"{day.roots}-{day.bad}")
    best = compare(files, limits, names, repeats, lambda text: say(f"{day.roots:,} {MODEL.root}, {text}"))
    return {
        "roots": day.roots,
        "records": day.all_records,
        "bad": day.bad,
        "csv_mb": sum(path.stat().st_size for path in files.values()) / 1e6,
        "memory_mb": limits.memory_mb,
        "threads": limits.threads,
        "sides": {name: asdict(run) for name, run in best.items()},
    }


def compare(files: Files, limits: Limits, names: Iterable[str], repeats: int, say: Say) -> dict[str, Usage]:
    """Run the contenders alternately and return the best run of each; one that runs out of memory is left out.

    Raises
    ------
    RuntimeError
        The contenders have different results; amounts are rounded because of pandas' floats.
    """
    runs: dict[str, list[Usage]] = {name: [] for name in names}
    for number in range(repeats):
        for name in list(runs):
            say(f"{name}, run {number + 1} of {repeats}")
            try:
                runs[name].append(contender(name, files, limits))
            except OutOfMemoryError:
                if name == "ours":
                    raise
                del runs[name]
    best = {name: min(measured, key=lambda run: run.seconds) for name, measured in runs.items()}
    totals = [best[name].answer for name in best if name not in VALIDATORS]
    wrong = [best[name].answer for name in best if name in VALIDATORS and best[name].answer[0]]
    if len({(count, round(Decimal(total), 2)) for count, total in totals}) != 1 or wrong:
        raise RuntimeError(
            f"the contenders came to different results: { {name: run.answer for name, run in best.items()} }"
        )
    return best


def render(result: Result) -> str:
    """Return the table and the sentences about it as Markdown."""
    sizes, bad = result.data["sizes"], result.data["bad"]
    clean, dirty = (entry["sides"]["ours"] for entry in bad)
    text = f"""Limit: {sizes[0]["memory_mb"]:,} MB and {sizes[0]["threads"]} threads for DuckDB. With
        {bad[1]["bad"]:,} of {bad[1]["records"]:,} records refused, our time is
        {dirty["seconds"] / clean["seconds"]:.2f} times that of none.
        {_validators_sentence(result.data.get("validators"))}"""
    return f"{_table(sizes)}\n\n{paragraph(text)}"


def _table(sizes: Sequence[dict[str, Any]]) -> str:
    """Our time and memory by size, and the time of each other contender as a multiple of ours."""
    others = [name for name in NAMES if name != "ours"]
    rows = []
    for size in sizes:
        run = size["sides"]["ours"]
        multiples = [
            size["sides"][name]["seconds"] / run["seconds"] if name in size["sides"] else None for name in others
        ]
        rows.append(
            [
                f"{size['roots']:,}",
                f"{size['csv_mb']:,.0f} MB",
                f"{run['seconds']:.2f} s",
                f"{run['peak_mb']['main']:,.0f} MB",
                *("" if one is None else f"{one:.2f}" for one in multiples),
            ]
        )
    return table([str(MODEL.root), "CSV", "time", "peak memory", *(f"× {NAMES[name]}" for name in others)], rows)


def _validators_sentence(entry: dict[str, Any] | None) -> str:
    if not entry or len(entry["sides"]) == 1:
        return ""
    rates = [f"{name} {entry['records'] / run['cpu_seconds']:,.0f}" for name, run in entry["sides"].items()]
    return f"Rows validated a processor second, of {entry['records']:,}: {', '.join(rates)}."


def draw(result: Result, target: Path = PLOT) -> None:
    """Draw time and memory by size; the same results give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes = result.data["sizes"]
    with mpl.rc_context({"svg.hashsalt": "performance", "font.size": 9}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        seconds, memory = figure.subplots(1, 2)
        for name in CONTENDERS:
            known = [(size["roots"], size["sides"][name]) for size in sizes if name in size["sides"]]
            style = {"marker": "o", "markersize": 3, "label": NAMES[name]}
            seconds.plot([roots for roots, _ in known], [run["seconds"] for _, run in known], **style)
            memory.plot([roots for roots, _ in known], [run["peak_mb"]["main"] for _, run in known], **style)
        for axes, label in ((seconds, "seconds"), (memory, "peak memory, MB")):
            axes.set(xscale="log", yscale="log", xlabel=str(MODEL.root), ylabel=label)
            axes.grid(visible=True, alpha=0.3)
        seconds.legend()
        figure.savefig(target, format="svg", metadata={"Date": None, "Source": fingerprint(result)})


def fingerprint(result: Result) -> str:
    """Return a digest of the plotted data, which is stored in the plot, so that an outdated plot is detected."""
    return hashlib.sha256(json.dumps(result.data["sizes"]).encode()).hexdigest()
