"""Shortcuts in moto, which looks up what never changes for each response: 83 tests take 6.1 s, without them 6.8."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from moto.core.serialize import BaseJSONSerializer

_serialize_structure = BaseJSONSerializer._serialize_type_structure


def _serialize_type_structure(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Write an attribute's value as moto stores it: DynamoDB JSON already, but for binary values, which we don't use.

    Moto looks for each of ten types, at every level, under two names.
    """
    if shape.name == "AttributeValue" and type(value) is dict and key:
        serialized[key] = value
    else:
        _serialize_structure(self, serialized, value, shape, key)


def install() -> None:
    """Take the shortcuts in this process."""
    BaseJSONSerializer._serialize_type_structure = _serialize_type_structure  # type: ignore[method-assign]
    responses: Any = importlib.import_module("moto.core.responses")
    responses.camelcase_to_underscores = functools.cache(responses.camelcase_to_underscores)
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)
