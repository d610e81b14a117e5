"""The bucket: finding a batch's files, reading exact versions, writing results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws.clients import client, error_code
from pipeline.errors import SourceChangedError
from pipeline.ledger import FileSet, SourceObject
from pipeline.model.data_model import INCOMING_PREFIX, Kind, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "412", "PreconditionFailed", "405", "MethodNotAllowed"}
_FORBIDDEN = {"403", "AccessDenied"}
"""What S3 answers instead of 404 to who may not list the bucket (S3 API reference, GetObject, section Permissions)."""

_COPY_BYTES = 1 << 20
_JSON_TYPE = "application/json"
_UPLOADS = 8


class Bucket:
    """The one bucket of the pipeline."""

    def __init__(self, name: str, s3: S3Client | None = None) -> None:
        self.name = name
        self._s3: S3Client = s3 or client("s3")

    def find_set(self, batch: str) -> FileSet:
        """Return the files of a batch that are there now, the youngest one of each kind.

        A kind may have come as `.csv` and as `.csv.gz`: the later upload counts.
        """
        found = {kind: self._youngest(kind, batch) for kind in Kind}
        return {kind: source for kind, source in found.items() if source is not None}

    def _youngest(self, kind: Kind, batch: str) -> SourceObject | None:
        sources = [self.head(key) for key in self.keys(f"{INCOMING_PREFIX}{kind}_{batch}.csv") if parse_key(key)]
        there = [source for source in sources if source is not None]
        return max(there, key=lambda source: (source.last_modified, source.key), default=None)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys under a prefix, page by page."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"]

    def head(self, key: str) -> SourceObject | None:
        """Look at an object without reading it; None where there is none."""
        try:
            head = self._s3.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error_code(error) in _GONE:
                return None
            raise
        version = head.get("VersionId")
        return SourceObject(
            key=key,
            etag=head["ETag"].strip('"'),
            size=head["ContentLength"],
            last_modified=head["LastModified"].astimezone(UTC).isoformat(timespec="seconds"),
            version_id=None if version in (None, "null") else version,
        )

    def download(self, source: SourceObject, path: Path) -> None:
        """Copy one exact version of an object into a file, a megabyte at a time.

        Raises
        ------
        SourceChangedError
            That version is gone or may not be read, or (in a bucket without versions) another has taken its place.
        """
        with path.open("wb") as file:
            for part in self._read(source, _COPY_BYTES):
                file.write(part)

    def read_range(self, source: SourceObject, start: int, end: int, block_bytes: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end` of one exact version of an object, in blocks.

        Raises
        ------
        SourceChangedError
            As for `download`.
        """
        if start < min(end, source.size):
            yield from self._read(source, block_bytes, Range=f"bytes={start}-{end - 1}")

    def _read(self, source: SourceObject, block_bytes: int, **part: Any) -> Iterator[bytes]:
        exactly: dict[str, Any] = {"IfMatch": f'"{source.etag}"', **part}
        if source.version_id:
            exactly["VersionId"] = source.version_id
        try:
            reply = self._s3.get_object(Bucket=self.name, Key=source.key, **exactly)
        except ClientError as error:
            code = error_code(error)
            if code in _FORBIDDEN:
                raise SourceChangedError(
                    f"{source.key} (ETag {source.etag}, version {source.version_id}) is gone, or may not be read: "
                    f"S3 answered {code}, as it does for both to who may not list the bucket"
                ) from error
            if code in _GONE:
                raise SourceChangedError(
                    f"{source.key} is no longer the file that made the set complete (ETag {source.etag})"
                ) from error
            raise
        yield from reply["Body"].iter_chunks(block_bytes)

    def download_all(self, sources: Mapping[str, SourceObject], directory: Path) -> dict[str, Path]:
        """Download several objects at once, each into a file of its own under `directory`, named by its key here."""
        paths = {name: directory / f"{name}-{Path(source.key).name}" for name, source in sources.items()}
        with ThreadPoolExecutor(max_workers=max(1, len(sources))) as pool:
            for _ in pool.map(lambda name: self.download(sources[name], paths[name]), sources):
                pass
        return paths

    def upload_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """Upload files to keys, several at once; large ones go in parts."""
        with ThreadPoolExecutor(max_workers=_UPLOADS) as pool:
            for _ in pool.map(lambda file: self._s3.upload_file(str(file[0]), self.name, file[1]), files):
                pass

    def fetch(self, key: str, path: Path) -> Path:
        """Copy an object, as it is now, into a file."""
        self._s3.download_file(self.name, key, str(path))
        return path

    def put_json(self, key: str, value: Any) -> None:
        """Store a value as a JSON object."""
        self._s3.put_object(Bucket=self.name, Key=key, Body=_json(value), ContentType=_JSON_TYPE)

    def create_json(self, key: str, value: Any) -> bool:
        """Store a value as a JSON object where the key is free; return whether it was."""
        try:
            self._s3.put_object(Bucket=self.name, Key=key, Body=_json(value), ContentType=_JSON_TYPE, IfNoneMatch="*")
        except ClientError as error:
            # A second writer at the same moment: S3 lets one of them win (S3 user guide, conditional writes).
            if error_code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def get_json(self, key: str) -> Any:
        """Read an object that holds one JSON value."""
        return json.load(self._s3.get_object(Bucket=self.name, Key=key)["Body"])

    def lines(self, key: str) -> list[bytes]:
        """Read the lines of an object, without their ends and without empty ones."""
        body = self._s3.get_object(Bucket=self.name, Key=key)["Body"]
        return [line for line in body.read().split(b"\n") if line]

    def json_lines(self, key: str) -> list[Any]:
        """Read an object that holds one JSON value a line."""
        return [json.loads(line) for line in self.lines(key)]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
