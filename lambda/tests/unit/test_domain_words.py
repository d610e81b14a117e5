"""The domain is one file: nothing else of the product names a kind, a column or a measure of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_documents import TABLE_KEYS
from pipeline.model.data_model import MODEL

ROOT = Path(__file__).parents[3]
ROOMS = ("lambda/pipeline", "scripts/pipeline_cli", "infra", "benchmarks")
DOMAIN = ROOT / "lambda/pipeline/model/data_model.py"
SUFFIXES = {".py", ".sql", ".tf", ".tfvars", ".json", ".html", ".css", ".js", ".toml", ".sh", ".yaml"}
NOT_SEARCHED = {"tests", "results", "__pycache__", "build"}
"""Tests have days of the domain, and results of benchmarks are data."""

ORDINARY = {
    "order": "a sequence, ORDER BY",
    "item": "DynamoDB stores items",
    "items": "dict.items(), and DynamoDB's Items",
    "status": "of a batch, an execution, a reply",
    "id": "of anything",
}
"""Words of the domain that have another meaning too: they are searched for only as names of files."""

ALLOWED = {
    "customer_data_processor": "the module that processes a day has the name that the owner of the project gave it",
    "customer managed": "AWS calls a key of one's own a customer managed key",
    "customer_managed": "the same, as a name",
    "customer-managed": "the same, as an adjective",
    "customer-provided": "and so are keys that come with a request",
}


def words() -> set[str]:
    """The names that the model gives to kinds, columns and measures."""
    kinds = {name for kind in MODEL.kinds for name in (str(kind), kind.singular)}
    columns = {column.name for kind in MODEL.kinds for column in kind.columns}
    return kinds | columns | {measure.name for measure in MODEL.result.measures}


def pattern() -> re.Pattern[str]:
    """Find the words, also as parts of names, those with another meaning as names of files, and kinds of data_model."""
    whole = "|".join(sorted(words() - ORDINARY.keys(), key=len, reverse=True))
    ordinary = "|".join(sorted(words() & ORDINARY.keys(), key=len, reverse=True))
    in_words = rf"(?<![a-z])(?:{whole})(?-i:(?![a-z]))"
    in_files = rf"(?<![a-z])(?:{ordinary})(?:_[\dY*{{<]|\.csv| file)"
    return re.compile(rf"data_model\.(?!MODEL|py|_)\w+|{in_words}|{in_files}", re.IGNORECASE)


def found_in(text: str) -> Iterator[tuple[int, str]]:
    allowed = re.compile("|".join(map(re.escape, ALLOWED)), re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern().finditer(allowed.sub("", line)):
            yield number, match[0]


def files(room: str) -> list[Path]:
    found = (ROOT / room).rglob("*")
    return [
        path
        for path in sorted(found)
        if path.suffix in SUFFIXES
        and path not in (DOMAIN, ROOT / TABLE_KEYS)
        and not NOT_SEARCHED & set(path.relative_to(ROOT).parts)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_but_the_data_model_names_the_domain(room: str) -> None:
    named = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files(room)
        for number, word in found_in(path.read_text(encoding="utf-8"))
    ]
    assert not named, "derive these from MODEL, or say them in other words:\n" + "\n".join(named)
