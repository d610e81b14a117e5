"""deliver: write one chunk of results into the table."""

from __future__ import annotations

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import ensure_current


def deliver(table: Table, bucket: Bucket, batch: str, execution: str, chunk_key: str, deadline: Deadline) -> int:
    """Write the chunk file under `chunk_key` into the table and return the number of its writes.

    Writing a chunk again is harmless: every write replaces a whole item, so the same write changes nothing.

    Raises
    ------
    SupersededError
        The run `execution` is superseded by a newer set of files; nothing was written.
    ThrottledError
        DynamoDB did not accept all writes in time; the whole chunk may be written again.
    """
    ensure_current(table.get_ledger(batch), execution)
    return table.write(bucket.json_lines(chunk_key), deadline)
