"""Run the same day with both engines and compare their output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from batches import BATCH, file_name, working_directory
from pipeline.joining.customer_data_processor import Options, Outcome, Previous, SourceFile, messages, process
from pipeline.model.items import IDENTITY
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass
class Output:
    """The output of a run. Where a chunk file ends may differ between engines, but not the requests in their order."""

    state: str
    puts: list[bytes]
    deletes: list[bytes]
    rejects: dict[str, bytes]
    summary: dict[str, Any]
    messages: list[str]
    references: list[str] | None
    examples: list[dict[str, Any]]


def output_of(outcome: Outcome, chunk_records: int) -> Output:
    requests: list[bytes] = []
    for chunk in outcome.chunks:
        lines = chunk.path.read_bytes().splitlines(keepends=True)
        assert 0 < len(lines) == chunk.records <= chunk_records
        requests += lines
    return Output(
        outcome.state,
        *puts_and_deletes(requests),
        {path.name: path.read_bytes() for path in outcome.rejects.values()},
        outcome.summary.as_dict(),
        list(messages(outcome)),
        outcome.references and references(outcome.references),
        list(outcome.examples),
    )


def references(parquet: Path | IO[bytes]) -> list[str]:
    import pyarrow.parquet as pq  # only there with Spark: the tests are collected without it

    return sorted(pq.read_table(parquet).column(0).to_pylist())


def puts_and_deletes(requests: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Divide requests: a chunk file that removes results has all its puts before its deletes."""
    puts = [request for request in requests if request.startswith(b'{"PutRequest"')]
    return puts, [request for request in requests if not request.startswith(b'{"PutRequest"')]


def assert_same(
    spark: SparkSession,
    files: Mapping[RecordKind, bytes],
    split_bytes: int = 1000,
    names: Mapping[RecordKind, str] | None = None,
    delivered_before: Sequence[str] = (),
    errors_before: Sequence[str] = (),
    **options: Any,
) -> Output:
    """Run a day on DuckDB alone and on Spark, and compare their output."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pipeline.large.local import process as process_on_spark

    chosen = Options(**({"memory_mb": 200, "threads": 2, "rejects_location": lambda: "feedback/"} | options))
    with working_directory() as directory:
        sources = {}
        for kind, content in files.items():
            path = directory / (names or {}).get(kind, file_name(kind))
            path.write_bytes(content)
            sources[kind] = SourceFile(path.name, path)
        lists = [directory / "before.parquet"] if delivered_before else []
        for path in lists:
            pq.write_table(pa.table({IDENTITY: list(delivered_before)}), path)
        previous = Previous(frozenset(errors_before), lists)
        expected = output_of(process(BATCH, sources, directory / "duckdb", chosen, previous), chosen.chunk_records)
        found = output_of(
            process_on_spark(spark, BATCH, sources, directory / "spark", chosen, previous, split_bytes=split_bytes),
            chosen.chunk_records,
        )
    assert found == expected
    return found
