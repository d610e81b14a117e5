"""The state machine's definition through asl-validator, which knows the Amazon States Language with its paths."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import ROOT

VALIDATOR = ROOT / "build" / "asl-validator" / "node_modules" / ".bin" / "asl-validator"


def missing() -> str | None:
    """Say why the state machine can't be validated on this machine; None where it can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "this machine has no Node.js"
    return None if VALIDATOR.exists() else "it is not installed (make lint-terraform installs it)"


def check_state_machine(definition: Mapping[str, Any]) -> str:
    """Validate a definition; return a line that says so, or why it was left out.

    Raises
    ------
    CommandError
        The definition is not valid; the message has the validator's findings.
    """
    if reason := missing():
        return f"asl-validator: skipped, {reason}"
    found = problems(definition)
    if found:
        raise CommandError(f"The state machine's definition is not valid:\n{found}")
    return f"asl-validator: the state machine's {len(definition['States'])} states are valid"


def problems(definition: Mapping[str, Any]) -> str:
    """Return what asl-validator finds wrong with a definition; empty if it is valid."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "definition.json"
        file.write_text(json.dumps(definition))
        done = subprocess.run(
            [str(VALIDATOR), "--json-path", str(file)], capture_output=True, text=True, check=False, timeout=120
        )
    return (done.stdout + done.stderr).strip() if done.returncode else ""
