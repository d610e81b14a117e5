"""One Spark on this machine for all tests of large days; without Java or pyspark they are skipped and say why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deployed import Deployed
    from pyspark.sql import SparkSession


SMALL = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""Settings for tiny days; others than those of a cluster."""


@pytest.fixture(scope="session")
def spark_is_installed() -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed: make test-spark does, for Python 3.11 and 3.12")
    if shutil.which("java") is None:
        pytest.skip("there is no Java on the PATH, which Spark needs (Debian: openjdk-17-jre-headless)")


@pytest.fixture(scope="session")
def spark(spark_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from pipeline.large.local import local_session

    # To compile code, from queries or in Java, takes longer than to run it over a few lines; and so does to plan a
    # query anew after each stage. Some generated days run as on a cluster.
    os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    session = local_session(2, tmp_path_factory.mktemp("spark"), memory_mb=2048)  # Spark keeps plans of earlier days
    for name, value in SMALL.items():
        session.conf.set(name, value)
    yield session
    session.stop()


@pytest.fixture
def as_on_a_cluster(spark: SparkSession) -> Iterator[SparkSession]:
    """Spark with its own settings, as on a cluster."""
    for name in SMALL:
        spark.conf.unset(name)
    yield spark
    for name, value in SMALL.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="session")
def account(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A bucket and a table on a local emulator."""
    from deployed import deployed

    with deployed(spark, tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture
def aws(account: Deployed) -> Iterator[Deployed]:
    """The same, empty, and the environment that leads to it."""
    with account.environment():
        account.clear()
        yield account
