"""What processing the same files gave before: a fault strikes at a call of AWS, and processing makes none."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path

from pipeline.joining import customer_data_processor
from pipeline.joining.customer_data_processor import Options, Outcome, Previous, SourceFile
from pipeline.model.record_kinds import RecordKind

PROCESS = f"{customer_data_processor.__name__}.process"
"""What `Processed` stands in for."""

_process = customer_data_processor.process


class Processed:
    """Processes each set of files once.

    The same files, options and earlier results give the same bytes, which `test_transform` checks: so the result can be
    used for every fault.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="processed-")
        self._outcomes: dict[Hashable, Outcome] = {}

    def __call__(
        self,
        batch: str,
        files: Mapping[RecordKind, SourceFile],
        workdir: Path,
        options: Options,
        previous: Previous | None = None,
    ) -> Outcome:
        """Return a copy of the outcome; its files stay in a folder of this object."""
        before = previous or Previous()
        key = (
            batch,
            tuple((kind, file.name, file.path.read_bytes()) for kind, file in sorted(files.items())),
            (options.chunk_records, options.max_error_messages, json.dumps(options.gate and options.gate.as_dict())),
            options.rejects_location(),
            before.error_sort_keys,
            tuple(path.read_bytes() for path in before.references),
        )
        if key not in self._outcomes:
            folder = Path(self._folder.name) / str(len(self._outcomes))
            self._outcomes[key] = _process(batch, files, folder, options, previous)
        return copy.deepcopy(self._outcomes[key])
