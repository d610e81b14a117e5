"""Send partner files to `incoming/`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from pipeline.model.batch_files import parse_file_name
from rich.progress import DownloadColumn

from pipeline_cli.deployment.recognise import Upload
from pipeline_cli.output import terminal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_BYTES = 64 * 1024 * 1024
"""Files of this size or more are uploaded in parts of it; S3's maximum of 10,000 parts is more than its 5 TB limit."""


def send(s3: S3Client, bucket: str, uploads: Sequence[Upload], report: Callable[[Upload, int], None]) -> None:
    """Upload the files one after the other; `report` gets the number of bytes that were just sent of a file."""
    config = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES)
    for upload in uploads:
        s3.upload_file(str(upload.path), bucket, upload.key, Config=config, Callback=functools.partial(report, upload))


def send_with_display(s3: S3Client, bucket: str, uploads: Sequence[Upload]) -> None:
    """Upload the files with a progress bar for each."""
    with terminal.bar(DownloadColumn()) as progress:
        tasks = {upload: progress.add_task(upload.name, total=upload.path.stat().st_size) for upload in uploads}
        send(s3, bucket, uploads, lambda upload, count: progress.advance(tasks[upload], count))


def batches_of(uploads: Sequence[Upload]) -> list[str]:
    """List the batches that the files belong to, each once, in order."""
    known = (parse_file_name(upload.name) for upload in uploads)
    return sorted({file.batch for file in known if file})
