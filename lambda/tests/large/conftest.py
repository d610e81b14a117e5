"""One Spark on this machine for all tests of large days; without Java or pyspark they are skipped and say why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    pytest.importorskip("pyspark", reason="pyspark is not installed: make test-spark does, for Python 3.11 and 3.12")
    if shutil.which("java") is None:
        pytest.skip("there is no Java on the PATH, which Spark needs (Debian: openjdk-17-jre-headless)")
    from pipeline.large.local import local_session

    session = local_session(2, tmp_path_factory.mktemp("spark"))
    # To compile a query takes longer than to run it over a few lines; some generated days compile theirs.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    yield session
    session.stop()
