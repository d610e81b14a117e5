"""Implementations that add up a day's files to a total for each record of the root kind, from ours to the simplest.

Each takes the paths by kind, DuckDB's limits and a working folder, and returns the number of results and the sum of all
totals; only `ours` validates every record and writes chunk files. They follow the model from the first sum to the root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import ColumnType, RecordKind

from benchmarks.generate import BATCH, SUM, rows


@dataclass(frozen=True, slots=True)
class Limits:
    """DuckDB's limits: memory in MB, and threads."""

    memory_mb: int
    threads: int


Files = Mapping[RecordKind, Path]
Answer = tuple[int, str | Callable[[], str]]
"""The number of results, and the sum of all totals or a function that reads it from the output (not measured)."""


def _chain() -> list[tuple[RecordKind, str]]:
    """Return the kinds below the root from that of the sum upwards, each with the column of its parent."""
    found, kind = [], SUM.kind
    while kind.parent:
        found.append((kind, kind.parent.column))
        kind = kind.parent.kind
    return found


CHAIN = _chain()
ROOT_ID = str(MODEL.root.identity)


def ours(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Run the whole transform; as in the function, the files are in the working folder and are deleted once read."""
    from pipeline.joining.customer_data_processor import Options, SourceFile, process
    from pipeline.model.messages import number_text

    sources = {kind: SourceFile(path.name, workdir / path.name) for kind, path in files.items()}
    for kind, source in sources.items():
        source.path.hardlink_to(files[kind])
    summary = process(BATCH, sources, workdir, Options(limits.memory_mb, limits.threads, keep_files=False)).summary
    return summary.files[MODEL.root].counted, number_text(summary.reconciliations[SUM.name].delivered_amount)


def bare(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Sum, join and write the result as JSON lines with DuckDB, without validation."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_mb}MB",
        "threads": str(limits.threads),
        "temp_directory": str(workdir / "spill"),
        "preserve_insertion_order": "false",
    }
    steps, amount, below = [], f'CAST("{SUM.column}" AS DECIMAL(18,4))', ""
    for kind, parent in CHAIN:
        steps.append(
            f"""{kind}_sums AS (SELECT {kind}."{parent}" AS reference, count(*) AS records, sum({amount}) AS amount
                FROM read_csv('{files[kind]}', header = true, all_varchar = true) AS {kind} {below} GROUP BY 1)"""
        )
        above = kind.parent.kind if kind.parent else kind
        amount, below = "amount", f'LEFT JOIN {kind}_sums ON {above}."{above.identity}" = {kind}_sums.reference'
    root, output = MODEL.root, workdir / "bare.jsonl"
    with duckdb.connect(config=config) as connection:
        row = connection.execute(
            f"""COPY (WITH {", ".join(steps)} SELECT {root}."{ROOT_ID}", coalesce(records, 0) AS records,
                    coalesce(amount, 0) AS amount
                FROM read_csv('{files[root]}', header = true, all_varchar = true) AS {root} {below} ORDER BY 1
            ) TO '{output}' (FORMAT json)"""
        ).fetchone()
    return row[0] if row else 0, lambda: _written_total(output)


def _written_total(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return str(sum(json.loads(line, parse_float=Decimal)["amount"] for line in lines))


def polars(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Do the same with polars' streaming engine; amounts are exact decimals, nothing is validated."""
    import polars as pl

    below: Any = None
    for kind, parent in CHAIN:
        frame = pl.scan_csv(files[kind], schema_overrides={SUM.column: pl.Decimal(18, 4)})
        frame = frame.rename({SUM.column: "amount"}) if below is None else _joined(frame, below, kind)
        below = frame.group_by(parent).agg(pl.len().alias("records"), pl.col("amount").sum())
    found = _joined(pl.scan_csv(files[MODEL.root]).select(ROOT_ID), below, MODEL.root)
    results = found.sort(ROOT_ID).collect(engine="streaming")
    results.write_ndjson(workdir / "polars.jsonl")
    return results.height, str(results["amount"].sum())


def _joined(frame: Any, below: Any, kind: RecordKind) -> Any:
    (child,) = (parent for one, parent in CHAIN if one.parent and one.parent.kind is kind)
    return frame.join(below, left_on=kind.identity, right_on=child, how="left")


def plain(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Read with the csv module and add up Decimals in dictionaries, row by row."""
    owners = {row[ROOT_ID]: row[ROOT_ID] for row in rows(files[MODEL.root])}
    totals = dict.fromkeys(owners, Decimal(0))
    for kind, parent in reversed(CHAIN[1:]):
        owners = {row[str(kind.identity)]: owners[row[parent]] for row in rows(files[kind]) if row[parent] in owners}
    kind, parent = CHAIN[0]
    for row in rows(files[kind]):
        if row[parent] in owners:
            totals[owners[row[parent]]] += Decimal(row[SUM.column])
    return len(totals), str(sum(totals.values()))


def frictionless(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Validate types, keys and relations with frictionless, which adds nothing up: the answer is how much is wrong."""
    from frictionless import Package, Resource, Schema, system  # type: ignore[import-not-found]  # it is optional

    types = {ColumnType.AMOUNT: "number", ColumnType.INTEGER: "integer", ColumnType.TIMESTAMP: "integer"}
    resources = []
    for kind, path in files.items():
        descriptor: dict[str, Any] = {
            "fields": [{"name": column.name, "type": types.get(column.type, "string")} for column in kind.columns]
        }
        if kind.identity:
            descriptor["primaryKey"] = [kind.identity]
        if kind.parent:
            named = {"resource": str(kind.parent.kind), "fields": [kind.parent.kind.identity]}
            descriptor["foreignKeys"] = [{"fields": [kind.parent.column], "reference": named}]
        resources.append(Resource(name=str(kind), path=str(path), schema=Schema.from_descriptor(descriptor)))
    with system.use_context(trusted=True):
        report = Package(resources=resources).validate()
    return sum(task.stats["errors"] or 0 for task in report.tasks), "0"


CONTENDERS: dict[str, Callable[[Files, Limits, Path], Answer]] = {
    "ours": ours,
    "bare": bare,
    "polars": polars,
    "plain": plain,
}
NAMES = {
    "ours": "ours",
    "bare": "bare DuckDB query",
    "polars": "polars",
    "plain": "csv and Decimal",
}
VALIDATORS = {"frictionless": frictionless}
"""These add nothing up, and are compared by the rows that they check a second, if they are installed."""
