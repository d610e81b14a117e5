from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline_cli.deployment import following
from pipeline_cli.deployment.batches import read
from pipeline_cli.verbs.sample import generate

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
    generate(tmp_path / "day", DAY, records=3)
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
    monkeypatch.setattr("pipeline_cli.deployment.following.wait", _waiting_for(lambda: run_batch(stack)))

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

    wait = following.wait

    def waits(*arguments: object, **options: object) -> object:
        work()
        return wait(*arguments, **options)  # type: ignore[arg-type]

    return waits


def test_a_failed_batch_fails_the_command(stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline_cli.deployment.following.wait", _waiting_for(lambda: run_batch(stack, BatchState.FAILED, "no header"))
    )
    result = run("upload", str(day))
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "no header" in result.stdout
    assert "Error: Batch 20220131 FAILED. See: .venv/bin/pipeline errors 20220131" in result.stderr


def test_a_held_batch_fails_the_command_too(stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline_cli.deployment.following.wait", _waiting_for(lambda: run_batch(stack, BatchState.HELD))
    )
    result = run("upload", str(day))
    assert result.exit_code == 1
    assert "Error: Batch 20220131 HELD. See: .venv/bin/pipeline errors 20220131" in result.stderr


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
    assert read(stack.target, [DAY])[0].settled
    stack.put(f"incoming/items_{DAY}.csv", b"corrected")
    assert not read(stack.target, [DAY])[0].settled
    run_batch(stack)
    assert read(stack.target, [DAY])[0].settled


def test_waiting_times_out_with_a_hint(stack: Stack, run: Run, day: Path) -> None:
    result = run("upload", str(day), "--timeout", "0")
    assert result.exit_code == 1
    assert "Batch 20220131 takes longer than 0 ms. It continues; look again with: " in result.stderr


def test_an_interrupted_upload_says_what_was_sent(
    stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = stack.client("s3")
    upload = s3.upload_file

    def stop_at_the_second(path: str, *arguments: object, **options: object) -> None:
        if "items" in path:
            raise KeyboardInterrupt
        upload(path, *arguments, **options)

    client = type(stack.target).client
    monkeypatch.setattr(s3, "upload_file", stop_at_the_second)
    monkeypatch.setattr(type(stack.target), "client", lambda self, name: s3 if name == "s3" else client(self, name))
    result = run("upload", str(day))
    assert result.exit_code == 130
    assert f"Sent: customers_{DAY}.csv. Not sent: items_{DAY}.csv and orders_{DAY}.csv." in result.stderr
    assert result.stderr.splitlines()[-1] == "Stopped."
