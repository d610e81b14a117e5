"""The local AWS: one MiniStack process with IAM enforcement, bound to loopback.

Its data is in memory and is lost when it stops. Its files (record, log, temporary files) are in one folder, so that
several emulators can run side by side, each with its own folder and port. The process holds an exclusive lock on a file
in that folder while it runs. The lock tells whether it runs; its process id might belong to another program by now.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline_cli.output.errors import CommandError, UsageError

ROOT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
DEFAULT_PORT = 4566
REGION = "eu-west-1"
ACCOUNT = "000000000000"

STATE = "terraform.tfstate"

START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Record:
    """The description of itself that a running emulator writes into its folder, readable for its owner alone.

    Each start has keys of its own: who has them can run code as the developer.
    """

    instance: str
    pid: int
    port: int
    runtime: str
    access_key: str = ""
    secret_key: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which programs reach it as the developer."""
        return {
            "AWS_ENDPOINT_URL": endpoint(self.port),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


@dataclass(frozen=True)
class Emulator:
    """The emulator that belongs to a folder."""

    folder: Path

    @property
    def log_file(self) -> Path:
        """The emulator's log file."""
        return self.folder / "emulator.log"

    def running(self) -> Record | None:
        """Return the record of the running emulator, or None if there is none."""
        return self._record() if self._locked() else None

    def start(self, port: int | None = None) -> Record:
        """Return the record of the running emulator; start one if there is none.

        `port` is the one that it must listen on; None means that of the running emulator, or the default.

        Raises
        ------
        CommandError
            Another program uses the port, or the emulator does not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "emulator.start.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the second of two concurrent starts finds the emulator of the first
            return self._start(port)

    def _start(self, requested: int | None) -> Record:
        port = requested or DEFAULT_PORT
        record = self._healthy(lambda: not self._locked())
        if record and requested in (None, record.port) and record.runtime == runtime():
            return record
        if self._locked() and (record is None or record.port == port or not _answers(port)):
            self.stop()  # not if the new port is taken: its data would be lost and nothing gained
        if _answers(port):
            raise CommandError(
                f"Port {port} is in use by another program, so the local AWS cannot start.",
                f"Choose another by adding to the command, for example: MINISTACK_PORT={free_port()}",
            )
        process = self._spawn(port)
        record = self._healthy(lambda: process.poll() is not None)
        if record is None:
            raise CommandError(f"The local AWS did not start: {self._last_words()}", f"Its log is {self.log_file}.")
        return record

    def stop(self) -> bool:
        """Stop the emulator and its functions' worker processes; return whether one was running."""
        record = self.running()
        if record is None:
            self._clear()
            return False
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(record.pid, signum)  # it leads a process group, which its workers belong to
            if _poll(lambda: not self._locked(), STOP_SECONDS):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(record.pid, signal.SIGKILL)
                break
        self._clear()
        return True

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        self._clear()
        temporary = self.folder / "tmp"
        temporary.mkdir(mode=0o700)
        with self.log_file.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pipeline_cli.app", "local", "serve", str(self.folder)],
                cwd=ROOT,
                env=_environment(port, temporary),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )

    def _healthy(self, ended: Callable[[], bool]) -> Record | None:
        """Wait until the emulator answers and return its record; None if it has ended or takes too long."""
        _poll(lambda: _answers_health(self._record()) or ended(), START_SECONDS)
        record = self._record()
        return record if _answers_health(record) and not ended() else None

    def _record(self) -> Record | None:
        with suppress(OSError, ValueError, TypeError):
            return Record(**json.loads((self.folder / "emulator.json").read_text()))
        return None

    def _locked(self) -> bool:
        try:
            with (self.folder / "emulator.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _clear(self) -> None:
        """Delete what an emulator that has ended left, the description of what was deployed to it, too."""
        self.forget_deployment()
        (self.folder / "emulator.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)

    def forget_deployment(self) -> None:
        """Delete what Terraform knows of a deployment whose resources are gone."""
        for name in (STATE, f"{STATE}.backup", "outputs.json"):
            (self.folder / name).unlink(missing_ok=True)

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return f"it gave no reason within {START_SECONDS:.0f} seconds."


@contextmanager
def temporary_emulator(folder: Path) -> Iterator[Record]:
    """Run an emulator in a folder, on a free port, until the end of the block."""
    emulator = Emulator(folder)
    try:
        yield emulator.start(free_port())
    finally:
        emulator.stop()


def endpoint(port: int) -> str:
    """Return the address of an emulator on this machine."""
    return f"http://{HOST}:{port}"


def port_from_environment() -> int | None:
    """Return the port in the variable MINISTACK_PORT, or None."""
    text = os.environ.get("MINISTACK_PORT", "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise UsageError(f"MINISTACK_PORT is {text!r}, but a port is a number from 1 to 65535.")
    return int(text)


def _environment(port: int, temporary: Path) -> dict[str, str]:
    """Return the environment of the emulator and its functions, without this machine's AWS and Python settings."""
    kept = {name: os.environ[name] for name in ("PATH", "JAVA_HOME", "LANG", "LC_ALL", "TZ") if name in os.environ}
    nowhere = str(temporary / "none")
    return kept | {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": f"LOCAL{secrets.token_hex(16).upper()}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",  # its listener would bind to all interfaces
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "S3_DATA_DIR": str(temporary / "s3"),
        "STATE_DIR": str(temporary / "state"),
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": HOST,
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
    }


def runtime() -> str:
    """Return the Python and MiniStack versions; an emulator that was started with others is restarted."""
    return f"{sys.executable} {sys.version.split()[0]} ministack {version('ministack')}"


def _answers_health(record: Record | None) -> bool:
    with suppress(OSError, ValueError):
        if record:
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(f"{endpoint(record.port)}/_ministack/health", timeout=2) as response:
                return bool(json.load(response).get("auth") == "enabled")
    return False


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _poll(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
