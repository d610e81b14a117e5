"""The customers whom corrections of a batch have dropped, from the lists of customers that each version has stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.aws.s3 import Bucket
from pipeline.ledger import Ledger
from pipeline.model.batch_files import DELIVERED_PREFIX

FETCH = 10_000
MEMORY_MB = 1000


def removed_customers(bucket: Bucket, entry: Ledger) -> Iterator[str]:
    """Yield the references of all customers of earlier versions that the versions in the table no longer have.

    A version that was superseded before it delivered has a list, too. So a reference may be one that consumers were
    never sent.
    """
    from pipeline.joining.results import dropped  # importing DuckDB takes long
    from pipeline.reading.sql import open_database

    with TemporaryDirectory(prefix="removed-") as name:
        directory, present, earlier = Path(name), list[Path](), list[Path]()
        for key in bucket.keys(f"{DELIVERED_PREFIX}{entry.batch}/"):
            file = bucket.fetch(key, directory / Path(key).name)
            (present if file.stem in entry.delivered else earlier).append(file)
        if not (present and earlier):
            return
        with open_database(directory, MEMORY_MB, threads=2) as connection:
            rows = connection.execute(dropped(earlier, present))
            while found := rows.fetchmany(FETCH):
                yield from (row[0] for row in found)
