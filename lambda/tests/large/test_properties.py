"""For any mix of defects, any bytes and splits of any size, Spark's output is that of DuckDB alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comparison import assert_same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pipeline.model.record_kinds import RecordKind

sys.path.append(str(Path(__file__).parents[1] / "property"))
from test_transform_properties import GOOD, batches, mutated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

EXAMPLES = int(os.environ.get("SPARK_EXAMPLES", "5"))
"""Days; each takes some seconds."""


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES <= 100,
    phases=(Phase.generate,),
)
@given(
    batches | st.fixed_dictionaries({kind: mutated(content) for kind, content in GOOD.items()}),
    st.integers(20, 400),
    st.integers(1, 9),
)
def test_any_mix_of_defects_and_any_damage(
    spark: SparkSession, batch: dict[RecordKind, bytes], split_bytes: int, chunk_records: int
) -> None:
    assert_same(spark, batch, split_bytes, chunk_records=chunk_records, max_error_messages=5)
