"""A job that was killed stores the same when it is run again; one whose files or batch have changed stores nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from batches import ITEMS, day
from deployed import NAME, Deployed
from e2e.stack import eventually
from pipeline.aws import clients
from pipeline.errors import SourceChangedError, SupersededError
from pipeline.ledger import Ledger
from pipeline.model import data_model
from pipeline.stages.run import Run
from test_same_outcome import generated

pytestmark = pytest.mark.spark

DAY = generated(random.Random(5), 25, 0.1)
STEPS = (4, 7, 9)
"""The last file is examined, the last file is judged, the files are written."""
LOOPBACK = "127.0.0.1"
JOB_SECONDS = 400.0
"""Longest wait for a step of a job."""
CALLS = ["manifest.json", "outcome.json"]
"""The last objects that the driver itself stores, in order; tasks store most others."""


class KilledError(Exception):
    """The driver ended here."""


@contextmanager
def killed(when: Callable[[str, dict[str, Any]], bool], moment: str = "after-call") -> Iterator[None]:
    """Kill the driver before or after the first call of S3 that meets a condition, by operation and parameters."""
    events = clients.client("s3").meta.events
    parameters: list[dict[str, Any]] = []

    def remember(params: dict[str, Any], **_: Any) -> None:
        parameters.append(dict(params))  # the SDK changes it on the way

    def die(model: Any, **_: Any) -> None:
        if when(model.name, parameters[-1]):
            raise KilledError(f"{moment} {model.name}")

    events.register("provide-client-params.s3", remember)
    events.register(f"{moment}.s3", die)
    try:
        with pytest.raises(KilledError):
            yield
    finally:
        events.unregister("provide-client-params.s3", remember)
        events.unregister(f"{moment}.s3", die)


def test_a_driver_killed_at_each_step_and_call_stores_the_same_when_run_again(aws: Deployed) -> None:
    run = aws.upload(DAY)
    _, expected = aws.by_function(run)
    request = aws.request(run)

    for number in STEPS:
        with killed(lambda _, params, n=number: f'"number":{n},'.encode() in body(params)):
            aws.by_job(request, 100_000)
        assert not aws.has_manifest(run)
    for name in CALLS:
        with killed(lambda _, params, end=name: params["Key"].endswith(end) and "Body" in params):
            aws.by_job(request, 100_000)
        assert aws.has_manifest(run) is (name in ("manifest.json", "outcome.json"))
    aws.by_job(request, 100_000)

    assert aws.objects() == expected


def body(params: dict[str, Any]) -> bytes:
    content = params.get("Body", b"")
    return content if isinstance(content, bytes) else b""


def test_a_driver_killed_at_any_call_of_a_refused_day_stores_the_same_when_run_again(aws: Deployed) -> None:
    run = aws.upload(day(items=b"id;name\n"))
    _, expected = aws.by_function(run)
    request = aws.request(run)
    calls: list[str] = []

    def count(name: str, _: dict[str, Any]) -> bool:
        calls.append(name)
        return len(calls) > 999

    with pytest.raises(pytest.fail.Exception), killed(count):
        aws.by_job(request)
    total = len(calls)
    for number in range(1, total + 1):
        for moment in ("before-call", "after-call"):
            calls.clear()
            with killed(lambda name, params, n=number: count(name, params) or len(calls) == n, moment):
                aws.by_job(request)
    aws.by_job(request)

    assert total > 8
    assert aws.objects() == expected


def test_the_job_is_killed_and_run_again_and_then_loses_its_executor(aws: Deployed, tmp_path: Path) -> None:
    run = aws.upload(DAY)
    _, expected = aws.by_function(run)
    aws.bucket.put_json(run.work_key("large_day/request.json"), aws.request(run).as_dict())
    log = tmp_path / "log"

    first = start(run, tmp_path, "local[2,4]")
    eventually(lambda: progress(aws, run) >= 6 or first.poll() is not None, "the orders of the day", JOB_SECONDS)
    os.killpg(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not aws.has_manifest(run)
    aws.delete([run.work_key("large_day/progress.json")])
    second = start(run, tmp_path, "local-cluster[1,2,1024]")
    try:
        eventually(lambda: progress(aws, run) >= 6 or second.poll() is not None, "the orders of the day", JOB_SECONDS)
        (executor,) = executors(second.pid)
        os.kill(executor, signal.SIGKILL)
        assert second.wait(JOB_SECONDS) == 0, log.read_text()[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(second.pid, signal.SIGKILL)

    assert aws.objects() == expected
    assert aws.outcome(run)["seconds"] > 0
    assert '"step":"join"' in log.read_text()
    assert f"Lost executor 0 on {LOOPBACK}" in log.read_text()


def executors(group: int) -> list[int]:
    """The processes of a job that run its tasks, as on the machines of a cluster."""
    found = subprocess.run(["pgrep", "-g", str(group), "-f", "CoarseGrainedExecutorBackend"], capture_output=True)
    return [int(number) for number in found.stdout.split()]


def start(run: Run, folder: Path, master: str) -> subprocess.Popen[bytes]:
    """Start the job's script as Glue does, with arguments that Glue adds."""
    arguments = {
        "--JOB_NAME": "large-days",
        "--job-language": "python",
        "--bucket": NAME,
        "--table": NAME,
        "--request": run.work_key("large_day/request.json"),
        "--split_bytes": "100000",
        "--task_memory_mb": "128",
    }
    local = f"--master {master} --conf spark.ui.enabled=false --conf spark.driver.bindAddress={LOOPBACK}"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.large.job", *(text for pair in arguments.items() for text in pair)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYSPARK_PYTHON": sys.executable,
                "PYSPARK_SUBMIT_ARGS": f"{local} --conf spark.driver.host={LOOPBACK} pyspark-shell",
                "SPARK_HOME": str(spark_home(folder)),
                "SPARK_LOCAL_IP": LOOPBACK,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def spark_home(folder: Path) -> Path:
    """Spark's own folder, but with place for the files of executors."""
    import pyspark

    home = folder / "spark"
    home.mkdir(exist_ok=True)
    for path in Path(pyspark.__file__).parent.iterdir():
        if not (home / path.name).exists():
            (home / path.name).symlink_to(path)
    return home


