"""Build the Lambda package: one zip for all functions; the same inputs give the same bytes.

For AWS it contains the wheels for the runtime and processor that the environment's variables name, for `local` those
for the Python that runs the local AWS. The zip of the dependencies, which rarely change, is cached; the pipeline's own
files are added to a copy of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import dependencies
from pipeline_cli.terraform.target import LOCAL, ROOT

SOURCES = ROOT / "lambda" / "pipeline"

MEGABYTE = 1024 * 1024
ZIPPED_LIMIT = 50 * MEGABYTE  # Lambda's, for a package that is uploaded directly
UNZIPPED_LIMIT = 250 * MEGABYTE

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
class Package:
    """A built package."""

    file: Path
    zipped: int
    unzipped: int
    largest: tuple[tuple[str, int], ...]

    @property
    def report(self) -> str:
        """The package's size, compared with Lambda's limits."""
        return (
            f"{shown(self.file)}: {_size(self.zipped)} zipped ({self.zipped / ZIPPED_LIMIT:.0%} of Lambda's limit), "
            f"{_size(self.unzipped)} unzipped ({self.unzipped / UNZIPPED_LIMIT:.0%})"
        )


def zip_file(env: str) -> Path:
    """Return the path of an environment's package."""
    return ROOT / "build" / env / "pipeline.zip"


def build(env: str = LOCAL, sources: Path = SOURCES, target: Path | None = None) -> Package:
    """Build the package of an environment, or return the existing one if nothing has changed.

    Raises
    ------
    CommandError
        A dependency has no wheel for the platform, the package does not work, or it is too large.
    ModelError
        The data model contradicts itself.
    """
    # What contradicts itself in the data model is shown here, and not by the functions at night.
    import_module("pipeline.model.data_model")
    target = target or zip_file(env)
    target.parent.mkdir(parents=True, exist_ok=True)
    chosen = dependencies.platform_of(env)
    collected = dependencies.archive(chosen)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        folder, unfinished = Path(place, "files"), Path(place, target.name)
        # Large days run as a Spark job, which has its own package: no function imports `large`.
        shutil.copytree(sources, folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__", "large"))
        own = dependencies.files_in(folder)
        inputs = dependencies.digest(
            [collected.name.encode(), *(part for name, file in own for part in (name.encode(), file.read_bytes()))]
        )
        stamp = target.with_suffix(".inputs")
        if target.exists() and stamp.exists() and stamp.read_text() == inputs:
            return _measured(target)
        stamp.unlink(missing_ok=True)
        dependencies.compile_sources(folder, chosen)
        shutil.copyfile(collected, unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            dependencies.add_files(archive, dependencies.files_in(folder))
        _check_size(_measured(unfinished))
        if chosen.machine is None:
            _check_works(unfinished)
        unfinished.replace(target)
    stamp.write_text(inputs)
    return _measured(target)


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
    """Import every module of the package, with nothing else on the import path."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", CHECK, folder, *sorted(dependencies.SERVICES)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CommandError(f"The package does not work on this machine: {lines[-1]}", "\n".join(["", *lines[-6:-1]]))


def _size(count: int) -> str:
    return f"{count / MEGABYTE:.1f} MB"


def shown(file: Path) -> str:
    """Return a path relative to the project if it is inside, else as it is."""
    with suppress(ValueError):
        return str(file.relative_to(ROOT))
    return str(file)
