"""The verdict on a batch, which the partner reads under `feedback/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pipeline.aws.clients import error_code
from pipeline.aws.s3 import Bucket
from pipeline.model.batch_files import FEEDBACK_PREFIX

from pipeline_cli.output.errors import CommandError


def find_verdict(bucket: Bucket, batch: str) -> dict[str, Any]:
    """Read the verdict on the newest run of a batch.

    Raises
    ------
    CommandError
        There is none yet.
    """
    try:
        verdict: dict[str, Any] = bucket.get_json(f"{FEEDBACK_PREFIX}{batch}/verdict.json")
    except ClientError as error:
        if error_code(error) not in ("NoSuchKey", "404"):
            raise
        raise CommandError(
            f"There is no verdict on batch {batch} yet.", "It is written when its run is over, or files are overdue."
        ) from error
    return verdict


def files_of(verdict: Mapping[str, Any]) -> list[str]:
    """Return the keys of a verdict and of the files with its refused records."""
    rejects = [file["rejects"] for file in verdict["files"].values() if file["rejects"]]
    return [f"{FEEDBACK_PREFIX}{verdict['batch']}/verdict.json", *rejects]


def download(bucket: Bucket, keys: Iterable[str], folder: Path) -> list[Path]:
    """Copy files of `feedback/<batch>/` into a folder, as `<batch>_<file name>`."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ((key, key.split("/")) for key in keys)
    return [bucket.fetch(key, folder / f"{batch}_{rest[-1]}") for key, (_, batch, *rest) in parts]
