"""A set of a partner's files: exact versions of objects, and the version and time of the set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.model.batch_files import CONTROL
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One exact version of a partner's file.

    `version_id` is None in a bucket without versioning; then only the ETag identifies the version. `size` is in bytes,
    `last_modified` an ISO 8601 time in UTC. `unreadable` says why nobody but the sender can read the object. `unknown`
    holds fields that a newer release has written.
    """

    key: str
    etag: str
    size: int
    last_modified: str
    version_id: str | None = None
    unreadable: str | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as in the state machine's input."""
        values = {known.name: getattr(self, known.name) for known in fields(self) if known.name != "unknown"}
        return values if self.unreadable else {name: values[name] for name in values if name != "unreadable"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SourceObject:
        """Create the object from the values that `as_dict` returns."""
        names = {field.name for field in fields(cls)} - {"unknown"}
        known = {name: values[name] for name in names & values.keys()} | {"size": int(values["size"])}
        return cls(**known, unknown={name: values[name] for name in values.keys() - names})


FileSet = Mapping[RecordKind, SourceObject]


def set_version(files: FileSet) -> str:
    """Return the version of a complete set: a digest of the ETags, 16 hexadecimal digits."""
    etags = "\n".join(files[kind].etag for kind in (*MODEL.kinds, CONTROL) if kind != CONTROL or kind in files)
    return hashlib.sha256(etags.encode()).hexdigest()[:16]


def set_time(files: FileSet) -> str:
    """Return when the newest file of a set was stored."""
    return max((source.last_modified for source in files.values()), default="")


def has_same_content(files: FileSet, others: FileSet) -> bool:
    """Return whether two sets have the same content, by their ETags."""
    return {kind: source.etag for kind, source in files.items()} == {
        kind: source.etag for kind, source in others.items()
    }
