"""Update docs/performance.md: the results of each benchmark are between two comments with its name."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.results import ROOT, Result

DOCUMENT = ROOT / "docs" / "performance.md"

Render = Callable[[Result], str]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; the first column is text, all others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def paragraph(text: str) -> str:
    """Wrap a text."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def fill(text: str, results: Iterable[Result], renders: Mapping[str, Render]) -> str:
    """Insert the results between the comments `<!-- name -->` and `<!-- /name -->`.

    Raises
    ------
    ValueError
        The document does not have these comments.
    """
    for result in results:
        block = f"{renders[result.name](result).strip()}\n\nMeasured on {result.date}: {result.machine}."
        begin, end = f"<!-- {result.name} -->\n", f"<!-- /{result.name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{DOCUMENT.name} has no place for {result.name}: {begin.strip()} … {end}")
        text = f"{before}{begin}{block}\n{end}{after}"
    return text
