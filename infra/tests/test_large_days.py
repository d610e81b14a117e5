"""The Spark job of large days: its code, its arguments and the size that is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pipeline
import pytest

from infra.tests.current_provider.terraform_check import EVERYTHING
from infra.tests.support import BUCKET, INFRA, Plan

pytestmark = pytest.mark.terraform

JOB = "module.large_days[0].aws_glue_job.this"


def test_transform_knows_whether_there_is_a_job_and_from_which_size_on(plan: Plan, full: Plan) -> None:
    chosen, job = EVERYTHING["large_days"], full[JOB]

    assert (plan.settings("transform")["LARGE_DAYS"], full.settings("transform")["LARGE_DAYS"]) == ("false", "true")
    assert full.settings("transform")["LARGE_DAY_BYTES"] == str(chosen["from_bytes"])
    assert (job["number_of_workers"], job["worker_type"]) == (chosen["workers"], chosen["worker_type"])


def test_the_job_runs_the_version_that_is_tested_and_installs_its_package_without_an_index(full: Plan) -> None:
    # AWS Glue Developer Guide, "Using Python libraries with AWS Glue": a zip of wheels (AWS Glue 5.0 and later) ends in
    # .gluewheels.zip; --python-modules-installer-option --no-index keeps pip from asking an index.
    job, bucket = full[JOB], f"s3://{BUCKET.rpartition(':')[2]}/code/"
    locked = (INFRA.parent / "requirements-large.lock").read_text()

    assert (job["glue_version"], job["command"][0]["name"]) == ("5.1", "glueetl")
    assert "\npyspark==3.5.6 " in f"\n{locked}", "what AWS Glue 5.1 has (Developer Guide, AWS Glue versions)"
    assert re.fullmatch(rf"{bucket}.*\.gluewheels\.zip", job["default_arguments"]["--additional-python-modules"])
    assert job["default_arguments"]["--python-modules-installer-option"] == "--no-index"
    assert job["command"][0]["script_location"].startswith(bucket)
    assert not job.get("connections"), "the job runs in Glue's own network"


def test_the_job_is_given_what_its_code_asks_for(full: Plan) -> None:
    code = (Path(str(pipeline.__file__)).parent / "large" / "job.py").read_text()
    given = full[JOB]["default_arguments"]

    assert set(re.findall(r'add_argument\("(--\w+)", required=True', code)) <= given.keys() | {"--request"}


def test_a_deployment_replaces_the_code_in_place_as_a_run_of_the_job_may_be_queued(full: Plan) -> None:
    keys = {made["key"] for made in full.of_type("aws_s3_object").values()}

    assert keys == {"code/run_job.py", "code/pipeline.gluewheels.zip"}


def test_an_object_has_no_tags_as_s3_takes_ten(full: Plan) -> None:
    # Amazon S3 User Guide, "Categorizing your objects using tags": up to 10 tags an object. Terraform AWS provider,
    # aws_s3_object, override_provider.
    for made in full.of_type("aws_s3_object").values():
        assert made["override_provider"][0]["default_tags"] == [{"tags": {}}]
        assert not made.get("tags")
