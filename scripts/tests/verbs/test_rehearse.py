"""`rehearse` over the example days as an earlier release recorded them: which days this checkout changes, and how.

After a rule was changed on purpose: REHEARSAL_RECORD=1 make test ARGS=scripts/tests/verbs/test_rehearse.py.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import duckdb
import pytest
from botocore.client import BaseClient
from pipeline.joining.customer_data_processor import Options, SourceFile, process
from pipeline.joining.gate import Gate
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline.model.items import IDENTITY
from pipeline_cli.verbs import rehearse
from support import BUCKET, TABLE
from unit.model.test_error_codes import CATALOGUE, defective_day

from scripts.tests.report.support import close
from scripts.tests.support import Run, Stack

ROOT = Path(__file__).parents[3]
RECORD = Path(__file__).with_name("rehearsal.json")
POLICY = ROOT / "examples" / "rehearsal" / "policy.json"
DAYS = [*CATALOGUE, "good"]
BATCHES = {day: f"{date(2022, 1, 31) + timedelta(days=29 * number):%Y%m%d}" for number, day in enumerate(DAYS)}
"""So far apart that no day is compared with another."""
STATES = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD, "REFUSED": BatchState.FAILED}


def record(folder: Path) -> None:
    """Write what this checkout makes of the example days."""
    found = {}
    for day, batch in BATCHES.items():
        (folder / day).mkdir()
        sources = {}
        for kind, content in defective_day(day).items():
            path = folder / day / f"{kind}_{batch}.csv"
            path.write_bytes(content)
            sources[kind] = SourceFile(path.name, path)
        outcome = process(batch, sources, folder / day / "work", Options(200, 1, gate=Gate()))
        lines = [line for chunk in outcome.chunks for line in chunk.path.read_text(encoding="utf-8").splitlines()]
        text = json.dumps({"summary": outcome.summary.as_dict(), "writes": [json.loads(line) for line in lines]})
        found[day] = json.loads(text.replace(batch, "BATCH"))
    RECORD.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


@pytest.fixture
def days(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The recorded days in the deployment, each a batch of its own: their files, ledger entries, results and errors."""
    if os.environ.get("REHEARSAL_RECORD"):
        record(tmp_path)
    known = json.loads(RECORD.read_text(encoding="utf-8"))
    assert sorted(known) == sorted(DAYS), "record the example days anew, see the docstring"
    for day, batch in BATCHES.items():
        for kind, content in defective_day(day).items():
            stack.put(f"incoming/{kind}_{batch}.csv", content)
        recorded = json.loads(json.dumps(known[day]).replace("BATCH", batch))
        entry = close(stack, recorded["summary"], STATES[recorded["summary"]["state"]], day=batch)
        items = [write["PutRequest"]["Item"] for write in recorded["writes"]]
        for item in items:
            stack.client("dynamodb").put_item(TableName=TABLE, Item=item)
        references = [item[IDENTITY]["S"] for item in items if "code" not in item]
        if entry.delivered:
            path = tmp_path / "list.parquet"
            with duckdb.connect() as connection:
                connection.execute("CREATE TABLE delivered AS SELECT unnest(?) AS customer_reference", [references])
                connection.execute(f"COPY delivered TO '{path}' (FORMAT parquet)")
            stack.put(f"delivered/{batch}/{entry.version}.parquet", path.read_bytes())
    return BATCHES


def rehearsed(run: Run, *arguments: str) -> dict[str, dict[str, Any]]:
    """The days of a rehearsal, by batch."""
    result = run("rehearse", "--days", "100", "--json", *arguments)
    found = json.loads(result.stdout)
    assert result.exit_code == int(bool(found["differ"])), result.output
    return {day["batch"]: day for day in found["days"]}


