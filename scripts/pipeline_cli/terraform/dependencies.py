"""The dependencies in the Lambda package: installed for the functions' platform, reduced, compressed and cached."""

from __future__ import annotations

import fnmatch
import hashlib
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import LOCAL, ROOT

LOCK = ROOT / "lambda" / "requirements.lock"

# The services that the functions call; botocore's models of the other 400 are left out.
SERVICES = frozenset({"dynamodb", "s3", "sqs", "stepfunctions", "sts"})
LEFT_OUT = (
    "bin/*",
    "*/__pycache__/*",
    "*.pyc",
    "*.pyi",
    "*/py.typed",
    "*/tests/*",
    # Pip's records of this installation. METADATA is kept, as DuckDB reads its version from it.
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    # Optional parts that the functions do not use.
    "adbc_driver_duckdb/*",
    "duckdb/experimental/*",
    "botocore/data/*/*/examples-1.json*",
)
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time stamp that the zip format has


@dataclass(frozen=True)
class Platform:
    """The platform of a package: a Python version, and a processor as wheels name it.

    Without a processor it is the interpreter that runs this.
    """

    python: str
    machine: str | None = None

    def __str__(self) -> str:
        """Name the platform."""
        return f"Python {self.python} on {self.machine or platform.machine()}"

    @property
    def compiler(self) -> str:
        """The Python that compiles sources for this platform; empty if this one can't, as bytecode fits one version."""
        own = sys.version_info
        fits = self.python == f"{own.major}.{own.minor}" and sys.implementation.name == "cpython"
        return sys.version if fits and own.releaselevel == "final" else ""

    @property
    def pip_options(self) -> list[str]:
        """The options that make pip choose wheels for this platform."""
        if self.machine is None:
            return []
        # Lambda and Glue run on Amazon Linux 2023, which has glibc 2.34.
        tags = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(34, 16, -1))]
        options = ["--implementation", "cp", "--python-version", self.python]
        return options + [word for tag in tags for word in ("--platform", f"{tag}_{self.machine}")]


def platform_of(env: str) -> Platform:
    """Return the platform that the functions of an environment run on."""
    if env == LOCAL:
        return Platform(f"{sys.version_info.major}.{sys.version_info.minor}")
    return Platform("3.13", "aarch64")  # as infra/modules/function/main.tf says


def archive(chosen: Platform) -> Path:
    """Return the zip of the installed dependencies; create it if it is not in the cache."""
    words = (str(chosen), sys.implementation.cache_tag, chosen.compiler)
    key = digest([LOCK.read_bytes(), Path(__file__).read_bytes(), *(word.encode() for word in words)])
    file = ROOT / "build" / "packages" / f"{key[:16]}.zip"
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    terminal.err().print(f"Collecting the package's dependencies for {chosen}…")
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        installed, unfinished = Path(folder, "installed"), Path(folder, "dependencies.zip")
        failure = f"The dependencies for {chosen} could not be installed"
        run_pip(chosen, failure, "install", LOCK, "--no-compile", "--target", str(installed))
        for name, path in files_in(installed):
            if not is_kept(name):
                path.unlink()
        compile_sources(installed, chosen)
        with zipfile.ZipFile(unfinished, "w") as bundle:
            add_files(bundle, files_in(installed))
        unfinished.replace(file)
    return file


def run_pip(platform: Platform, failure: str, command: str, requirements: Path, *options: str) -> None:
    """Install or download the locked wheels of a requirements file for a platform.

    Raises
    ------
    CommandError
        pip failed; the message begins with `failure`.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", command]
    locked = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", str(requirements)]
    done = subprocess.run([*pip, *locked, *options, *platform.pip_options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(
            f"{failure}: {done.stderr.strip().splitlines()[-1]}",
            "Is the package index within reach, and has every package a wheel for that platform?",
        )


def compile_sources(folder: Path, platform: Platform) -> None:
    """Compile the Python sources in a folder, if this Python can do it for the platform.

    A function could not keep bytecode, as only `/tmp` is writable there. The bytecode is unchecked: the interpreter
    does not compare it with its source, whose time stamp differs on Lambda. A process that has loaded nothing else
    compiles in order of the names, as interned strings of a process influence the bytes that it writes.

    Raises
    ------
    CommandError
        A source can't be compiled.
    """
    if not platform.compiler:
        return
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder), str(folder)]
    command = [sys.executable, "-I", "-S", "-B", "-m", "compileall", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError("The package could not be compiled:", f"\n{done.stdout.strip()}")


def files_in(folder: Path) -> list[tuple[str, Path]]:
    """List the files in a folder, each with its name there, in order of the names."""
    return sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file())


def is_kept(name: str) -> bool:
    """Return whether a dependency's file goes into the package."""
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT):
        return False
    parts = PurePosixPath(name).parts
    of_a_service = parts[:2] in (("botocore", "data"), ("boto3", "data")) and len(parts) > 3
    return not of_a_service or parts[2] in SERVICES


def add_files(archive: zipfile.ZipFile, files: Iterable[tuple[str, Path]]) -> None:
    """Add files in order of their names, without time stamps or anything else that depends on this machine."""
    for name, file in sorted(files):
        entry = zipfile.ZipInfo(name, EARLIEST)
        entry.create_system = 3  # Unix, so that Lambda takes the permissions from the next line
        entry.external_attr = 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, file.read_bytes())


def digest(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of several parts, each with its length, in hexadecimal digits."""
    made = hashlib.sha256()
    for part in parts:
        made.update(f"{len(part)}\0".encode())
        made.update(part)
    return made.hexdigest()
