"""The process of the local AWS: MiniStack behind `guard`, with corrections of what it does otherwise than AWS.

=================  =================================================  ==========================================
Correction         Without it                                         Test that needs it
=================  =================================================  ==========================================
names of errors    no Retry or Catch rule for an error of ours holds  lambda/tests/e2e/test_faults.py
`glue` (Spark)     a job is reported as done and was never run        lambda/tests/large/test_day_on_the_stack.py
=================  =================================================  ==========================================
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import uuid
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline_cli.local import glue
from pipeline_cli.local.emulator import Record, runtime
from pipeline_cli.local.guard import guarded
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import write_whole

MINISTACK = "1.5.33"
"""The version that the corrections are written for."""


def serve(folder: Path) -> None:
    """Run the emulator: lock the folder, write the record, serve requests until a signal stops it."""
    from ministack import app as ministack

    if version("ministack") != MINISTACK:
        raise CommandError(f"The corrections are written for ministack {MINISTACK}: look at them again.")
    ministack.app = guarded(ministack.app)
    _correct_error_names()
    glue.install()
    with (folder / "emulator.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        record = Record(uuid.uuid4().hex, os.getpid(), int(os.environ["GATEWAY_PORT"]), runtime(), *keys)
        write_whole(folder / "emulator.json", json.dumps(asdict(record)))
        sys.argv = ["ministack"]
        ministack.main()


def _correct_error_names() -> None:
    """Make the emulator report a function's exception under the name that Lambda gives it.

    MiniStack calls every exception of a handler `Runtime.HandlerError`. The state machine's Retry and Catch rules for
    `ThrottledError` or `PermanentError` would therefore never match.
    """
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_warm
    lambda_svc._execute_function_warm = lambda *arguments: name_errors_as_lambda_does(execute(*arguments))


def name_errors_as_lambda_does(result: dict[str, Any]) -> dict[str, Any]:
    """Set the error type in the result of a failed function to the name of the exception's class, as AWS does.

    The result's log ends with the traceback, whose last lines have the class in front of the message.
    """
    body = result.get("body")
    if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
        message, log = str(body["errorMessage"]), str(result.get("log", "")).rstrip("\n")
        if message == "Worker process died":
            body["errorType"] = "Runtime.ExitError"
        elif "Traceback (most recent call last):" in log:
            body["errorType"] = log.removesuffix(message).rstrip(": ").splitlines()[-1].rpartition(".")[2]
    return result
