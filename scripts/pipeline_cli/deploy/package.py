"""Builds the Lambda package: one zip for the five functions, the same bytes from the same inputs.

For AWS it holds the wheels for the runtime and processor that the environment's variables name; for `local` those
for the Python that runs the local AWS. The dependencies, which rarely change, are installed and compressed once and
kept; the pipeline's own few files are added to a copy of that archive.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline_cli.deploy.target import LOCAL, ROOT, check_name, variables
from pipeline_cli.output.errors import CommandError

SOURCES = ROOT / "lambda" / "pipeline"
LOCK = ROOT / "lambda" / "requirements.lock"

MEGABYTE = 1024 * 1024
ZIPPED_LIMIT = 50 * MEGABYTE  # Lambda's, for a package that is uploaded directly
UNZIPPED_LIMIT = 250 * MEGABYTE

# The services that the functions call; botocore's descriptions of the other 400 stay out.
SERVICES = frozenset({"dynamodb", "s3", "sqs", "stepfunctions", "sts"})
LEFT_OUT = (
    "bin/*",
    "*/__pycache__/*",
    "*.pyc",
    "*.pyi",
    "*/py.typed",
    "*/tests/*",
    # What pip notes about this installation; METADATA stays, DuckDB reads its version from it.
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    # Parts that nothing imports unless asked for by name.
    "adbc_driver_duckdb/*",
    "duckdb/experimental/*",
    "botocore/data/*/*/examples-1.json*",
)
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
CHECK = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib, pkgutil, boto3, duckdb, pipeline
assert duckdb.sql("SELECT 6 * 7").fetchall() == [(42,)]
for service in sys.argv[2:]:
    boto3.client(service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="a")
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    importlib.import_module(module.name)
outside = [n for n, m in sys.modules.items() if "site-packages" in (getattr(m, "__file__", None) or "")]
assert not outside, f"imported from outside the package: {outside}"
"""


@dataclass(frozen=True)
class Platform:
    """What the package is for: a Python version and, but for this machine's own, a processor.

    Attributes
    ----------
    python
        The version, such as 3.13.
    machine
        The processor as wheels name it, or None for the interpreter that runs this.
    """

    python: str
    machine: str | None = None

    def __str__(self) -> str:
        """Name the platform."""
        return f"Python {self.python} on {self.machine or platform.machine()}"

    @property
    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for this platform."""
        if self.machine is None:
            return []
        # Amazon Linux 2023, from python3.12 on, has glibc 2.34; Amazon Linux 2 has 2.26.
        newest = 34 if tuple(map(int, self.python.split("."))) >= (3, 12) else 26
        tags = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(newest, 16, -1))]
        options = ["--implementation", "cp", "--python-version", self.python]
        return options + [word for tag in tags for word in ("--platform", f"{tag}_{self.machine}")]


@dataclass(frozen=True)
class Package:
    """A built package."""

    file: Path
    zipped: int
    unzipped: int
    largest: tuple[tuple[str, int], ...]

    @property
    def report(self) -> str:
        """Its size beside Lambda's limits."""
        return (
            f"{_shown(self.file)}: {_size(self.zipped)} zipped ({self.zipped / ZIPPED_LIMIT:.0%} of Lambda's limit), "
            f"{_size(self.unzipped)} unzipped ({self.unzipped / UNZIPPED_LIMIT:.0%})"
        )


def zip_file(env: str) -> Path:
    """Say where the package of an environment is."""
    return ROOT / "build" / env / "pipeline.zip"


def platform_of(env: str) -> Platform:
    """Return the platform that the functions of an environment run on."""
    if env == LOCAL:
        return Platform(f"{sys.version_info.major}.{sys.version_info.minor}")
    settings = variables(env)
    runtime = re.fullmatch(r"python(3\.\d+)", str(settings.get("python_runtime", "python3.13")))
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}.get(str(settings.get("architecture", "arm64")))
    if not runtime or not machine:
        raise CommandError(
            f"infra/env/{env}.tfvars names a runtime or processor that Lambda does not have.",
            "python_runtime is one like python3.13, architecture is arm64 or x86_64.",
        )
    return Platform(runtime[1], machine)


