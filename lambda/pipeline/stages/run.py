"""One run of a batch, and the keys of the objects that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.ledger import REMOVED_SUFFIX
from pipeline.model.batch_files import DELIVERED_PREFIX, FEEDBACK_PREFIX, WORK_PREFIX, file_kind
from pipeline.model.file_set import SourceObject
from pipeline.model.record_kinds import RecordKind


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the state machine: its name, the batch and the files."""

    batch: str
    version: str
    execution: str
    files: Mapping[RecordKind, SourceObject]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as in the state machine's input."""
        files = {kind: source.as_dict() for kind, source in self.files.items()}
        return {"batch": self.batch, "version": self.version, "execution": self.execution, "files": files}

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Run:
        """Read the state machine's input."""
        files = {file_kind(kind): SourceObject.from_dict(source) for kind, source in event["files"].items()}
        return cls(event["batch"], event["version"], event["execution"], files)

    def work_key(self, name: str) -> str:
        """Return the key of a work file of this run."""
        return f"{WORK_PREFIX}{self.batch}/{self.version}/{name}"

    def delivered_key(self, name: str) -> str:
        """Return the key of a list of references, named like the version that delivered them, or `removed_name`.

        A correction months later needs it.
        """
        return f"{DELIVERED_PREFIX}{self.batch}/{name}.parquet"

    @property
    def removed_name(self) -> str:
        """The name of the list of the references whose results this run removes."""
        return f"{self.execution.removeprefix(f'{self.batch}-')}{REMOVED_SUFFIX}"

    def rejects_prefix(self) -> str:
        """Return the key prefix of the refused records of this run."""
        return f"{FEEDBACK_PREFIX}{self.batch}/{self.version}/"
