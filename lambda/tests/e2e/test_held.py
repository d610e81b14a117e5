"""A held day on the deployed stack: its errors arrive, its results wait, a release or a correction delivers them."""

from __future__ import annotations

from typing import Any

import pytest
from contracts import check_verdict
from e2e.stack import Stack, eventually
from e2e.test_day import ITEMS, files_of
from pipeline.ledger import BatchState
from pipeline_cli.output.errors import CommandError
from pipeline_cli.verbs.release import find_held, release

pytestmark = pytest.mark.e2e

UNREADABLE = ITEMS + "".join(f"{number},o-1,Pen,1,1.2.3\n" for number in range(10, 40))


def verdict(stack: Stack, day: str, state: str) -> dict[str, Any]:
    """Wait for a verdict of this state, as it is written a moment after the run is closed."""

    def look() -> dict[str, Any] | None:
        if not list(stack.bucket.keys(f"feedback/{day}/verdict.json")):
            return None
        found: dict[str, Any] = stack.bucket.get_json(f"feedback/{day}/verdict.json")
        return found if found["state"] == state else None

    found: dict[str, Any] = eventually(look, f"the verdict {state} on {day}")
    check_verdict(found)
    return found


def results(stack: Stack, day: str) -> dict[str, str | None]:
    """How many refused records each customer of the day has."""
    return {
        pk.removeprefix("customer#"): item.get("refused_records", {}).get("N")
        for (pk, _), item in stack.items(day).items()
        if pk.startswith("customer#")
    }


def test_a_held_day_is_released_as_it_is(stack: Stack, day: str) -> None:
    stack.upload(files_of(day, UNREADABLE))
    held = stack.ended(day)
    codes = {message.get("code") for message in stack.messages(day)}

    assert (held.state, held.delivered) == (BatchState.HELD, ())
    assert "too_many_refused" in codes
    assert results(stack, day) == {}
    assert verdict(stack, day, "HELD")["files"]["items"]["too_many_refused"] is True

    release(stack.table, stack.workflow, find_held(stack.table, stack.bucket, day))
    eventually(lambda: stack.ended(day).state is BatchState.COMPLETED, f"the release of {day}")

    assert results(stack, day) == {"c-1": "31", "c-2": "1", "c-3": None}
    assert stack.incomplete_totals(day) == results(stack, day)
    assert verdict(stack, day, "COMPLETED")["incomplete_customers"] == 2
    assert set(stack.executions(day)) == {held.execution, f"{held.execution}-2"}
    with pytest.raises(CommandError, match="not HELD"):
        find_held(stack.table, stack.bucket, day)
