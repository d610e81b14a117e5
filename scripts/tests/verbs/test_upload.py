from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline_cli.deployment.follow import look, wait
from pipeline_cli.deployment.sample import generate
from pipeline_cli.output.errors import CommandError

from scripts.tests.support import Run, Stack

DAY = "20220131"
SUMMARY = {
    "state": "READY",
    "customers": 2,
    "orders": 3,
    "items": 4,
    "errors": 1,
    "files": {"items": {"read": 5, "refused": 1}},
}


@pytest.fixture
def day(tmp_path: Path) -> Path:
    generate(tmp_path / "day", DAY, customers=3)
    return tmp_path / "day"


def now() -> datetime:
    return datetime.now(UTC)


def run_batch(stack: Stack, state: BatchState = BatchState.COMPLETED, cause: str | None = None) -> Ledger:
    """Process the set in the bucket as the pipeline does."""
    files = stack.bucket.find_set(DAY)

    def change(entry: Ledger) -> Ledger:
        claimed = ledger.claim(entry, files, now())
        if claimed.state is not BatchState.QUEUED:
            return claimed
        begun = ledger.begin(claimed, str(claimed.execution), now())
        return ledger.finish(begun, str(begun.execution), state, now(), summary=SUMMARY, cause=cause)

    return stack.table.update_ledger(DAY, change)


def keys(stack: Stack) -> list[str]:
    return sorted(stack.bucket.keys("incoming/"))


def test_a_day_is_sent_and_its_end_is_waited_for(
    stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_cli.deployment.follow.wait", _waiting_for(lambda: run_batch(stack)))

    result = run("upload", str(day))

    assert result.exit_code == 0, result.output
    assert keys(stack) == [f"incoming/{kind}_{DAY}.csv" for kind in sorted(MODEL.kinds)]
    for kind in MODEL.kinds:
        stored = stack.client("s3").get_object(Bucket=stack.bucket.name, Key=f"incoming/{kind}_{DAY}.csv")
        assert stored["Body"].read() == (day / f"{kind}_{DAY}.csv").read_bytes()
    assert "Batch 20220131 COMPLETED" in result.stdout
    assert "2 customers, 3 orders, 4 items; 1 of 5 records refused" in result.stdout
    assert "Target: the local AWS" in result.stderr


def _waiting_for(work: Callable[[], object]) -> Callable[..., object]:
    """Let the pipeline work while the command waits."""

    def waits(*arguments: object, **options: object) -> object:
        work()
        return wait(*arguments, **options)  # type: ignore[arg-type]

    return waits


def test_a_failed_batch_fails_the_command(stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline_cli.deployment.follow.wait", _waiting_for(lambda: run_batch(stack, BatchState.FAILED, "no header"))
    )
    result = run("upload", str(day))
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "no header" in result.stdout
    assert "Error: Batch 20220131 FAILED. See: .venv/bin/pipeline errors 20220131" in result.stderr


def test_the_same_set_again_is_reported_as_not_processed_again(stack: Stack, run: Run, day: Path) -> None:
    run("upload", str(day), "--no-wait")
    run_batch(stack)
    result = run("upload", str(day))
    assert result.exit_code == 0
    assert "the set is the same, so nothing runs again" in result.stdout


def test_an_incomplete_set_says_what_is_missing_and_does_not_wait(stack: Stack, run: Run, day: Path) -> None:
    result = run("upload", str(day / f"orders_{DAY}.csv"), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["batches"] == [
        {"batch": DAY, "state": "WAITING", "missing": ["customers", "items"], "cause": None}
    ]


def test_a_file_is_renamed_and_the_new_name_is_shown(stack: Stack, run: Run, day: Path) -> None:
    file = (day / f"items_{DAY}.csv").rename(day / "[neu] export.csv")
    result = run("upload", str(file), "--date", "20220201")
    assert result.exit_code == 0
    assert keys(stack) == ["incoming/items_20220201.csv"]
    assert "[neu] export.csv is sent as items_20220201.csv" in result.stderr


def test_a_refused_file_stops_everything_before_anything_is_sent(stack: Stack, run: Run, day: Path) -> None:
    (day / "notes.txt").write_text("hello")
    result = run("upload", str(day / f"items_{DAY}.csv"), str(day / "notes.txt"))
    assert result.exit_code == 2
    assert "notes.txt: its first line is not the header" in result.stderr
    assert keys(stack) == []


def test_force_sends_any_file_and_says_what_to_expect(stack: Stack, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = run("upload", str(tmp_path / "notes.txt"), "--force")
    assert result.exit_code == 0
    assert keys(stack) == ["incoming/notes.txt"]
    assert "answer it with an error message" in result.stdout


def test_a_set_that_replaces_an_older_one_is_not_over_when_the_older_one_is(stack: Stack, day: Path, run: Run) -> None:
    run("upload", str(day), "--no-wait")
    run_batch(stack)
    assert look(stack.bucket, stack.table, DAY).over
    stack.put(f"incoming/items_{DAY}.csv", b"corrected")
    assert look(stack.bucket, stack.table, DAY).state is BatchState.WAITING
    run_batch(stack)
    assert look(stack.bucket, stack.table, DAY).state is BatchState.COMPLETED


def test_waiting_times_out_with_a_hint_if_the_files_are_not_noticed(stack: Stack, run: Run, day: Path) -> None:
    run("upload", str(day), "--no-wait")
    clock = iter(range(0, 1000, 50))
    progress: list[str] = []
    with pytest.raises(CommandError, match=r"look again with: .venv/bin/pipeline status 20220131"):
        wait(
            stack.bucket,
            stack.table,
            DAY,
            progress.append,
            timeout=100,
            sleep=lambda _: None,
            clock=lambda: float(next(clock)),
        )
    assert "about to be noticed" in progress[0]
    assert "unusually long" not in progress[0]
    assert "unusually long" in progress[-1]
