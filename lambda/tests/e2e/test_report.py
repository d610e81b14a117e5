"""The commands combine what Step Functions, the table and the bucket have about a finished batch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.stack import Stack
from pipeline.ledger import BatchState
from pipeline_cli.deployment.runs import Chunks, Runs
from pipeline_cli.report import day as day_page
from pipeline_cli.verbs.sample import generate

pytestmark = pytest.mark.e2e


def test_a_batch_that_ran_is_reported_with_its_stages_and_errors(stack: Stack, day: str, tmp_path: Path) -> None:
    files = generate(tmp_path, day, records=30, defects=0.05).files.values()
    stack.upload({file.name: file.read_bytes() for file in files})
    entry = stack.ended(day)
    assert entry.state is BatchState.COMPLETED

    runs, run = Runs(stack.target), str(entry.execution)
    stages = runs.stages(run, datetime.now(UTC))
    assert [stage.name for stage in stages] == ["Transform", "Deliver", "Finalize"]
    assert all(stage.over and not stage.failures for stage in stages)
    assert runs.chunks(run) == Chunks(entry.chunks, entry.chunks)
    page = day_page.page(stack.target, day)
    assert "read, validate, join" in page
    assert "_rejects.csv" in page
    assert "✗" not in page
