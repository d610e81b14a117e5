"""Stands before a function's handler in the fault tests: lets the process die, or hang, at a chosen SDK call.

What to do is in a file that the test writes, `<call number>:<before|after|hang>`; it is taken away when it is done,
so a fault strikes once. The product's own package is unchanged; this module is added to a copy of its zip.
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
        number, wanted = FAULT.read_text().split(":")
    except FileNotFoundError:
        return False
    if (int(number), wanted) != (call, kind):
        return False
    try:
        FAULT.unlink()
    except FileNotFoundError:  # another process of this function was first
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
    """Count this invocation's calls from one, and do what the function does."""
    global _calls
    _calls = 0
    module, name = os.environ["REAL_HANDLER"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(event, context)
