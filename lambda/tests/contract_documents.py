"""What is written from the data model, by `make contracts` after it changed: docs/contracts, and keys for a policy.

The templates are in `contract_templates`; the contract of the input files has none, as it follows from the model alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import unknown
from pipeline.model.items import IDENTITY, result_key
from pipeline.model.messages import REMOVED_TYPE, RESULT_TYPE
from pipeline.model.record_kinds import Column, ColumnType, Count, RecordKind
from pipeline.reading.dialect import DELIMITERS
from pipeline.reading.rules import MAX_REFERENCE

ROOT = Path(__file__).parents[2]
TABLE_KEYS = "infra/policies/table_keys.json"
TEMPLATES = Path(__file__).with_name("contract_templates")
ODCS = "contract.odcs.yaml"
_REFERENCE = {"$ref": "#/$defs/reference"}
_DECIMAL = (
    "an exact decimal in plain notation, without trailing zeros, with at most 4 decimals; it may be negative. Read it "
    "as a decimal: a binary float holds about 15 digits."
)


def documents() -> dict[str, str]:
    """Return the text of each document by its path in the project."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    written = {name: environment.get_template(name).render(_values()) for name in environment.list_templates()}
    written[ODCS] = yaml.safe_dump(_input_contract(), sort_keys=False, allow_unicode=True, width=120)
    contracts = {f"docs/contracts/{name}": text for name, text in written.items()}
    return contracts | {TABLE_KEYS: f'{{ "results": "{result_key("*")}" }}\n'}


def _values() -> dict[str, Any]:
    return {
        "root": MODEL.root,
        "sums": MODEL.sums,
        "result": RESULT_TYPE,
        "removed": REMOVED_TYPE,
        "identity": IDENTITY,
        "result_properties": _result_properties(),
        "result_example": _result_example(),
        "error_references": {
            name: {"description": "As far as the record has one.", "oneOf": [_REFERENCE, {"type": "null"}]}
            for name in MODEL.identities.values()
        },
        "error_example": _error_example(),
        "files": {kind: {"$ref": "#/$defs/file"} for kind in MODEL.kinds},
        "json": json.dumps,
        "lines": lambda values: ",\n        ".join(f'"{name}": {_spaced(value)}' for name, value in values.items()),
        "yaml_lines": lambda values: "\n            ".join(f"{name}: {json.dumps(v)}" for name, v in values.items()),
    }


def _spaced(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False).replace("{", "{ ").replace("}", " }")


def _result_properties() -> dict[str, Any]:
    properties: dict[str, Any] = {IDENTITY: _REFERENCE}
    for measure in MODEL.result.measures:
        properties[measure.name] = (
            {"description": f"Accepted {measure.kind}.", "type": "integer", "minimum": 0}
            if isinstance(measure, Count)
            else {
                "description": f"Sum of {measure.column} of the accepted {measure.kind}: {_DECIMAL}",
                "type": "number",
            }
        )
    for name in MODEL.result.carried:
        column = MODEL.root.column(name)
        types = {ColumnType.INTEGER: ["integer", "null"], ColumnType.TIMESTAMP: ["integer", "null"]}
        properties[name] = {
            "description": f"As in the {MODEL.root} file; null where it has no number."
            if column.type in types
            else f"As in the {MODEL.root} file.",
            "type": types.get(column.type, "string"),
        }
    return properties


def _result_example() -> dict[str, Any]:
    values: dict[str, Any] = {IDENTITY: "ade3-11ed"}
    values |= {measure.name: 2 if isinstance(measure, Count) else 87.5 for measure in MODEL.result.measures}
    for name in MODEL.result.carried:
        column = MODEL.root.column(name)
        is_text = column.type in (ColumnType.TEXT, ColumnType.REFERENCE)
        values[name] = (column.allowed or ("as it was",))[0] if is_text else 7
    return values


