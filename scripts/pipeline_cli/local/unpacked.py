"""One unpacked copy of a package for all processes of the functions; MiniStack unpacks its 84 MB for each process."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import tempfile
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

CODE = "code"
"""The folder, beside the package, that MiniStack unpacks a package into."""

_unpacking = threading.Lock()


class SharedPackage(zipfile.ZipFile):
    """A package that is unpacked once.

    Its folder is a link to the copy. Functions don't write there, as on AWS they can write only to `/tmp`.
    """

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Unpack into a folder, which must be empty."""
        if self.filename is None or path is None or Path(path).name != CODE:
            super().extractall(path, members, pwd)
            return
        package, folder = Path(self.filename), Path(path)
        with _unpacking:
            copy = self._copy(package)
            folder.rmdir()
            folder.symlink_to(copy, target_is_directory=True)
        package.unlink()  # each process has its own, which nothing reads any more

    def _copy(self, package: Path) -> Path:
        with package.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()
        temporary = Path(tempfile.gettempdir()).resolve()
        copy = temporary / "packages" / name
        if not copy.exists():
            used = {code.resolve() for code in temporary.glob(f"*/{CODE}")}
            for unused in {*copy.parent.glob("*")} - used:
                shutil.rmtree(unused)
            unfinished = copy.with_suffix(".unfinished")
            super().extractall(unfinished)
            unfinished.rename(copy)
        return copy


def install() -> None:
    """Make MiniStack unpack a function's package once in this process."""
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    runtime.zipfile = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": SharedPackage})
