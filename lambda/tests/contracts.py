"""Validation of messages, attributes and verdicts against the contracts in docs/contracts."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from pipeline.model.items import REFUSED_RECORDS
from pipeline.model.messages import RESULT_TYPE

CONTRACTS = Path(__file__).parents[2] / "docs" / "contracts"


def load(name: str) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads((CONTRACTS / name).read_text(encoding="utf-8"))
    return contract


def strict(schema: Any) -> Any:
    """A schema that allows only the properties that it names: everything that is sent must be documented."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(one) for name, one in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


@functools.cache
def validator(name: str, part: str = "") -> Draft202012Validator:
    """A validator of a contract, or of one of its definitions."""
    schema = strict(load(name))
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]} if part else schema)


def check_body(body: str) -> dict[str, Any]:
    """Validate the body of a message, with exact numbers, and return it."""
    fields: dict[str, Any] = json.loads(body, parse_float=Decimal)
    check_fields(fields)
    return fields


def check_fields(fields: Mapping[str, Any]) -> None:
    """Validate a message whose body was read already."""
    _check(validator("messages.schema.json", fields["type"]), fields)


def check_message(message: Mapping[str, Any]) -> None:
    """Validate a received message with its attributes."""
    fields, attributes = check_body(message["Body"]), message["MessageAttributes"]
    plain = {name: {part: one[part] for part in ("DataType", "StringValue")} for name, one in attributes.items()}
    _check(validator("messages.schema.json", "attributes"), plain)
    assert REFUSED_RECORDS not in plain or fields["type"] == RESULT_TYPE


def check_verdict(verdict: Mapping[str, Any]) -> None:
    """Validate a verdict, and check that its figures agree."""
    _check(validator("verdict.schema.json"), verdict)
    for file in verdict["files"].values():
        if file["read"] is not None:
            assert file["read"] == file["counted"] + file["refused"]
            assert file["refused"] == sum(file["refused_by_code"].values())
            assert bool(file["refused"]) == bool(file["rejects"])


def _check(contract: Draft202012Validator, value: Any) -> None:
    faults = [f"{'/'.join(map(str, fault.path))}: {fault.message}" for fault in contract.iter_errors(value)]
    assert not faults, f"{faults} in {value}"