@pytest.mark.slow
def test_this_checkout_changes_no_example_day_and_the_rehearsal_only_reads_what_its_policy_allows(
    days: dict[str, str], stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: set[str] = set()
    call: Callable[..., Any] = BaseClient._make_api_call

    def counted(self: Any, operation: str, given: Any) -> Any:
        called.add(operation)
        return call(self, operation, given)

    before = stack.cloud.items()
    with monkeypatch.context() as patched:
        patched.setattr(BaseClient, "_make_api_call", counted)
        result = run("rehearse", "--days", "100")

    assert f"0 of {len(days)} days change" in result.stdout, result.output
    assert result.exit_code == 0
    print(result.stdout)
    # S3 asks for ListBucket where objects are listed, and for GetObjectVersion where a version is read.
    needed = {"ListObjectsV2": "s3:ListBucket", "GetObject": "s3:GetObject"}
    actions = {needed.get(operation, f"dynamodb:{operation}") for operation in called} | {"s3:GetObjectVersion"}
    allowed = [statement["Action"] for statement in json.loads(POLICY.read_text())["Statement"]]
    assert actions == {one for action in allowed for one in ([action] if isinstance(action, str) else action)}
    assert stack.cloud.items() == before


@pytest.mark.slow
def test_a_changed_rule_lists_exactly_the_days_that_it_concerns_each_with_examples(
    days: dict[str, str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes that transform get a package in which a quantity may be any text, the others keep theirs."""
    changed = tmp_path / "changed"
    shutil.copytree(ROOT / "lambda" / "pipeline", changed / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    model = changed / "pipeline" / "model" / "data_model.py"
    text = model.read_text()
    assert 'Column("quantity", ColumnType.INTEGER)' in text
    model.write_text(text.replace('Column("quantity", ColumnType.INTEGER)', 'Column("quantity")'))
    monkeypatch.syspath_prepend(changed)
    monkeypatch.setattr(rehearse, "_processes", lambda: multiprocessing.get_context("spawn"))
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    chosen = sorted({*DAYS[-6:], *DAYS[:2], "not_an_integer"})
    monkeypatch.setattr(rehearse, "find_batches", lambda _: ([BATCHES[day] for day in chosen], []))

    found = rehearsed(run)

    concerned = {
        BATCHES[day]
        for day in chosen
        if any(
            "not_an_integer" in file.get("refused_by_code", {}) for file in recorded[day]["summary"]["files"].values()
        )
    }
    assert {batch for batch, day in found.items() if day["differs"]} == concerned
    day = found[BATCHES["not_an_integer"]]
    assert day["differences"]["items: refused as not_an_integer"][1] == 0
    assert 0 < len(day["examples"]) <= rehearse.EXAMPLES
    assert sum(day["results"].values()) > 0
    assert day["peak_mb"] > 10


def test_days_whose_files_are_gone_or_whose_run_said_nothing_are_named_and_a_released_day_is_not_held_again(
    stack: Stack, run: Run
) -> None:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_20220131.csv")
        stack.put(f"incoming/{kind}_20220201.csv")
    close(stack, {"state": "REFUSED", "files": {}}, BatchState.FAILED, day="20220131")
    close(stack, {}, BatchState.FAILED, "it broke", day="20220201")
    versions = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix="incoming/items_20220131.csv")
    for version in versions["Versions"]:
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])

    result = run("rehearse")

    assert result.exit_code == 0
    assert "Not compared: 20220131, as its raw files are gone: incoming/items_20220131.csv" in result.stdout
    assert "Not compared: 20220201, as its run failed without a result: it broke" in result.stdout
    assert "0 of 0 days change" in result.stdout
    assert run("rehearse", "--days", "0").exit_code == 64


@pytest.mark.slow
def test_an_interrupted_rehearsal_goes_on_where_it_was_until_rules_settings_or_the_day_change(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, content in defective_day("good").items():
        stack.put(f"incoming/{kind}_20220131.csv", content)
    close(stack, {"state": "READY", "files": {}}, BatchState.HELD)
    first = rehearsed(run)["20220131"]
    assert first["differs"]
    rehearsals = Mock(wraps=rehearse.rehearse)
    monkeypatch.setattr(rehearse, "rehearse", rehearsals)
    assert rehearsed(run)["20220131"] == first
    assert rehearsals.call_count == 0

    monkeypatch.setattr(rehearse, "_settings", lambda _: rehearse.VerdictSettings(max_refused_percent=1))
    rehearsed(run)
    assert rehearsals.call_count == 1
