"""What Step Functions carries from state to state stays below its limit, whatever the files hold."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pipeline.errors import OutputTooLargeError
from pipeline.joining.chunks import Chunk, chunk_name
from pipeline.joining.customer_data_processor import Outcome
from pipeline.joining.summary import FileSummary, Reconciliation, Summary, shortened
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import RECORD_CODES, ErrorCode
from pipeline.model.file_set import SourceObject
from pipeline.stages.run import Run
from pipeline.stages.store import MAX_REPLY_BYTES, bounded, store

LARGEST_OUTPUT = 256 << 10
"""Step Functions Developer Guide, "Quotas": the input or output of a task, state, or execution, as UTF-8."""

RUN = Run(
    "20220131",
    "f" * 16,
    f"20220131-{'f' * 16}-9999",
    {
        kind: SourceObject(
            f"incoming/{kind}_20220131.csv.gz", "f" * 36, 10**15, "2022-02-01T06:00:00+00:00", "v" * 1024
        )
        for kind in MODEL.kinds
    },
)
MOST = 10**15
COUNTS = dict.fromkeys(map(str, (*ErrorCode, *RECORD_CODES)), MOST)


class Sink:
    """A bucket that takes everything."""

    def upload_all(self, files: Any) -> None:
        list(files)

    def put_json(self, *_: Any) -> None:
        pass


def outcome(ignored: list[str], chunks: int = 1) -> Outcome:
    """The result of a day with the largest numbers, each code, and these ignored columns in each file."""
    files = {
        kind: FileSummary(
            file=f"{kind}_20220131.csv.gz",
            delimiter="\t",
            decimal_mark="comma",
            ignored_columns=shortened(tuple(ignored)),
            read=MOST,
            counted=MOST,
            refused=MOST,
            refused_by_code=COUNTS,
            lines=MOST,
            file_error="ambiguous_amounts",
        )
        for kind in MODEL.kinds
    }
    sums = {sum.name: Reconciliation(*[Decimal("9" * 40)] * 3, MOST) for sum in MODEL.sums}
    summary = Summary("READY", files, reconciliations=sums, incomplete=MOST, removed=MOST, errors=MOST)
    return Outcome([Chunk(Path(chunk_name(n)), 5000) for n in range(chunks)], {}, None, None, summary, [])


def size(value: Any) -> int:
    return len(json.dumps(value))


def test_the_widest_column_names_and_ten_million_chunks_stay_below_the_limit() -> None:
    reply = bounded(store(RUN, Sink(), outcome(["\N{GRINNING FACE}" * 300] * 300, chunks=100_000)))  # type: ignore[arg-type]
    chunk = {"key": RUN.work_key(f"chunks/{chunk_name(10_000_000)}"), "records": MOST}
    child = {**RUN.as_dict(), "files": None, "chunk": chunk}
    glue = {"Id": "jr_" + "f" * 64, "Arguments": {"--request": "work/" + "f" * 200}, "LogGroupName": "g" * 512}

    assert size(reply) <= MAX_REPLY_BYTES
    assert size({**RUN.as_dict(), "transform": {"outcome": reply}, "job_run": glue}) < LARGEST_OUTPUT
    assert size(child) < 1_000, "the input of a child of the map"


def test_a_reply_that_would_be_too_large_is_an_error_that_is_caught() -> None:
    with pytest.raises(OutputTooLargeError, match="a state may hold 200,000"):
        bounded({"summary": "x" * MAX_REPLY_BYTES})
