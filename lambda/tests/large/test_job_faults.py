"""A job that was killed stores the same when it is run again; one whose files or batch have changed stores nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batches import ITEMS, day
from deployed import NAME, Deployed
from e2e.stack import eventually
from pipeline.errors import SourceChangedError, SupersededError
from pipeline.model import data_model
from pipeline.stages.run import Run
from pipeline_cli.local.emulator import REGION

pytestmark = pytest.mark.spark

DAY = day(items=ITEMS + b"o1,x,1,y\no9,x,1,1\n" * 20)
LOOPBACK = "127.0.0.1"
JOB_SECONDS = 400.0
"""Longest wait for a step of a job."""


class KilledError(Exception):
    """The driver ended here."""


def die() -> None:
    raise KilledError


def when_stored(aws: Deployed, key: str, part: bytes, then: Callable[[], object]) -> None:
    """Call `then` once the driver has stored an object with this end of its key and this part of its content."""
    stored: list[dict[str, Any]] = []
    pending = [then]

    def before(params: dict[str, Any], **_: Any) -> None:
        stored.append(dict(params))  # the SDK changes it on the way

    def after(**_: Any) -> None:
        if pending and stored[-1]["Key"].endswith(key) and part in stored[-1]["Body"]:
            pending.pop()()

    aws.s3.meta.events.register("provide-client-params.s3.PutObject", before)
    aws.s3.meta.events.register("after-call.s3.PutObject", after)


def test_a_driver_killed_at_any_step_stores_the_same_when_run_again(aws: Deployed) -> None:
    run = aws.upload(DAY)
    request, _, expected = aws.by_function(run)

    for step in (b"validate items", b"store the manifest"):
        when_stored(aws, "progress.json", b'"%s"' % step, die)
        with pytest.raises(KilledError):
            aws.by_job(request, 100_000)
        assert not aws.has(run, "manifest.json"), step
    for name in ("manifest.json", "large_day/outcome.json"):
        when_stored(aws, name, b"", die)
        with pytest.raises(KilledError):
            aws.by_job(request, 100_000)
        assert aws.has(run, name)
    aws.by_job(request, 100_000)

    assert aws.objects() == expected


def test_a_job_that_loses_its_executor_stores_the_same(aws: Deployed, tmp_path: Path) -> None:
    run = aws.upload(DAY)
    _, _, expected = aws.by_function(run)
    job = start(run, tmp_path)
    try:
        eventually(lambda: progress(aws, run) >= 6 or job.poll() is not None, "the orders of the day", JOB_SECONDS)
        found = subprocess.run(["pgrep", "-g", str(job.pid), "-f", "CoarseGrainedExecutorBackend"], capture_output=True)
        os.kill(int(found.stdout), signal.SIGKILL)
        assert job.wait(JOB_SECONDS) == 0, (tmp_path / "log").read_text()[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)

    assert aws.objects() == expected
    assert f"Lost executor 0 on {LOOPBACK}" in (tmp_path / "log").read_text()


def start(run: Run, folder: Path) -> subprocess.Popen[bytes]:
    """Start the job's script as Glue does, with arguments that Glue adds, on a cluster of one executor."""
    import pyspark

    home = folder / "spark"  # Spark's own folder, but with place for the files of executors
    home.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        (home / path.name).symlink_to(path)
    arguments = ["--JOB_NAME", "large-days", "--bucket", NAME, "--table", NAME, "--region", REGION]
    options = ["spark.ui.enabled=false", f"spark.driver.bindAddress={LOOPBACK}", f"spark.driver.host={LOOPBACK}"]
    submit = ["--master", "local-cluster[1,2,1024]", *(f"--conf {option}" for option in options), "pyspark-shell"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pipeline.large.job",
                *arguments,
                "--request",
                run.work_key("large_day/request.json"),
            ],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYSPARK_PYTHON": sys.executable,
                "PYSPARK_SUBMIT_ARGS": " ".join(submit),
                "SPARK_HOME": str(home),
                "SPARK_LOCAL_IP": LOOPBACK,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def progress(aws: Deployed, run: Run) -> int:
    """The number of the step that a job is at; 0 before it has begun."""
    found = aws.bucket.find_json(run.work_key("large_day/progress.json"))
    return int(found["number"]) if found else 0


def test_a_file_replaced_meanwhile_is_read_as_it_was_and_a_deleted_one_ends_the_job(aws: Deployed) -> None:
    run = aws.upload(day())
    request, _, expected = aws.by_function(run)
    source = run.files[data_model.ITEMS]
    aws.s3.put_object(Bucket=NAME, Key=source.key, Body=b"rubbish")

    aws.by_job(request, 60)
    assert aws.objects() == expected

    aws.clear()
    aws.s3.delete_object(Bucket=NAME, Key=source.key, VersionId=source.version_id)
    with pytest.raises(SourceChangedError, match=rf"^{source.key} is no longer the file that made the set complete"):
        aws.by_job(request, 60)
    assert not aws.objects()


def test_a_correction_in_mid_run_ends_the_job_before_its_manifest(aws: Deployed) -> None:
    run = aws.upload(DAY)
    request, _, expected = aws.by_function(run)

    when_stored(aws, "progress.json", b'"validate orders"', lambda: aws.upload(day(items=ITEMS + b"o1,cap,1,1\n")))
    with pytest.raises(SupersededError, match=f"run {run.execution} is superseded"):
        aws.by_job(request, 100_000)

    assert progress(aws, run) == 5
    assert not expected.keys() & aws.objects().keys()
    assert not aws.has(run, "large_day/outcome.json")
