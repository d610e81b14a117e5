"""Blocks carry all rows of a table, and rows with the same key to the same bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-spark does")
from pipeline.large import blocks
from pipeline.large.blocks import bucket, load, pack, to_rows, unpack
from pipeline.reading.sql import connect

ROWS = "SELECT 'r' || i % 500 AS reference, 'p' || i AS parent, i % 7 = 0 AS is_accepted FROM range(2000) AS rows(i)"


@pytest.mark.parametrize("held_bytes", [1 << 20, 5_000])
def test_rows_come_back_from_blocks_in_memory_or_in_tables_that_can_spill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int
) -> None:
    monkeypatch.setattr(blocks, "HELD_BYTES", held_bytes)
    with connect(tmp_path, 100, 1) as source:
        expected = source.execute(f"{ROWS} ORDER BY ALL").fetchall()
        packed = list(pack(source, "orders_judged", bucket("reference", 5), ROWS))
    assert {number for number, _ in packed} == set(range(5))

    with connect(tmp_path, 100, 1) as target:
        load(target, unpack(packed), ["orders_judged", "orders_good"])
        tables = target.execute("SELECT table_name FROM duckdb_tables()").fetchall()

        assert target.execute("FROM orders_judged ORDER BY ALL").fetchall() == expected
        assert target.execute("FROM orders_good").fetchall() == []
    assert bool(tables) is (held_bytes < 10_000)


def test_a_key_is_in_one_bucket_whichever_task_and_table_it_comes_from(tmp_path: Path) -> None:
    of_table = {
        "orders_judged": ("reference", ROWS),
        "refused_items": ("parent", f"SELECT reference AS parent, 1 AS records, 1.0 AS amount FROM ({ROWS})"),
    }
    buckets: dict[str, set[int]] = {}
    for table, (key, rows) in of_table.items():
        with connect(tmp_path, 100, 1) as connection:
            for number, block in pack(connection, table, bucket(key, 7), rows):
                for value in to_rows(block.data).column(key).to_pylist():
                    buckets.setdefault(value, set()).add(number)

    assert len(buckets) == 500
    assert all(len(numbers) == 1 for numbers in buckets.values())
