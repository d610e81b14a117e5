"""The commands combine what Step Functions, the table and the bucket have about a finished batch."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from e2e.stack import Stack
from pipeline.ledger import BatchState
from pipeline_cli.deployment import runs
from pipeline_cli.deployment.runs import Chunks
from pipeline_cli.deployment.sample import generate
from pipeline_cli.report import day as day_page
from pipeline_cli.report.gather import gather_day

pytestmark = pytest.mark.e2e


def test_a_batch_that_ran_is_reported_with_its_stages_results_and_errors(
    stack: Stack, day: str, tmp_path: Path
) -> None:
    files = generate(tmp_path, day, customers=30, defects=0.05).files.values()
    stack.upload({file.name: file.read_bytes() for file in files})
    entry = stack.ended(day)
    assert entry.state is BatchState.COMPLETED

    found = gather_day(stack.target, day)

    assert [stage.name for stage in found.stages] == ["Transform", "Deliver", "Finalize"]
    assert all(stage.over and not stage.failures for stage in found.stages)
    assert runs.of(stack.target).chunks(str(entry.execution)) == Chunks(entry.chunks, entry.chunks)
    assert found.results is not None
    assert found.results.customers == entry.summary["customers"] == 30
    assert found.results.total == Decimal(entry.summary["total_amount"])
    assert sum(group.count for group in found.errors) == entry.summary["errors"]
    assert found.rejects
    page = day_page.page(found)
    assert "read, validate, join" in page
    assert "✗" not in page
