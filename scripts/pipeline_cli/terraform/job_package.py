"""Build the package of the job for large days: a zip of wheels, which AWS Glue installs on every worker.

It contains the pipeline's own wheel and those of the libraries that Glue does not have; Spark, PyArrow and the AWS SDK
are Glue's. Glue takes such a zip if its name ends in `.gluewheels.zip`, and installs what `wheels/requirements.txt` in
it lists (AWS Glue Developer Guide, "Using Python libraries with AWS Glue"). The same inputs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from pipeline_cli.terraform import dependencies
from pipeline_cli.terraform.dependencies import Platform
from pipeline_cli.terraform.package import SOURCES
from pipeline_cli.terraform.target import LOCAL, ROOT, variables

GLUE = Platform("3.11", "x86_64", glibc=34)
"""The platform of AWS Glue 5.1 (Developer Guide, "AWS Glue versions"): Amazon Linux 2023."""

LIBRARIES = ("aws-lambda-powertools", "duckdb", "jmespath", "typing-extensions")
"""What the job imports and Glue does not have, or has in other versions; the versions are those of the functions."""

PROJECT = "csv-pipeline"


def is_on(env: str) -> bool:
    """Return whether an environment has the job for large days."""
    return variables(env).get("large_days") is not None


def zip_file(env: str) -> Path:
    """Return the path of an environment's package of the job; the Terraform configuration expects it there."""
    return ROOT / "build" / env / "pipeline.gluewheels.zip"


def build(env: str, target: Path | None = None, sources: Path = SOURCES, *, quiet: bool = False) -> Path:
    """Build the package; for `local` with the wheels for this interpreter, else with those for AWS Glue.

    Raises
    ------
    CommandError
        A library has no wheel for the platform.
    """
    target = target or zip_file(env)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheels = _libraries(dependencies.platform_of(env) if env == LOCAL else GLUE, quiet=quiet)
        own = _own_wheel(sources, Path(folder))
        listed = Path(folder, "requirements.txt")
        listed.write_text("".join(f"{name}=={number}\n" for name, number in sorted(_versions([*wheels, own]).items())))
        unfinished = Path(folder, target.name)
        with zipfile.ZipFile(unfinished, "w") as archive:
            dependencies.add_files(archive, [(f"wheels/{file.name}", file) for file in (*wheels, own, listed)])
        unfinished.replace(target)
    return target


def _libraries(platform: Platform, *, quiet: bool) -> list[Path]:
    """Download the wheels of the libraries, which are kept for the next package."""
    locked = _locked(dependencies.LOCK.read_text())
    key = dependencies.digest([locked.encode(), str(platform).encode()])
    folder = ROOT / "build" / "packages" / f"{key[:16]}.wheels"
    if not folder.exists():
        if not quiet:
            print(f"Collecting the libraries of the job for large days for {platform}…", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            requirements, unfinished = Path(place, "requirements.lock"), Path(place, "wheels")
            requirements.write_text(locked)
            failure = f"The libraries of the job for {platform} could not be collected"
            dependencies.run_pip(platform, failure, "download", requirements, "--dest", str(unfinished))
            unfinished.replace(folder)
    return sorted(folder.glob("*.whl"))


def _locked(lock: str) -> str:
    """Return the lines of a lock file that concern the libraries."""
    blocks = re.findall(r"^[^\s#].*(?:\n[ ]+.*)*\n", lock, re.MULTILINE)
    found = {block.partition("==")[0]: block for block in blocks}
    return "".join(found[name] for name in LIBRARIES)


def _own_wheel(sources: Path, folder: Path) -> Path:
    """Write the pipeline's wheel (Binary distribution format, PyPA specifications), without the functions' handlers."""
    number, name = version(PROJECT), PROJECT.replace("-", "_")
    files: dict[str, bytes] = {
        f"pipeline/{file.relative_to(sources).as_posix()}": file.read_bytes()
        for file in sources.rglob("*")
        if file.is_file() and not {"__pycache__", "handlers"} & set(file.relative_to(sources).parts)
    }
    info = f"{name}-{number}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {number}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: csv-pipeline\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    wheel = folder / f"{name}-{number}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, dependencies.EARLIEST)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return wheel


def _record(files: Mapping[str, bytes], record: str) -> bytes:
    """Return the list of a wheel's files, each with its digest and its size."""
    lines = []
    for path, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}\n")
    return ("".join(lines) + f"{record},,\n").encode()


def _versions(wheels: Iterable[Path]) -> dict[str, str]:
    """Return the versions of wheels by the names of their projects, from their file names."""
    parts = (wheel.name.split("-") for wheel in wheels)
    return {name.replace("_", "-"): number for name, number, *_ in parts}
