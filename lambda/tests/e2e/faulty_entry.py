"""Wraps a function's handler in the fault tests: the process dies or hangs at a chosen SDK call.

The fault is in a file that the test writes, `<call number>:<before|after|hang>`. It occurs while the function handles
an event of the day that the file's name ends with. The file is deleted first, so that a fault occurs once. The
product's own package is unchanged; this module is added to a copy of its zip.
"""

import importlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

FAULTS = Path(os.environ["FAULT_FILES"])
"""The path of this function's files without the day at the end of their names."""
FAULT_EXIT = 70

_calls = 0
_faults: list[Path] = []
_lock = threading.Lock()
_make_api_call = BaseClient._make_api_call  # type: ignore[attr-defined]


def _due(kind: str, call: int) -> bool:
    return any(_occurs(fault, kind, call) for fault in _faults)


def _occurs(fault: Path, kind: str, call: int) -> bool:
    try:
        number, chosen = fault.read_text().split(":")
        if (int(number), chosen) != (call, kind):
            return False
        fault.unlink()
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
    global _calls, _faults
    _calls, text = 0, json.dumps(event)
    _faults = [file for file in FAULTS.parent.glob(f"{FAULTS.name}*") if file.name.removeprefix(FAULTS.name) in text]
    module, name = os.environ["REAL_HANDLER"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(event, context)
