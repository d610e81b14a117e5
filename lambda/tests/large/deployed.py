"""A bucket and a table on a local emulator, and a day in them by the function and by the job."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from batches import BATCH, file_name
from comparison import puts_and_deletes, references
from pipeline import observability
from pipeline.aws import clients
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.large.tasks import TaskLimits
from pipeline.ledger import Ledger
from pipeline.model.batch_files import SETTINGS_KEY
from pipeline.model.file_set import SourceObject, set_version
from pipeline.model.record_kinds import RecordKind
from pipeline.settings import TransformSettings
from pipeline.stages.large_day import REQUEST, LargeDayRequest
from pipeline.stages.run import Run
from pipeline.stages.transform import transform
from pipeline_cli.local.emulator import Record, temporary_emulator
from support import create_bucket_and_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAME = "pipeline-large"
PLACES = {"bucket_name": NAME, "table_name": NAME, "state_machine_arn": "none"}
SETTINGS = TransformSettings(**PLACES, chunk_records=7, max_error_messages=20, large_days=True)
Objects = dict[str, Any]


@dataclass
class Deployed:
    """The resources, and the session on which the job runs."""

    bucket: Bucket
    table: Table
    s3: Any
    spark: SparkSession
    emulator: Record

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Let the clients of this process lead to the emulator, and be the same as those of the bucket and table."""
        with environment_of(self.emulator):
            self.s3, self.bucket, self.table = clients.client("s3"), Bucket(NAME), Table(NAME)
            yield

    def upload(
        self,
        files: Mapping[RecordKind, bytes],
        names: Mapping[RecordKind, str] | None = None,
        delivered: tuple[str, ...] = (),
    ) -> Run:
        """Store a day's files and make their run the current one of the batch, which has `delivered` these versions."""
        found: dict[RecordKind, SourceObject] = {}
        for kind, content in files.items():
            key = f"incoming/{(names or {}).get(kind, file_name(kind))}"
            self.s3.put_object(Bucket=NAME, Key=key, Body=content)
            source = self.bucket.head(key)
            assert source is not None
            found[kind] = source
        version = set_version(found)
        run = Run(BATCH, version, f"{BATCH}-{version}", found)
        queued = Ledger(BATCH, files=found, version=version, execution=run.execution, delivered=delivered)
        self.table.update_ledger(BATCH, lambda entry: replace(queued, revision=entry.revision))
        return run

    def by_function(self, run: Run, **settings: Any) -> tuple[LargeDayRequest, dict[str, Any], Objects]:
        """Let transform leave a day to the job, and do it by itself; then undo what that did in the bucket.

        Returns the request for the job, and what the function alone replies and leaves.
        """
        chosen, workflow = replace(SETTINGS, **settings), Workflow("arn:aws:states:none")
        transform(run, self.bucket, self.table, workflow, chosen, too_large=True)
        request = LargeDayRequest.from_dict(self.bucket.get_json(run.work_key(REQUEST)))
        before = self.objects()
        lists = {key: self._content(key) for key in before if key.endswith(".parquet")}
        reply = transform(run, self.bucket, self.table, workflow, chosen)
        found = {key: content for key, content in self.objects().items() if key not in before}
        self.delete(found)
        for key, content in lists.items():  # it deletes lists that are no longer needed
            self.s3.put_object(Bucket=NAME, Key=key, Body=content)
        return request, reply, found

    def by_job(self, request: LargeDayRequest, split_bytes: int = 500) -> None:
        """Run the job in this process."""
        from pipeline.large.job import process_day

        process_day(self.spark, self.bucket, self.table, request, TaskLimits(128, split_bytes=split_bytes))

    def has(self, run: Run, name: str) -> bool:
        """Whether a run has this work file."""
        return self.bucket.head(run.work_key(name)) is not None

    def outcome(self, run: Run) -> dict[str, Any]:
        """What the job tells the function that collects it."""
        found = self.bucket.get_json(run.work_key("large_day/outcome.json"))
        assert found["execution"] == run.execution
        return dict(found["outcome"])

    def objects(self) -> Objects:
        """The objects that a run leaves for others, by key; of lists of references only their content.

        Where a chunk file ends, and so its name, may differ: the requests in their order are under the manifest's key.
        """
        found: Objects = {}
        for key in self._keys():
            # Transform has stored the settings before it leaves a day to the job.
            if key != SETTINGS_KEY and "/large_day/" not in key and "/chunks/" not in key:
                content = self._content(key)
                found[key] = references(io.BytesIO(content)) if key.endswith(".parquet") else content
                if key.endswith("/manifest.json"):
                    found[key] = self.requests(json.loads(content))
        return found

    def requests(self, manifest: list[dict[str, Any]]) -> tuple[list[bytes], list[bytes]]:
        """The puts and the deletes in the chunk files that a manifest names."""
        found: list[bytes] = []
        for chunk in manifest:
            lines = self._content(chunk["key"]).splitlines(keepends=True)
            assert len(lines) == chunk["records"] <= SETTINGS.chunk_records
            found += lines
        return puts_and_deletes(found)

    def _content(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=NAME, Key=key)["Body"].read()
        return content

    def _keys(self) -> list[str]:
        return [key for prefix in ("work/", "feedback/", "delivered/") for key in self.bucket.keys(prefix)]

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=NAME, Key=key)

    def clear(self) -> None:
        """Delete what earlier tests left."""
        self.delete(self._keys())


@contextmanager
def deployed(spark: SparkSession, folder: Path) -> Iterator[Deployed]:
    """Start an emulator, and create a versioned bucket and a table."""
    with temporary_emulator(folder) as emulator, environment_of(emulator) as variables:
        spark.sparkContext.environment.update(variables)  # for the workers
        s3, dynamodb = clients.client("s3"), clients.client("dynamodb")
        create_bucket_and_table(s3, dynamodb, NAME, NAME)
        yield Deployed(Bucket(NAME), Table(NAME), s3, spark, emulator)


@contextmanager
def environment_of(emulator: Record) -> Iterator[dict[str, str]]:
    """Set the variables that lead to the emulator, for new clients."""
    variables = emulator.environment | dict.fromkeys(("POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"), "x")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
            environment.delenv(name, raising=False)
        forget_clients()
        yield variables
    forget_clients()


def forget_clients() -> None:
    for cached in (clients.client, observability.logger, observability.metrics):
        cached.cache_clear()
