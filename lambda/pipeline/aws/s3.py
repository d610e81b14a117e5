"""The bucket: find a batch's files, read exact object versions, write results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws.clients import client, error_code
from pipeline.aws.parallel import parallel_map
from pipeline.errors import SourceChangedError, TransferError
from pipeline.model.batch_files import CONTROL, INCOMING_PREFIX
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import FileSet, SourceObject
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, ObjectTypeDef

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "412", "PreconditionFailed", "405", "MethodNotAllowed"}
_FORBIDDEN = {"403", "AccessDenied"}
"""S3 returns this instead of 404 to callers without ListBucket (S3 API reference, GetObject, section Permissions)."""

_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}
"""Storage classes that can't be read until the object is restored (S3 API reference, GetObject: InvalidObjectState)."""

_BLOCK_BYTES = 1 << 20
_JSON_TYPE = "application/json"


class Bucket:
    """The one bucket of the pipeline."""

    def __init__(self, name: str, s3: S3Client | None = None) -> None:
        self.name = name
        self._s3: S3Client = s3 or client("s3")

    def find_set(self, batch: str) -> FileSet:
        """Return the newest file of each kind that the bucket holds for a batch.

        If there is both a `.csv` and a `.csv.gz` of a kind, the later upload counts; a kind for which that can't be
        known (`find_ties`) is left out. A file of 0 bytes counts only where there is no other.
        """
        newest = {kind: _newest(self._files(kind, batch)) for kind in (*MODEL.kinds, CONTROL)}
        return {kind: files[0] for kind, files in newest.items() if len(files) == 1}

    def find_ties(self, batch: str) -> dict[RecordKind, list[SourceObject]]:
        """Return the files of each kind of which it can't be known which is the newer, as S3 keeps only seconds."""
        newest = {kind: _newest(self._files(kind, batch)) for kind in (*MODEL.kinds, CONTROL)}
        return {kind: files for kind, files in newest.items() if len(files) > 1}

    def _files(self, kind: RecordKind, batch: str) -> list[SourceObject]:
        """Return the objects with the names of a file; others may begin with these names, any number of them."""
        name = f"{INCOMING_PREFIX}{kind}_{batch}.csv"
        found = [self.find(key) for key in (name, f"{name}.gz")]
        return [source for source in found if source is not None]

    def find(self, key: str) -> SourceObject | None:
        """Return the metadata of an object under `incoming/`, or None if it does not exist."""
        listed = self._list(key)
        if listed is None:
            return None
        try:
            return self.head(key)
        except ClientError as error:
            # An object encrypted with a key of the sender's own (SSE-C) asks for this key (S3 user guide, "Using
            # server-side encryption with customer-provided keys"); a reply to HEAD has no body that would say so.
            if error_code(error) != "400":
                raise
            reason = "it is encrypted with a key of the sender's own"
            etag, stored_at = listed["ETag"].strip('"'), _iso(listed["LastModified"])
            return SourceObject(key, etag, listed["Size"], stored_at, unreadable=reason)

    def _list(self, key: str) -> ObjectTypeDef | None:
        """Return what a listing says of an object, or None if it does not exist.

        HeadObject would answer 403 to a caller that may list only a prefix.
        """
        page = self._s3.list_objects_v2(Bucket=self.name, Prefix=key, MaxKeys=1)
        # The first key with a prefix is the prefix itself, if it is a key.
        return next((found for found in page.get("Contents", ()) if found["Key"] == key), None)

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes, or None if it does not exist."""
        listed = self._list(key)
        return listed["Size"] if listed else None

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, whether they exist or not."""
        for key in keys:
            self._s3.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys under a prefix, page by page."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"]

    def head(self, key: str) -> SourceObject | None:
        """Return the metadata of an object, or None if it does not exist."""
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
            last_modified=_iso(head["LastModified"]),
            version_id=None if version in (None, "null") else version,
            unreadable="it is archived" if _is_archived(head) else None,
        )

    def download(self, source: SourceObject, path: Path) -> None:
        """Copy one exact version of an object into a file, a megabyte at a time.

        Raises
        ------
        SourceChangedError
            The version is gone or may not be read, or (in a bucket without versioning) the object was replaced.
        TransferError
            Bytes were lost or changed on the way.
        """
        with path.open("wb") as file:
            for block in _blocks(self._get(source), source.key, source.size):
                file.write(block)

    def read_range(self, source: SourceObject, start: int, end: int, block_bytes: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to but excluding `end` of one exact version of an object, in blocks.

        Raises
        ------
        SourceChangedError
            As for `download`.
        TransferError
            Bytes were lost on the way.
        """
        end = min(end, source.size)
        if start >= end:
            return
        reply = self._get(source, Range=f"bytes={start}-{end - 1}")
        # HTTP allows a server to ignore the range (RFC 9110, section 14.2), and the local AWS does so for versions.
        position = start if "ContentRange" in reply else 0
        for block in reply["Body"].iter_chunks(block_bytes):
            if inside := block[max(start - position, 0) : max(end - position, 0)]:
                yield inside
            position += len(block)
        if position < end:
            raise TransferError(f"{source.key}: bytes {position:,} to {end:,} did not arrive")

    def _get(self, source: SourceObject, **part: Any) -> GetObjectOutputTypeDef:
        exactly: dict[str, Any] = {"IfMatch": f'"{source.etag}"', **part}
        if source.version_id:
            exactly["VersionId"] = source.version_id
        try:
            return self._s3.get_object(Bucket=self.name, Key=source.key, **exactly)
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

    def download_all(self, sources: Mapping[str, SourceObject], directory: Path) -> dict[str, Path]:
        """Download several objects concurrently into `directory`; return the paths by the names in `sources`."""
        paths = {name: directory / f"{name}-{Path(source.key).name}" for name, source in sources.items()}
        parallel_map(lambda name: self.download(sources[name], paths[name]), list(sources))
        return paths

    def upload_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """Upload files to keys, several at once; large files as multipart uploads."""
        parallel_map(lambda file: self._s3.upload_file(str(file[0]), self.name, file[1]), list(files))

    def fetch(self, key: str, path: Path) -> Path:
        """Download the current version of an object into a file.

        Raises
        ------
        TransferError
            Bytes were lost or changed on the way.
        """
        with path.open("wb") as file:
            for block in _blocks(self._s3.get_object(Bucket=self.name, Key=key), key):
                file.write(block)
        return path

    def put_json(self, key: str, value: Any) -> None:
        """Store a value as a JSON object."""
        self._s3.put_object(Bucket=self.name, Key=key, Body=_json(value), ContentType=_JSON_TYPE)

    def create_json(self, key: str, value: Any) -> None:
        """Store a value as a JSON object unless the key exists."""
        try:
            self._s3.put_object(Bucket=self.name, Key=key, Body=_json(value), ContentType=_JSON_TYPE, IfNoneMatch="*")
        except ClientError as error:
            # The conflict is a concurrent write to the same key (S3 user guide, conditional writes).
            if error_code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise

    def get_json(self, key: str) -> Any:
        """Read an object that holds one JSON value."""
        return json.loads(self._read(key))

    def find_json(self, key: str) -> Any | None:
        """Read an object that holds one JSON value; None if it is not there."""
        try:
            return self.get_json(key)
        except ClientError as error:
            if error_code(error) in _GONE:
                return None
            raise

    def json_lines(self, key: str) -> list[Any]:
        """Read an object with one JSON value per line; empty lines are skipped."""
        return [json.loads(line) for line in self._read(key).split(b"\n") if line]

    def _read(self, key: str) -> bytes:
        return b"".join(_blocks(self._s3.get_object(Bucket=self.name, Key=key), key))


def _blocks(reply: GetObjectOutputTypeDef, key: str, size: int | None = None) -> Iterator[bytes]:
    """Yield the body of a reply in blocks, and compare it with the object's size and digest at the end.

    The SDK compares the body only with the reply's own length and checksum, which a proxy on the way may have removed.

    Raises
    ------
    TransferError
        Bytes were lost or changed on the way.
    """
    etag = reply.get("ETag", "").strip('"')
    # S3 API reference, "Object": the ETag is an MD5 digest unless the object was uploaded in parts, or is encrypted
    # with a key of KMS or of the sender.
    has_digest = re.fullmatch("[0-9a-f]{32}", etag) and reply.get("ServerSideEncryption", "AES256") == "AES256"
    digest = hashlib.md5(usedforsecurity=False)
    length = 0
    for block in reply["Body"].iter_chunks(_BLOCK_BYTES):
        length += len(block)
        if has_digest:
            digest.update(block)
        yield block
    expected = reply.get("ContentLength") if size is None else size
    if expected is not None and length != expected:
        raise TransferError(f"{key}: {length:,} of {expected:,} bytes arrived")
    if has_digest and digest.hexdigest() != etag:
        raise TransferError(f"{key}: the bytes that arrived are not the object's: their MD5 is not its ETag {etag}")


def _newest(files: Sequence[SourceObject]) -> list[SourceObject]:
    """Return the newest of the files that are not empty, or of all; several if they differ and are equally new."""
    candidates = [source for source in files if source.size] or files
    latest = max((source.last_modified for source in candidates), default="")
    newest = {source.etag: source for source in candidates if source.last_modified == latest}
    return list(newest.values())


def _is_archived(head: Mapping[str, Any]) -> bool:
    """Return whether an object must be restored before it can be read."""
    if "ArchiveStatus" in head:  # of the class INTELLIGENT_TIERING
        return True
    return head.get("StorageClass") in _ARCHIVES and 'ongoing-request="false"' not in head.get("Restore", "")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
