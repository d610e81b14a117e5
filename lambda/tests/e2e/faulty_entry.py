"""Wraps a function's handler in the fault tests: the process dies or hangs at a chosen SDK call.

The fault is in a file that the test writes, `<call number>:<before|after|hang>`. The file is deleted first, so that a
fault occurs once. The product's own package is unchanged; this module is added to a copy of its zip.
"""

import importlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

FAULT = Path(os.environ["FAULT_FILE"])
FAULT_EXIT = 70

_calls = 0
_lock = threading.Lock()
_make_api_call = BaseClient._make_api_call  # type: ignore[attr-defined]


def _due(kind: str, call: int) -> bool:
    try:
        number, chosen = FAULT.read_text().split(":")
    except FileNotFoundError:
        return False
    if (int(number), chosen) != (call, kind):
        return False
    try:
        FAULT.unlink()
    except FileNotFoundError:  # another process of this function has deleted it
        return False
    return True


def _faulty_call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
    global _calls
    with _lock:
        _calls += 1
        call = _calls
    if _due("hang", call):
        time.sleep(3600)
    if _due("before", call):
        os._exit(FAULT_EXIT)
    reply = _make_api_call(self, operation, parameters)
    if _due("after", call):
        os._exit(FAULT_EXIT)
    return reply


BaseClient._make_api_call = _faulty_call  # type: ignore[attr-defined]


def handler(event: dict[str, Any], context: Any) -> Any:
    """Count the calls of this invocation from one, and call the function's handler."""
    global _calls
    _calls = 0
    module, name = os.environ["REAL_HANDLER"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(event, context)
