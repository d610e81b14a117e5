"""Days of all shapes: what comes out of them is as recorded, the reference agrees, and all of it keeps the contracts.

After a rule was changed on purpose, `RECORD=1 .venv/bin/python -m pytest -n 0 lambda/tests/unit/joining/test_days.py`
records them anew; check that only days which the rule concerns are others then.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from batches import assert_agrees, delivered, read, run
from contracts import check_body, check_verdict
from pipeline.joining.customer_data_processor import Outcome, Previous, messages
from pipeline.ledger import BatchState, Ledger
from pipeline.stages.feedback import verdict_on
from recorded import days

RECORDED = Path(days.__file__).with_name("outputs.json")
DAYS = days.all_days()
STATES = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD, "REFUSED": BatchState.FAILED}


def verdict_of(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.summary.as_dict()
    entry = Ledger("20220131", STATES[outcome.state], finished_at="2022-02-01T06:00:00+00:00", summary=summary)
    return verdict_on(entry, outcome.examples)


def outputs(outcome: Outcome) -> dict[str, str]:
    """All that comes out of a day, by the kind of output."""
    texts = {
        "requests": [f"{chunk.records}\n{chunk.path.read_text()}" for chunk in outcome.chunks],
        "rejects": [f"{path.name}\n{path.read_text()}" for path in outcome.rejects.values()],
        "summary": [outcome.summary.as_dict(), bool(outcome.references), bool(outcome.removed)],
        "verdict": [verdict_of(outcome)],
    }
    return {
        kind: json.dumps(text, ensure_ascii=False, indent=1, sort_keys=True).replace(r"\n", "\n")
        for kind, text in texts.items()
    }


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name)
def test_a_day_has_the_recorded_outputs_and_those_of_the_reference(day: days.Day, tmp_path: Path) -> None:
    lists = [delivered(tmp_path, *references) for references in day.previous_customers]
    outcome = run(day.files, tmp_path, Previous(day.previous_errors, lists), **day.options)
    if day.is_plain:
        assert_agrees(read(outcome), day.files)
    check_verdict(verdict_of(outcome))
    for body in messages(outcome):
        check_body(body)

    found = outputs(outcome)
    digests = {kind: hashlib.sha256(text.encode()).hexdigest()[:8] for kind, text in found.items()}
    recorded = json.loads(RECORDED.read_text())
    if os.environ.get("RECORD"):
        recorded = {name: digests if name == day.name else recorded.get(name) for name in (day.name for day in DAYS)}
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(of_day)}" for name, of_day in recorded.items())
        RECORDED.write_text(f"{{\n{lines}\n}}\n")
    others = [kind for kind in found if digests[kind] != recorded[day.name][kind]]
    assert not others, "other outputs than recorded, now:\n" + "\n".join(f"{kind}: {found[kind]}" for kind in others)


def test_every_recorded_day_is_one_with_a_name_of_its_own() -> None:
    assert list(json.loads(RECORDED.read_text())) == [day.name for day in DAYS]
