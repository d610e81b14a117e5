"""Build the package of the job for large days: a zip of wheels, which AWS Glue installs on every worker.

It contains the pipeline's own wheel and those of the libraries that Glue does not have; Spark, PyArrow and the AWS SDK
are Glue's. Glue takes such a zip if its name ends in `.gluewheels.zip`, and installs what `wheels/requirements.txt` in
it lists (AWS Glue Developer Guide, "Using Python libraries with AWS Glue"). The same inputs give the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import dependencies
from pipeline_cli.terraform.dependencies import Platform
from pipeline_cli.terraform.package import SOURCES
from pipeline_cli.terraform.target import LOCAL, ROOT, variables

GLUE = Platform("3.11", "x86_64")
"""The platform of AWS Glue 5.1 (Developer Guide, "AWS Glue versions"): Amazon Linux 2023."""

LIBRARIES = ("aws-lambda-powertools", "duckdb", "jmespath", "typing-extensions")
"""What the job imports and Glue does not have, or has in other versions; the versions are those of the functions."""

OWN_PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "csv-pipeline"
version = "%s"

[tool.setuptools.package-data]
pipeline = ["**/*.sql"]
"""
"""The project of the job: the pipeline alone, which asks for no other package, as Glue or the zip has them."""


def is_on(env: str) -> bool:
    """Return whether an environment has the job for large days."""
    return variables(env).get("large_days") is not None


def zip_file(env: str) -> Path:
    """Return the path of an environment's package of the job; the Terraform configuration expects it there."""
    return ROOT / "build" / env / "pipeline.gluewheels.zip"


def build(env: str, target: Path | None = None, sources: Path = SOURCES) -> Path:
    """Build the package; for `local` with the wheels for this interpreter, else with those for AWS Glue.

    Raises
    ------
    CommandError
        A library has no wheel for the platform, or the pipeline's own can't be built.
    """
    target = target or zip_file(env)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheels = _libraries(dependencies.platform_of(env) if env == LOCAL else GLUE)
        own = _own_wheel(sources, Path(folder))
        listed = Path(folder, "requirements.txt")
        named = (wheel.name.split("-") for wheel in (*wheels, own))
        listed.write_text("".join(sorted(f"{name.replace('_', '-')}=={number}\n" for name, number, *_ in named)))
        unfinished = Path(folder, target.name)
        with zipfile.ZipFile(unfinished, "w") as archive:
            dependencies.add_files(archive, [(f"wheels/{file.name}", file) for file in (*wheels, own, listed)])
        unfinished.replace(target)
    return target


def _libraries(platform: Platform) -> list[Path]:
    """Download the wheels of the libraries, which are kept for the next package."""
    locked = _locked(dependencies.LOCK.read_text())
    key = dependencies.digest([locked.encode(), str(platform).encode()])
    folder = ROOT / "build" / "packages" / f"{key[:16]}.wheels"
    if not folder.exists():
        terminal.err().print(f"Collecting the libraries of the job for large days for {platform}…")
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
    """Build the pipeline's wheel, without the functions' handlers; its time stamps are the earliest of the format."""
    project = folder / "project"
    ignored = shutil.ignore_patterns("__pycache__", "handlers")
    shutil.copytree(sources, project / "pipeline", ignore=ignored, copy_function=shutil.copyfile)
    (project / "pyproject.toml").write_text(OWN_PROJECT % version("csv-pipeline"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(project)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError("The package of the job could not be built:", f"\n{done.stderr.strip()}")
    (wheel,) = folder.glob("*.whl")
    return wheel