def _error_example() -> dict[str, Any]:
    child = MODEL.children(MODEL.root)[0]
    file = f"{child}_20220131.csv"
    column = child.parent.column if child.parent else ""
    references = dict.fromkeys(MODEL.identities.values()) | {IDENTITY: "ade3-11ee"}
    return references | {
        "message": f"{file} line 17: {column} 'ade3-11ee' is not in the {MODEL.root} file",
        "batch": "20220131",
        "file": file,
        "line": 17,
        "code": unknown(MODEL.root),
    }


# --- the files that the partner sends, in the Open Data Contract Standard ---------------------------------------


def _input_contract() -> dict[str, Any]:
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "csv-pipeline-input",
        "name": "The files of a day",
        "version": "1.0.0",
        "status": "active",
        "description": {
            "purpose": f"One CSV file a day and kind: {', '.join(MODEL.kinds)}. docs/partner.md has all rules.",
            "usage": "Columns are found by name, in any order; unknown ones are ignored. A column that is not required "
            "may be absent, and its cells may be empty.",
        },
        "servers": [
            {"server": "incoming", "type": "s3", "location": "s3://BUCKET/incoming/*_YYYYMMDD.csv", "format": "csv"}
        ],
        "schema": [_object(kind) for kind in MODEL.kinds],
        "customProperties": [
            {
                "property": "csvDialect",
                "value": {
                    "encoding": "UTF-8",
                    "header": True,
                    "delimiters": list(DELIMITERS),
                    "quote": '"',
                    "decimalMarks": [".", ","],
                    "compression": ["none", "gzip"],
                },
            },
            {
                "property": "measures",
                "description": f"What the result of each record of {MODEL.root} says.",
                "value": [
                    {"name": measure.name, "count": str(measure.kind)}
                    if isinstance(measure, Count)
                    else {"name": measure.name, "sum": f"{measure.kind}.{measure.column}"}
                    for measure in MODEL.result.measures
                ],
            },
            {
                "property": "carried",
                "description": "Columns that the result has, too.",
                "value": list(MODEL.result.carried),
            },
        ],
    }


def _object(kind: RecordKind) -> dict[str, Any]:
    return {
        "id": str(kind),
        "name": str(kind),
        "logicalType": "object",
        "physicalType": "file",
        "physicalName": f"{kind}_YYYYMMDD.csv",
        "dataGranularityDescription": f"One {kind.singular} a record",
        "properties": [_property(kind, column) for column in kind.columns],
    }


def _property(kind: RecordKind, column: Column) -> dict[str, Any]:
    types: dict[ColumnType, dict[str, Any]] = {
        ColumnType.TEXT: {"logicalType": "string"},
        ColumnType.REFERENCE: {
            "logicalType": "string",
            "logicalTypeOptions": {"minLength": 1, "maxLength": MAX_REFERENCE},
        },
        ColumnType.INTEGER: {"logicalType": "integer", "logicalTypeOptions": {"format": "i64"}},
        ColumnType.TIMESTAMP: {
            "logicalType": "integer",
            "logicalTypeOptions": {"format": "i64"},
            "description": "Seconds since 1970-01-01 UTC",
        },
        ColumnType.AMOUNT: {"logicalType": "number", "physicalType": "DECIMAL(18,4)"},
    }
    found = {"id": column.name, "name": column.name, **types[column.type], "required": column.required}
    if column.name == kind.identity:
        found |= {"primaryKey": True, "primaryKeyPosition": 1}
    if column.name == kind.identity or column.unique:
        found["unique"] = True
    if kind.parent and column.name == kind.parent.column:
        found["relationships"] = [{"type": "foreignKey", "to": f"{kind.parent.kind}.{kind.parent.kind.identity}"}]
    if column.allowed:
        arguments = {"validValues": list(column.allowed)}
        found["quality"] = [{"type": "library", "metric": "invalidValues", "mustBe": 0, "arguments": arguments}]
    return found


def main() -> None:
    """Write the documents."""
    for path, text in documents().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(f"wrote {ROOT / path}")


if __name__ == "__main__":
    main()
