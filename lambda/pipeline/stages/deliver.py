"""deliver: write one chunk of results into the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.errors import ForeignKeyError, TransferError
from pipeline.ledger import ensure_current
from pipeline.model.items import batch_key, result_key, result_sort_key


def deliver(
    table: Table, bucket: Bucket, batch: str, execution: str, chunk: Mapping[str, Any], deadline: Deadline
) -> int:
    """Write a chunk file into the table and return the number of its writes.

    Writing a chunk again is harmless: every write replaces a whole item, so the same write changes nothing.

    Parameters
    ----------
    chunk
        The chunk's entry in the manifest: `key` and `records`.

    Raises
    ------
    SupersededError
        The run `execution` is superseded by a newer set of files; nothing was written.
    TransferError
        The chunk file arrived with fewer or more records.
    ForeignKeyError
        A write does not belong to the batch; nothing was written.
    ThrottledError
        DynamoDB did not accept all writes in time; the whole chunk may be written again.
    """
    ensure_current(table.get_ledger(batch), execution)
    requests = bucket.json_lines(chunk["key"])
    if len(requests) != chunk["records"]:
        raise TransferError(f"{chunk['key']}: {len(requests)} of {chunk['records']} records arrived")
    for request in requests:
        _check_key(request, batch, chunk["key"])
    return table.write(requests, deadline)


def _check_key(request: Mapping[str, Any], batch: str, chunk_key: str) -> None:
    ((_, content),) = request.items()
    key = content.get("Item") or content["Key"]
    pk, sk = key["pk"]["S"], key["sk"]["S"]
    is_result = pk.startswith(result_key("")) and sk == result_sort_key(batch)
    if not is_result and not (pk == batch_key(batch) and sk.startswith("error#")):
        raise ForeignKeyError(f"{chunk_key} would write {pk} / {sk}, which does not belong to batch {batch}")
