"""AWS Glue on the local AWS: jobs run on this machine's Spark, and the state machine can start them and wait for them.

MiniStack reports a Spark job as done without running it, and its Step Functions do not know `glue:startJobRun.sync`.
With these corrections, a job runs its script with this interpreter's pyspark, the wheels in its package and the
permissions of its role. Without Java or pyspark the job fails and says so; nothing else needs them.
"""

from __future__ import annotations

import contextvars
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_cli.local.emulator import ACCOUNT, REGION, endpoint

POLL_SECONDS = 0.2
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
CORES = 2

_execution: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("execution")
"""The execution of the state machine whose task runs in this thread."""


def install() -> None:
    """Add the corrections to MiniStack."""
    from ministack.services import glue, stepfunctions

    # MiniStack runs a Spark job only if it finds Docker with an image of Glue; this takes the place of both.
    glue._get_docker = lambda: _Docker
    glue._execute_spark_docker = _run
    stop = glue._batch_stop_job_run
    glue._batch_stop_job_run = lambda data: _stopped(data, stop(data))
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::glue:startJobRun"] = _start_and_wait
    task = stepfunctions._execute_task

    def execute_task(state: Any, state_input: Any, execution: Any, context: Any) -> Any:
        _execution.set(execution)
        return task(state, state_input, execution, context)

    stepfunctions._execute_task = execute_task


class _Docker:
    class images:  # noqa: N801 (the name that MiniStack uses)
        @staticmethod
        def get(name: str) -> str:
            return name


TRACEBACK = "Traceback (most recent call last):"
_processes: dict[str, subprocess.Popen[str]] = {}
"""The running jobs, by the id of their job run."""


def _run(
    run: dict[str, Any], job: Mapping[str, Any], name: str, arguments: Mapping[str, str], script: str, _: object
) -> None:
    """Run the script of a job, and set the state and the error of its job run."""
    if reason := missing():
        run |= {"JobRunState": "FAILED", "ErrorMessage": reason}
        return
    # The temporary folder of Spark, of the job and of its package.
    with tempfile.TemporaryDirectory(prefix="glue-", ignore_cleanup_errors=True) as folder:
        _unpack(arguments.get("--additional-python-modules", ""), Path(folder, "modules"))
        command = [sys.executable, script, *(word for pair in arguments.items() for word in pair)]
        environment = _environment(job, name, Path(folder))
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        _processes[run["Id"]] = process
        printed, _ = process.communicate()
        del _processes[run["Id"]]
    if run["JobRunState"] != "STOPPED":
        run["JobRunState"] = "FAILED" if process.returncode else "SUCCEEDED"
        run["ErrorMessage"] = error_of(printed.splitlines()) if process.returncode else ""


def missing() -> str | None:
    """Return why this machine can't run Spark; None if it can."""
    if importlib.util.find_spec("pyspark") is None:
        return "The local AWS can't run Spark: pyspark is not installed (make test-spark installs it, for Python 3.11)"
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "The local AWS can't run Spark: there is no Java on the PATH (Debian: openjdk-17-jre-headless)"
    return None


def _unpack(package: str, folder: Path) -> None:
    """Unpack the wheels of a zip of wheels, which is all that pip does with these."""
    from ministack.services import glue

    folder.mkdir()
    file = glue._resolve_script(package)
    if file is None:
        return
    with zipfile.ZipFile(file) as wheels:
        for name in wheels.namelist():
            if name.endswith(".whl"):
                with wheels.open(name) as wheel, zipfile.ZipFile(wheel) as content:
                    content.extractall(folder)


def _environment(job: Mapping[str, Any], name: str, folder: Path) -> dict[str, str]:
    """Return a job's environment: the credentials of its role, and a Spark that listens on the loopback only."""
    from ministack.core import lambda_runtime

    role: dict[str, str] = lambda_runtime.execution_credentials(
        {"FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}", "FunctionName": name, "Role": job["Role"]}
    )
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    options = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    return (
        os.environ
        | role
        | {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint(int(os.environ["GATEWAY_PORT"])),
            # A local job is over before more compiled Java code would pay off.
            "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "PYTHONPATH": str(folder / "modules"),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_SUBMIT_ARGS": f"--master local[{CORES}] {options} pyspark-shell",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "TMPDIR": str(folder),
        }
    )


def error_of(lines: list[str]) -> str:
    """Return the error that ended a script: the last line of its last traceback, without the module of the exception.

    Libraries may print more while the process ends; without a traceback it is the last line.
    """
    printed = [line for line in lines if line.strip()]
    text = printed[-1] if printed else "the job ended without a word"
    if TRACEBACK in printed:
        last = len(printed) - 1 - printed[::-1].index(TRACEBACK)
        text = next((line for line in printed[last + 1 :] if not line[0].isspace()), text)
    kind, colon, message = text.partition(":")
    return f"{kind.rpartition('.')[2]}{colon}{message}"


def _stopped(data: Mapping[str, Any], reply: Any) -> Any:
    """End the processes of job runs that were stopped."""
    for process in filter(None, map(_processes.get, data.get("JobRunIds", []))):
        process.terminate()
    return reply


def _start_and_wait(resource: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Start a job as Step Functions does; with `.sync`, wait for its end and stop it if the execution is stopped."""
    from ministack.services import glue, stepfunctions

    name, execution = data["JobName"], _execution.get({"status": "RUNNING"})
    if execution["status"] != "RUNNING":  # MiniStack tries a task again also after its execution was stopped
        raise stepfunctions._ExecutionError("States.TaskFailed", "the execution was stopped")
    status, _, body = glue._start_job_run(data)
    reply: dict[str, Any] = json.loads(body)
    if status >= 400:
        raise stepfunctions._ExecutionError(f"Glue.{reply.get('__type')}", str(reply.get("message")))
    if not resource.endswith(".sync"):
        return {**reply, "JobName": name}
    (run,) = [run for run in glue._job_runs[name] if run["Id"] == reply["JobRunId"]]
    while run["JobRunState"] not in ENDED or run["CompletedOn"] is None:
        if execution["status"] != "RUNNING":
            glue._batch_stop_job_run({"JobName": name, "JobRunIds": [run["Id"]]})
        time.sleep(POLL_SECONDS)
    if run["JobRunState"] != "SUCCEEDED":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(run))
    return dict(run)
