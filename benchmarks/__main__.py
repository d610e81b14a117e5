"""`make bench`: run the benchmarks, store their results and write them into docs/performance.md.

Example:
    python -m benchmarks transform start --quick
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.results import DOCUMENT, KEPT, SCRATCH, Result, fill, load

NAMES = ("transform", "start", "cost")
"""The benchmarks in the order in which they run; the last one uses the results of the first.

Each is a module with `measure(quick, say)`, which returns its data as plain JSON values and reports its progress with
`say`, and `render(result)`, which returns a result as Markdown.
"""

ON_REQUEST = ("large",)
"""Benchmarks that run only if they are named, as they need more than `make bench` installs."""


def benchmark(name: str) -> Any:
    """Import a benchmark only when it is needed, as each has dependencies of its own."""
    return importlib.import_module(f"benchmarks.{name}")


def document() -> str:
    """Return docs/performance.md with the stored results filled in."""
    kept = [result for name in (*NAMES, *ON_REQUEST) if (result := load(name))]
    return fill(DOCUMENT.read_text(), kept, {one.name: benchmark(one.name).render for one in kept})


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(NAMES)} by default all; or large.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes; shown, but not kept.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Only write the document from what was kept.")] = False,
) -> None:
    """Measure, show the ratios, and keep them in benchmarks/results and docs/performance.md."""
    console = Console(stderr=True)
    if unknown := set(names or ()) - {*NAMES, *ON_REQUEST}:
        raise typer.BadParameter(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in () if write else names or NAMES:
        with console.status(f"{name}…") as status:
            data = benchmark(name).measure(quick, lambda text, name=name: status.update(f"{name}: {text}…"))
        result = Result.of(name, data)
        path = result.save(SCRATCH if quick else KEPT)
        Console().print(f"\n{benchmark(name).render(result)}\n", markup=False, highlight=False, soft_wrap=True)
        console.print(f"kept in {path}")
    if not quick:
        DOCUMENT.write_text(document())
        if transform := load("transform"):
            benchmark("transform").draw(transform)
        console.print(f"written into {DOCUMENT}")


if __name__ == "__main__":
    typer.run(main)
