"""The functions, the verdict, the commands and the contracts with the second domain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from batches import BATCH, file_name
from batches import run as process_day
from contract_documents import documents
from contracts import check_body, check_verdict
from faults.aws_platform import Platform
from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator
from pipeline.joining.customer_data_processor import messages
from pipeline.model.record_kinds import RecordKind
from second_day import ERRORS, INCOMPLETE, RECONCILED, RESULTS, day
from support import REGION

from scripts.tests.support import Run, Stack

DATA = Path(__file__).parents[2] / "data" / "contracts"


def named(files: dict[RecordKind, bytes]) -> dict[str, bytes]:
    return {file_name(kind): content for kind, content in files.items()}


@pytest.fixture
def platform(stack: Stack) -> Platform:
    """The functions, after a day of the second domain."""
    found = Platform(stack.cloud, boto3.client("dynamodbstreams", region_name=REGION))
    found.upload(named(day()))
    found.settle()
    return found


def test_the_verdict_conforms_to_the_contract_and_has_each_sum(platform: Platform, stack: Stack) -> None:
    verdict: dict[str, Any] = stack.bucket.get_json(f"feedback/{BATCH}/verdict.json")
    check_verdict(verdict)
    assert (verdict["accounts"], verdict["incomplete_accounts"]) == (len(RESULTS), len(INCOMPLETE))
    assert list(verdict["files"]) == ["accounts", "contracts", "payments", "credits"]
    assert verdict["reconciliation"]["delivered_amount"] == RECONCILED["contract_volume"][1]
    assert {name: one["delivered_amount"] for name, one in verdict["further_reconciliations"].items()} == {
        name: amounts[1] for name, amounts in RECONCILED.items() if name != "contract_volume"
    }


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["status", BATCH], ["COMPLETED", f"payments_{BATCH}.csv"]),
        (["feedback", BATCH], [f"credits_{BATCH}.csv", "not_allowed", "1,480.5", "140.25", "27.75"]),
        (["errors", BATCH], ["refused_contract", "unknown_account"]),
        (["messages"], ["A1", "1,500.5", "3 payments", "20.5"]),
        (["report", BATCH, "--out", "-"], [f"contracts_{BATCH}.csv", "1,480.5", "140.25", "27.75", "accounts"]),
        (["report", "--out", "-"], [BATCH[:4]]),
    ],
)
def test_the_commands_show_the_day_in_the_words_of_its_domain(
    platform: Platform, stack: Stack, run: Run, arguments: list[str], shown: list[str]
) -> None:
    if arguments == ["messages"]:
        for body in platform.bodies:
            stack.send(json.loads(body))
    done = run(*arguments)
    assert done.exit_code in (0, 1), done.output
    for text in shown:
        assert text in done.output
    for word in ("customer", "orders", "spent"):
        assert word not in done.output.lower()


def test_check_writes_the_messages_of_the_day_and_the_sample_is_one(run: Run, tmp_path: Path) -> None:
    folder, apart = tmp_path / "day", tmp_path / "apart"
    for path in (folder, apart):
        path.mkdir()
    for name, content in named(day()).items():
        (folder / name).write_bytes(content)
    done = run("check", str(folder), "--out", str(tmp_path / "messages.jsonl"))
    assert done.exit_code == 1, f"{len(ERRORS)} records are refused: {done.output}"
    expected = list(messages(process_day(day(), apart)))
    assert (tmp_path / "messages.jsonl").read_text().splitlines() == expected
    made = run("sample", str(tmp_path / "sample"), "--date", BATCH, "--defects", "0")
    assert made.exit_code == 0, made.output
    checked = run("check", str(tmp_path / "sample"), "--json")
    summary = json.loads(checked.stdout)
    assert (checked.exit_code, summary["state"], summary["errors"]) == (0, "READY", 0)
    assert all(summary["files"][kind]["read"] for kind in ("accounts", "contracts", "payments", "credits"))


def test_the_contracts_are_valid() -> None:
    texts = {Path(path).name: text for path, text in documents().items()}
    for name in ("messages.schema.json", "verdict.schema.json"):
        Draft202012Validator.check_schema(json.loads(texts[name]))
    standard = json.loads((DATA / "odcs-3.1.0.schema.json").read_text())
    Draft201909Validator(standard).validate(yaml.safe_load(texts["contract.odcs.yaml"]))
    asyncapi = yaml.safe_load(texts["asyncapi.yaml"])
    Draft7Validator(json.loads((DATA / "asyncapi-3.0.0.schema.json").read_text())).validate(asyncapi)
    for message in asyncapi["components"]["messages"].values():
        check_body(json.dumps(message["examples"][0]["payload"]))
    for word in ("customer", "order_", "items_"):
        assert word not in "".join(texts.values())
