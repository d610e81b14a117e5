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

import boto3
import pytest
from botocore.exceptions import ClientError
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import Emulator, endpoint, free_port, temporary_emulator
from pipeline_cli.local.serve import name_errors_as_lambda_does
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.terraform.target import Target


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Emulator]:
    found = Emulator(tmp_path / "local")
    yield found
    found.stop()


def wait_until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_second_start_finds_the_first(stopped: Emulator) -> None:
    first = stopped.start(free_port())

    assert stopped.start() == first
    assert stopped.running() == first


@pytest.mark.slow
def test_it_enforces_credentials(stopped: Emulator) -> None:
    record = stopped.start(free_port())
    url = endpoint(record.port)
    stranger = {"aws_access_key_id": "nobody", "aws_secret_access_key": "knows"}

    Target("local", emulator.REGION, url, folder=stopped.folder).client("sqs").list_queues()
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        boto3.client("sqs", region_name=emulator.REGION, endpoint_url=url, **stranger).list_queues()


@pytest.mark.slow
def test_a_killed_emulator_is_replaced(stopped: Emulator) -> None:
    port = free_port()
    first = stopped.start(port)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: stopped.running() is None)

    second = stopped.start(port)

    assert second.instance != first.instance
    assert second.port == port


@pytest.mark.slow
def test_files_of_an_interrupted_start_do_not_prevent_the_next(stopped: Emulator) -> None:
    stopped.folder.mkdir()
    (stopped.folder / "emulator.json").write_text('{"instance": "half')
    (stopped.folder / "emulator.lock").touch()
    (stopped.folder / "tmp").mkdir()

    assert stopped.start(free_port()) == stopped.running()


@pytest.mark.slow
def test_a_hanging_emulator_is_replaced(stopped: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stopped.start(free_port())
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(emulator, "START_SECONDS", 3)
    monkeypatch.setattr(emulator, "STOP_SECONDS", 1)

    assert stopped.start(free_port()).instance != first.instance


@pytest.mark.slow
def test_a_port_in_use_is_named_with_a_way_out(stopped: Emulator) -> None:
    with socket.socket() as other:
        other.bind((emulator.HOST, 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(CommandError, match=rf"Port {port} is in use .* MINISTACK_PORT=\d+"):
            stopped.start(port)

    assert stopped.running() is None


@pytest.mark.slow
def test_a_running_emulator_is_not_stopped_for_a_port_in_use(stopped: Emulator) -> None:
    first = stopped.start(free_port())
    with socket.socket() as other:
        other.bind((emulator.HOST, 0))
        other.listen()
        with pytest.raises(CommandError, match="in use by another program"):
            stopped.start(other.getsockname()[1])
    assert stopped.running() == first


@pytest.mark.slow
def test_an_emulator_that_cannot_start_says_why(stopped: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "_environment", lambda *_: {"PATH": os.environ["PATH"]})

    with pytest.raises(CommandError, match=r"did not start: KeyError.*log is"):
        stopped.start(free_port())


@pytest.mark.slow
def test_concurrent_starts_share_one_emulator(stopped: Emulator) -> None:
    port = free_port()
    code = "import sys; from pathlib import Path; from pipeline_cli.local.emulator import Emulator; "
    code += "print(Emulator(Path(sys.argv[1])).start(int(sys.argv[2])).instance)"
    command = [sys.executable, "-c", code, str(stopped.folder), str(port)]
    starts = [
        subprocess.Popen(command, cwd=emulator.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = [start.communicate(timeout=60) for start in starts]

    assert len({out for out, _ in printed}) == 1, printed
    assert all(start.returncode == 0 for start in starts), printed


@pytest.mark.slow
def test_several_emulators_run_side_by_side_and_end_with_their_block(tmp_path: Path) -> None:
    with temporary_emulator(tmp_path / "a") as first, temporary_emulator(tmp_path / "b") as second:
        assert first.port != second.port
        one, other = (
            Target("local", emulator.REGION, endpoint(record.port), folder=tmp_path / name).client("sqs")
            for name, record in (("a", first), ("b", second))
        )
        one.create_queue(QueueName="one")
        assert not other.list_queues().get("QueueUrls")

    assert Emulator(tmp_path / "a").running() is None
    assert Emulator(tmp_path / "b").running() is None


def test_stopping_what_does_not_run_is_no_error(stopped: Emulator) -> None:
    assert stopped.stop() is False


def test_the_machines_own_settings_do_not_reach_the_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTPS_PROXY", "PYTHONPATH", "PERSIST_STATE"):
        monkeypatch.setenv(name, "mine")

    seen = emulator._environment(4566, tmp_path)

    assert "mine" not in seen.values()
    assert seen["AUTH"] == "true"
    assert seen["BIND_HOST"] == "127.0.0.1"


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1"])
def test_an_invalid_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MINISTACK_PORT", text)

    with pytest.raises(UsageError, match="a port is a number from 1 to 65535"):
        emulator.port_from_environment()


@pytest.mark.parametrize(("text", "port"), [("", None), ("4567", 4567)])
def test_the_port_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, port: int | None) -> None:
    monkeypatch.setenv("MINISTACK_PORT", text)

    assert emulator.port_from_environment() == port


def traced(error: Exception) -> dict[str, Any]:
    """Return MiniStack's result for an exception that a handler raised."""
    try:
        raise error
    except Exception as raised:  # noqa: BLE001
        body = {"errorMessage": str(raised), "errorType": "Runtime.HandlerError"}
        return {"error": True, "body": body, "log": f'{{"level":"INFO"}}\n{traceback.format_exc()}'}


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (traced(CommandError("Port 1: taken.")), "CommandError"),
        (traced(ValueError()), "ValueError"),
        (traced(KeyError("files")), "KeyError"),
        (traced(RuntimeError("one line\nand: another.")), "RuntimeError"),
        (
            {"error": True, "body": {"errorMessage": "Worker process died", "errorType": "Runtime.HandlerError"}},
            "Runtime.ExitError",
        ),
        (
            {"error": True, "body": {"errorMessage": "Task timed out", "errorType": "Sandbox.Timedout"}},
            "Sandbox.Timedout",
        ),
        ({"error": True, "body": {"errorMessage": "odd", "errorType": "Runtime.HandlerError"}}, "Runtime.HandlerError"),
    ],
)
def test_a_failed_function_has_the_error_name_that_lambda_gives(result: dict[str, Any], name: str) -> None:
    assert name_errors_as_lambda_does(result)["body"]["errorType"] == name


def test_the_result_of_a_function_is_not_changed() -> None:
    result = {"body": {"errorType": "Runtime.HandlerError"}, "log": "Traceback (most recent call last):"}

    assert name_errors_as_lambda_does(result)["body"] == {"errorType": "Runtime.HandlerError"}