def build(env: str = LOCAL, sources: Path = SOURCES, target: Path | None = None, *, quiet: bool = False) -> Package:
    """Build the package of an environment, or return the one that is there when nothing has changed.

    `quiet` leaves out the line that says what takes long.

    Raises
    ------
    CommandError
        A dependency has no wheel for the platform, the package does not work, or it is too large.
    """
    target = target or zip_file(env)
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = platform_of(env)
    dependencies = _dependencies(wanted, quiet=quiet)
    files = _own_files(sources)
    mark = target.with_suffix(".json")
    inputs = _digest(
        [dependencies.name.encode(), *(part for name, file in files for part in (name.encode(), file.read_bytes()))]
    )
    with suppress(OSError, ValueError, KeyError):
        if target.exists() and json.loads(mark.read_text())["inputs"] == inputs:
            return _measured(target)
    mark.unlink(missing_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(dependencies, unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            _add(archive, files)
        package = _measured(unfinished)
        _check_size(package)
        if wanted.machine is None:
            _check_works(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    mark.write_text(json.dumps({"inputs": inputs}))
    return _measured(target)


def _dependencies(wanted: Platform, *, quiet: bool = False) -> Path:
    """Return the archive of the installed dependencies, making it where it does not exist yet."""
    key = _digest(
        [LOCK.read_bytes(), Path(__file__).read_bytes(), str(wanted).encode(), sys.implementation.cache_tag.encode()]
    )
    archive = ROOT / "build" / "packages" / f"{key[:16]}.zip"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    if not quiet:
        print(f"Collecting the package's dependencies for {wanted}…", flush=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        installed, unfinished = Path(folder, "installed"), Path(folder, "dependencies.zip")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--requirement", str(LOCK)]
        done = subprocess.run(
            [*pip, *options, "--target", str(installed), *wanted.pip_options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(
                f"The dependencies for {wanted} could not be installed: {done.stderr.strip().splitlines()[-1]}",
                "Is the package index within reach, and has every package a wheel for that platform?",
            )
        with zipfile.ZipFile(unfinished, "w") as bundle:
            _add(bundle, _kept(installed))
        unfinished.replace(archive)
    return archive


def _kept(installed: Path) -> list[tuple[str, Path]]:
    files = ((file.relative_to(installed).as_posix(), file) for file in installed.rglob("*") if file.is_file())
    return [(name, file) for name, file in files if is_kept(name)]


def is_kept(name: str) -> bool:
    """Whether a dependency's file goes into the package."""
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT):
        return False
    parts = PurePosixPath(name).parts
    of_a_service = parts[:2] in (("botocore", "data"), ("boto3", "data")) and len(parts) > 3
    return not of_a_service or parts[2] in SERVICES


def _own_files(sources: Path) -> list[tuple[str, Path]]:
    return [
        (f"pipeline/{file.relative_to(sources).as_posix()}", file)
        for file in sources.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]


def _add(archive: zipfile.ZipFile, files: Iterable[tuple[str, Path]]) -> None:
    """Add files in the order of their names, with nothing in it that depends on the clock or on this machine."""
    for name, file in sorted(files):
        entry = zipfile.ZipInfo(name, EARLIEST)
        entry.create_system = 3  # Unix, so that Lambda takes the permissions from the next line
        entry.external_attr = 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, file.read_bytes())


def _measured(file: Path) -> Package:
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            sizes[entry.filename.split("/", 1)[0]] += entry.file_size
    return Package(file, file.stat().st_size, sum(sizes.values()), tuple(sizes.most_common(5)))


def _check_size(package: Package) -> None:
    for size, limit, what in (
        (package.zipped, ZIPPED_LIMIT, "zipped"),
        (package.unzipped, UNZIPPED_LIMIT, "unzipped"),
    ):
        if size > limit:
            parts = ", ".join(f"{name} {_size(part)}" for name, part in package.largest)
            raise CommandError(
                f"The package has {_size(size)} {what}, and Lambda takes {_size(limit)} at most.",
                f"Its largest parts, unzipped: {parts}.",
            )


def _check_works(file: Path) -> None:
    """Import everything in the package, from the package alone."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", CHECK, folder, *sorted(SERVICES)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CommandError(f"The package does not work on this machine: {lines[-1]}", "\n".join(["", *lines[-6:-1]]))


def _digest(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\0".encode())
        digest.update(part)
    return digest.hexdigest()


def _size(count: int) -> str:
    return f"{count / MEGABYTE:.1f} MB"


def _shown(file: Path) -> str:
    with suppress(ValueError):
        return str(file.relative_to(ROOT))
    return str(file)


def main(arguments: list[str]) -> int:
    """Run `python -m pipeline_cli.deploy.package [--env NAME]`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline_cli.deploy.package")
    parser.add_argument("--env", default=LOCAL)
    chosen = parser.parse_args(arguments)
    check_name(chosen.env)
    print(build(chosen.env).report)
    return 0


if __name__ == "__main__":
    from pipeline_cli.output.console import run

    run(main)
