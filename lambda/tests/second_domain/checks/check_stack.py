"""A day of the second domain, and a correction, on the deployed stack."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

from batches import BATCH, file_name
from batches import run as process_day
from e2e.conftest import stack  # noqa: F401 (the deployed stack, instead of the one in memory)
from e2e.stack import Stack
from pipeline.joining.customer_data_processor import messages
from pipeline.ledger import BatchState
from second_day import INCOMPLETE, RESULTS, day


def test_a_day_and_a_correction_pass_the_deployed_stack(stack: Stack, tmp_path: Path) -> None:  # noqa: F811
    stack.upload({file_name(kind): content for kind, content in day().items()})

    assert stack.ended(BATCH).state is BatchState.COMPLETED
    expected = [json.loads(body) for body in messages(process_day(day(), tmp_path))]
    assert stack.counted(BATCH) == Counter(json.dumps(body, sort_keys=True) for body in expected)
    stored = {item["account_number"]["S"]: item for item in stack.items(BATCH).values() if "total_paid" in item}
    paid = {name: Decimal(item["total_paid"]["N"]) for name, item in stored.items()}
    assert paid == {name: result["total_paid"] for name, result in RESULTS.items()}
    marks = {name: int(item["refused_records"]["N"]) for name, item in stored.items() if "refused_records" in item}
    assert marks == INCOMPLETE

    stack.upload({f"accounts_{BATCH}.csv": b"account_number,segment\nA1,private\nA2,business\n"})

    assert stack.ended(BATCH).state is BatchState.COMPLETED
    assert {"type": "account_removed", "account_number": "A3"} in stack.messages(BATCH)
    assert not any(stack.dead_letters().values())
