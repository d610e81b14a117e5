"""The contracts follow from the model and are valid; attributes of messages and all examples conform to them.

test_error_codes.py holds every message of the example days against them, unit/joining/test_days.py also every verdict.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from batches import observe
from contract_documents import ODCS, documents
from contracts import CONTRACTS, check_body, check_message, check_verdict, load, validator
from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator
from pipeline.handlers import publish
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import notice_item, put_line, removed_item
from support import Cloud, Context, load_event, result_item
from unit.model.test_error_codes import DATA, defective_day

ROOT = Path(__file__).parents[4]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
MESSAGE = re.compile(r'^\{"type":"\w+".*\}$', re.MULTILINE)
SCHEMAS = ("messages.schema.json", "verdict.schema.json")
ERROR = """{"type": "error_message", "customer_reference": null, "order_reference": "o-7", "message": "a sentence",
    "batch": "20220131", "file": "items_20220131.csv", "line": 17, "code": "not_an_amount"}"""
BODY = '{"type":"customer_message","customer_reference":"a","number_of_orders":1,"total_amount_spent":1.5}'


def record(number: int, new: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """A record of the table's stream."""
    images = {"NewImage": new} | ({"OldImage": old} if old else {})
    base = load_event("stream_record")
    return {
        **base,
        "eventID": f"{number:032x}",
        "eventName": "MODIFY" if old else "INSERT",
        "dynamodb": {"Keys": {name: new[name] for name in ("pk", "sk")}, "SequenceNumber": str(number), **images},
    }


@pytest.mark.parametrize("path", documents())
def test_a_contract_is_what_follows_from_the_data_model(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == documents()[path], f"{path} is not up to date: run `make contracts`"


@pytest.mark.parametrize("name", [*SCHEMAS, "settings.schema.json"])
def test_a_contract_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(load(name))


def objects(value: Any) -> list[dict[str, Any]]:
    """All objects in a JSON value, from the outside to the inside."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [*([value] if isinstance(value, dict) else []), *(one for part in inner for one in objects(part))]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_field_can_be_added_to_every_object_of_a_contract(name: str) -> None:
    """Consumers that know the older contract take newer messages, and those that know the newer one take older ones."""
    old, new = load(name), load(name)
    for schema in objects(new):
        if "properties" in schema and schema.get("type") == "object":
            schema["properties"]["added"] = {"type": "string"}
    for sent in [json.loads(BODY), json.loads(ERROR)] if name == "messages.schema.json" else [verdict_in_the_guide()]:
        Draft202012Validator(new).validate(sent)
        more = json.loads(json.dumps(sent))
        for one in objects(more):
            if not any(one is parts.get("refused_by_code") for parts in objects(more)):
                one["added"] = "text"
        Draft202012Validator(old).validate(more)
        assert more["added"] == "text"


def test_messages_conform_to_the_contract_with_the_attributes_that_publish_gives_them(
    cloud: Cloud, context: Context
) -> None:
    result = result_item("a", refused_records={"N": "17"})
    removed = json.loads(put_line(removed_item("b", "20220131")))["PutRequest"]["Item"]
    notice = json.loads(put_line(notice_item(None, "file", ErrorCode.UNKNOWN_FILE, "x was not processed", "x")))
    before = {**removed, "removed": {"BOOL": False}}
    before.pop("removed")
    records = [record(1, result), record(2, removed, before), record(3, notice["PutRequest"]["Item"])]

    publish.handler({"Records": records}, context)

    received = cloud.received()
    for message in received:
        check_message(message)
    by_type = {json.loads(message["Body"])["type"]: message["MessageAttributes"] for message in received}
    assert set(by_type) == {"customer_message", "customer_removed", "error_message"}
    assert by_type["customer_message"]["refused_records"]["StringValue"] == "17"
    assert by_type["customer_message"]["refused_records"]["DataType"] == "Number"
    assert "refused_records" not in by_type["customer_removed"]


@pytest.mark.parametrize(
    "change",
    [
        {"total_amount_spent": "1.5"},
        {"number_of_orders": -1},
        {"customer_reference": ""},
        {"more": 1},
        {"type": "error_message"},
    ],
)
def test_a_body_that_violates_the_contract_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_body(json.dumps(json.loads(BODY) | change))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"version": {"DataType": "String", "StringValue": "latest"}},
        {"refused_records": {"DataType": "Number", "StringValue": "0"}},
        {"colour": {"DataType": "String", "StringValue": "red"}},
    ],
)
def test_attributes_that_violate_the_contract_are_found(attributes: dict[str, Any]) -> None:
    texts = {"batch": "20220131", "version": "0123456789abcdef", "message_id": "0" * 32}
    good = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
    check_message({"Body": BODY, "MessageAttributes": good})

    with pytest.raises(AssertionError):
        check_message({"Body": BODY, "MessageAttributes": {**good, **attributes} if attributes else {}})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_message_in_the_documents_conforms_to_the_contract(document: Path) -> None:
    for body in MESSAGE.findall(document.read_text(encoding="utf-8")):
        check_body(body)


def test_the_verdict_in_the_documents_conforms_to_the_contract_and_the_readme_shows_messages() -> None:
    check_verdict(verdict_in_the_guide())
    assert MESSAGE.search((ROOT / "README.md").read_text(encoding="utf-8"))


def verdict_in_the_guide() -> dict[str, Any]:
    text = (ROOT / "docs/partner.md").read_text(encoding="utf-8")
    (verdict,) = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = json.loads(verdict)
    return found


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_text(encoding="utf-8"))
    return document


def test_the_asyncapi_file_is_valid_and_so_are_its_examples() -> None:
    schema = json.loads((DATA / "contracts" / "asyncapi-3.0.0.schema.json").read_text())
    assert [fault.message for fault in Draft7Validator(schema).iter_errors(asyncapi())] == []
    for message in asyncapi()["components"]["messages"].values():
        check_body(json.dumps(message["examples"][0]["payload"]))


def test_the_asyncapi_file_has_the_attributes_of_the_contract() -> None:
    schemas = asyncapi()["components"]["schemas"]
    contract = load("messages.schema.json")["$defs"]["attributes"]
    common, customers = schemas["attributes"], schemas["result_attributes"]["allOf"][1]

    assert set(common["properties"]) | set(customers["properties"]) == set(contract["properties"])
    assert common["required"] == contract["required"] == list(common["properties"])


def test_the_contract_of_the_input_files_is_valid_by_the_open_data_contract_standard() -> None:
    # odcs-json-schema-v3.1.0.json of https://github.com/bitol-io/open-data-contract-standard (Apache 2.0)
    schema = json.loads((DATA / "contracts" / "odcs-3.1.0.schema.json").read_text())
    document = yaml.safe_load((CONTRACTS / ODCS).read_text(encoding="utf-8"))
    assert [fault.message for fault in Draft201909Validator(schema).iter_errors(document)] == []


def test_the_verdict_schema_has_every_state_of_a_summary() -> None:
    known = validator("verdict.schema.json").schema["properties"]["state"]["enum"]

    assert set(known) == {"WAITING", "COMPLETED", "HELD", "FAILED"}
    assert observe(defective_day("good")).state == "READY"
