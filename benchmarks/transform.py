"""The transform compared with other implementations, on the same generated files, from small days to large ones.

Every run is a separate process, the contenders alternate, and the best repeat counts. Compare the ratios; the seconds
depend on the machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.model.data_model import MODEL

from benchmarks.contenders import CONTENDERS, NAMES, VALIDATORS, Files, Limits
from benchmarks.generate import PER_PARENT, Day, generate
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


def growth(sizes: Sequence[dict[str, Any]], name: str, number: int) -> float | None:
    """Return the exponent of the growth of a contender's time from the previous size; 1 is linear."""
    if number == 0 or any(name not in sizes[at]["sides"] for at in (number - 1, number)):
        return None
    before, after = sizes[number - 1], sizes[number]
    seconds = after["sides"][name]["seconds"] / before["sides"][name]["seconds"]
    return math.log(seconds) / math.log(after["roots"] / before["roots"])


def render(result: Result) -> str:
    """Return the tables as Markdown."""
    sizes, bad = result.data["sizes"], result.data["bad"]
    clean, dirty = (entry["sides"]["ours"] for entry in bad)
    per_parent = " and ".join(map(str, PER_PARENT))
    return "\n\n".join(
        [
            paragraph(
                f"""All with a limit of {sizes[0]["memory_mb"]:,} MB and {sizes[0]["threads"]} threads for DuckDB;
                {per_parent} records of a kind for each one of its parent. Growth is the exponent from the size before:
                1 is linear."""
            ),
            _ours_table(sizes),
            "Other implementations, as multiples of our time; only ours validates and writes the chunk files:",
            _others_table(sizes),
            "![Time and memory by size of the day](performance.svg)",
            paragraph(
                f"""Bad data: {bad[1]["bad"]:,} of {bad[1]["records"]:,}
                records without a valid amount take {dirty["seconds"] / clean["seconds"]:.2f} times as long as none
                ({dirty["seconds"]:.2f} s, {dirty["peak_mb"]["main"]:,.0f} MB at a limit of {bad[1]["memory_mb"]} MB).
                {_validators_sentence(result.data.get("validators"))}"""
            ),
        ]
    )


def _ours_table(sizes: Sequence[dict[str, Any]]) -> str:
    rows = []
    for number, size in enumerate(sizes):
        run, base, exponent = size["sides"]["ours"], size["sides"]["bare"], growth(sizes, "ours", number)
        rows.append(
            [
                f"{size['roots']:,}",
                f"{size['csv_mb']:,.1f} MB",
                f"{run['seconds']:.2f} s",
                f"{size['records'] / run['seconds'] / 1e6:.2f} M",
                f"{run['peak_mb']['main']:,.0f} MB",
                f"{run['disk_mb']:,.0f} MB",
                "" if exponent is None else f"{exponent:.2f}",
                f"{run['seconds'] / base['seconds']:.2f}",
                f"{run['cpu_seconds'] / base['cpu_seconds']:.2f}",
            ]
        )
    headings = ("CSV", "time", "rows/s", "peak memory", "disk", "growth", "× bare", "× bare, CPU")
    return table([str(MODEL.root), *headings], rows)


def _others_table(sizes: Sequence[dict[str, Any]]) -> str:
    def cell(size: dict[str, Any], name: str) -> str:
        run = size["sides"].get(name)
        mine = size["sides"]["ours"]["seconds"]
        return "" if run is None else f"{run['seconds'] / mine:.2f} ({run['peak_mb']['main']:,.0f} MB)"

    others = [name for name in NAMES if name != "ours"]
    rows = [[f"{size['roots']:,}", *(cell(size, name) for name in others)] for size in sizes]
    return table([str(MODEL.root), *(NAMES[name] for name in others)], rows)


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