def progress(aws: Deployed, run: Run) -> int:
    """The number of the step that a job is at; 0 before it has begun."""
    key = run.work_key("large_day/progress.json")
    return int(aws.bucket.get_json(key)["number"]) if aws.bucket.head(key) else 0


def test_a_file_replaced_meanwhile_is_read_as_it_was_and_a_deleted_one_ends_the_job(aws: Deployed) -> None:
    run = aws.upload(day())
    _, expected = aws.by_function(run)
    source = run.files[data_model.ITEMS]
    aws.s3.put_object(Bucket=NAME, Key=source.key, Body=b"rubbish")

    aws.by_job(aws.request(run), 60)
    assert aws.objects() == expected

    aws.clear()
    aws.s3.delete_object(Bucket=NAME, Key=source.key, VersionId=source.version_id)
    with pytest.raises(SourceChangedError, match=rf"^{source.key} is no longer the file that made the set complete"):
        aws.by_job(aws.request(run), 60)
    assert not aws.objects()


def test_a_correction_in_mid_run_ends_the_job_before_its_manifest(aws: Deployed) -> None:
    run = aws.upload(DAY)
    request = aws.request(run)
    real = aws.table

    class Corrected:
        """A table in which the correction comes at the eighth look."""

        looks = 0

        def get_ledger(self, batch: str) -> Ledger | None:
            self.looks += 1
            if self.looks == 8:
                aws.upload(day(items=ITEMS + b"o1,cap,1,1\n"))
            return real.get_ledger(batch)

    from pipeline.large.job import process_day

    with pytest.raises(SupersededError, match=f"run {run.execution} is superseded"):
        process_day(aws.spark, aws.bucket, Corrected(), request, 100_000, 128)

    assert progress(aws, run) == 7
    assert not aws.objects()
    assert aws.bucket.head(run.work_key("large_day/outcome.json")) is None
