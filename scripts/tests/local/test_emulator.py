"""The local AWS starts, is found, is replaced when it does not answer, and reports errors as Lambda does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import Emulator, free_port
from pipeline_cli.local.serve import name_errors_as_lambda_does
from pipeline_cli.output.errors import CommandError, UsageError


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Emulator]:
    found = Emulator(tmp_path / "local")
    yield found
    found.stop()


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((emulator.HOST, 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.mark.slow
def test_a_running_emulator_is_found_and_not_stopped_for_a_port_in_use(stopped: Emulator, port_in_use: int) -> None:
    with pytest.raises(CommandError, match=rf"Port {port_in_use} is in use .* MINISTACK_PORT=\d+"):
        stopped.start(port_in_use)
    assert stopped.running() is None

    first = stopped.start(free_port())

    assert stopped.start() == stopped.running() == first
    with pytest.raises(CommandError, match="in use by another program"):
        stopped.start(port_in_use)
    assert stopped.running() == first


@pytest.mark.slow
def test_a_killed_emulator_is_replaced_and_what_was_deployed_to_it_is_forgotten(stopped: Emulator) -> None:
    port = free_port()
    first = stopped.start(port)
    for name in ("terraform.tfstate", "outputs.json"):
        (stopped.folder / name).touch()
    os.kill(first.pid, signal.SIGKILL)
    while stopped.running():
        time.sleep(0.02)

    second = stopped.start(port)

    assert second.instance != first.instance
    assert second.port == port
    assert not [*stopped.folder.glob("terraform.tfstate"), *stopped.folder.glob("outputs.json")]


@pytest.mark.slow
def test_a_hanging_emulator_is_replaced(stopped: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stopped.start(free_port())
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(emulator, "START_SECONDS", 3)
    monkeypatch.setattr(emulator, "STOP_SECONDS", 0.5)

    assert stopped.start(free_port()).instance != first.instance


@pytest.mark.slow
def test_an_emulator_that_cannot_start_says_why(stopped: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "_environment", lambda *_: {"PATH": os.environ["PATH"]})

    with pytest.raises(CommandError, match=r"did not start: KeyError.*log is"):
        stopped.start(free_port())


@pytest.mark.slow
def test_concurrent_starts_share_one_emulator_whatever_an_interrupted_start_left(stopped: Emulator) -> None:
    stopped.folder.mkdir()
    (stopped.folder / "emulator.json").write_text('{"instance": "half')
    (stopped.folder / "emulator.lock").touch()
    (stopped.folder / "tmp").mkdir()
    code = "import sys; from pathlib import Path; from pipeline_cli.local.emulator import Emulator; "
    code += "print(Emulator(Path(sys.argv[1])).start(int(sys.argv[2])).instance)"
    command = [sys.executable, "-c", code, str(stopped.folder), str(free_port())]
    starts = [
        subprocess.Popen(command, cwd=emulator.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = [start.communicate(timeout=60) for start in starts]

    assert len({out for out, _ in printed}) == 1, printed
    assert all(start.returncode == 0 for start in starts), printed


def test_the_machines_own_settings_do_not_reach_the_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTPS_PROXY", "PYTHONPATH", "PERSIST_STATE"):
        monkeypatch.setenv(name, "mine")

    seen = emulator._environment(4566, tmp_path)

    assert "mine" not in seen.values()
    assert (seen["AUTH"], seen["BIND_HOST"]) == ("true", "127.0.0.1")


def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("http", "0", "70000"):
        monkeypatch.setenv("MINISTACK_PORT", text)
        with pytest.raises(UsageError, match="a port is a number from 1 to 65535"):
            emulator.port_from_environment()


def failed(message: str, log: str) -> dict[str, Any]:
    """Return MiniStack's result for a failed function."""
    return {"error": True, "body": {"errorMessage": message, "errorType": "Runtime.HandlerError"}, "log": log}


def traced(error: Exception) -> dict[str, Any]:
    """Return MiniStack's result for an exception that a handler raised."""
    try:
        raise error
    except Exception as raised:  # noqa: BLE001
        return failed(str(raised), f'{{"level":"INFO"}}\n{traceback.format_exc()}')


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (traced(CommandError("Port 1: taken.")), "CommandError"),
        (traced(ValueError()), "ValueError"),
        (traced(RuntimeError("one line\nand: another.")), "RuntimeError"),
        (failed("Worker process died", ""), "Runtime.ExitError"),
        (failed("odd", ""), "Runtime.HandlerError"),
    ],
)
def test_a_failed_function_has_the_error_name_that_lambda_gives(result: dict[str, Any], name: str) -> None:
    assert name_errors_as_lambda_does(result)["body"]["errorType"] == name
