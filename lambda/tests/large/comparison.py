"""Run the same day with both engines and compare their output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batches import BATCH, file_name, working_directory
from pipeline.joining.customer_data_processor import (
    Options,
    Outcome,
    Previous,
    SourceFile,
    messages,
    process,
)
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EARLIER: tuple[str, ...] = ()


@dataclass
class Output:
    """The output of a run: chunk files and rejects by name, summary, messages, customers and examples of errors."""

    state: str
    chunks: list[tuple[str, int, bytes]]
    rejects: dict[str, bytes]
    summary: dict[str, Any]
    messages: list[str]
    customers: list[str] | None
    examples: list[dict[str, Any]]


def output_of(outcome: Outcome) -> Output:
    import pyarrow.parquet as pq

    return Output(
        outcome.state,
        [(chunk.path.name, chunk.records, chunk.path.read_bytes()) for chunk in outcome.chunks],
        {path.name: path.read_bytes() for path in outcome.rejects.values()},
        outcome.summary.as_dict(),
        list(messages(outcome)),
        outcome.references and sorted(pq.read_table(outcome.references).column("customer_reference").to_pylist()),
        outcome.examples,
    )


def assert_same(
    spark: SparkSession,
    files: Mapping[RecordKind, bytes],
    split_bytes: int = 1000,
    buckets: int = 2,
    names: Mapping[RecordKind, str] | None = None,
    delivered_before: Sequence[str] = EARLIER,
    errors_before: Sequence[str] = (),
    **options: Any,
) -> Output:
    """Run a day on DuckDB alone and on Spark, and compare their output byte by byte."""
    from pipeline.large.local import process as process_on_spark

    chosen = Options(**({"memory_mb": 200, "threads": 2, "rejects_location": lambda: "feedback/"} | options))
    with working_directory() as directory:
        sources = {}
        for kind, content in files.items():
            path = directory / (names or {}).get(kind, file_name(kind))
            path.write_bytes(content)
            sources[kind] = SourceFile(path.name, path)
        previous = Previous(frozenset(errors_before), _list(delivered_before, directory))
        expected = output_of(process(BATCH, sources, directory / "duckdb", chosen, previous))
        found = output_of(
            process_on_spark(
                spark,
                BATCH,
                sources,
                directory / "spark",
                chosen,
                previous,
                split_bytes=split_bytes,
                buckets=buckets,
            )
        )
    assert found == expected
    return found


def _list(references: Sequence[str], directory: Path) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not references:
        return []
    path = directory / "before.parquet"
    pq.write_table(pa.table({"customer_reference": list(references)}), path)
    return [path]
