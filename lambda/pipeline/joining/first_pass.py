"""The first pass over a file, or over a split of one: each record is read once, and the totals are added up.

It shows which references and row ids repeat and whether parents are missing. Only if there is any of these, or a record
that breaks a rule by itself, is the file read a second time, for the candidates.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.joining.acceptance import amounts, carried, with_root
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import for_other_reader
from pipeline.reading.fast_reader import NEEDS_TRIMMING, NotSuitedError, fast_records_sql
from pipeline.reading.line_reader import records_sql
from pipeline.reading.sql import Step, query, quoted

if TYPE_CHECKING:
    import duckdb


def first_pass(
    connection: duckdb.DuckDBPyConnection, file: CsvFile, workdir: Path, *, with_parents: bool = True
) -> CsvFile:
    """Read all records of a file into `<kind>_records`, and create `<kind>_totals`; return the file as it was read.

    `<kind>_records` has a row for each record: the columns of `<kind>_valid`, NULL if the record has an error. With
    `with_parents` each record has the `root` of its parent, NULL without one; in a split, where the parents are not
    known, it has its `parent`. `<kind>_totals` has (is_blank, code, id_block, id_bits, records, amounts).
    """
    kind = file.kind
    while not _is_read(connection, file, with_parents):
        for table in ("records", "totals"):
            connection.execute(f"DROP TABLE IF EXISTS {kind}_{table}")
        file = for_other_reader(connection, file, workdir)
    if file.is_fast and file.profile.blank_end:
        connection.execute(f"INSERT INTO {kind}_totals (is_blank, records) VALUES (true, {file.profile.blank_end})")
    return file


def _is_read(connection: duckdb.DuckDBPyConnection, file: CsvFile, with_parents: bool) -> bool:
    """Create the tables; return False if the fast reader, which has read, does not suit the file after all."""
    if not file.is_fast:
        _create_tables(connection, file, with_parents)
        return True
    with suppress(*NotSuitedError):
        _create_tables(connection, file, with_parents)
        # All rows are fetched: as long as a result is open, DuckDB refuses to run other queries.
        found = connection.execute(f"SELECT coalesce(sum(records), 0) FROM {file.kind}_totals").fetchall()
        return found == [(file.fast_lines,)]
    return False


def _create_tables(connection: duckdb.DuckDBPyConnection, file: CsvFile, with_parents: bool) -> None:
    kind = file.kind
    connection.execute(f"CREATE TABLE {kind}_records AS {_records(file, with_parents)}")
    sums = "".join(f", sum({name}) AS {name}" for name in amounts(kind))
    is_blank, groups = ("false", ["code"]) if file.is_fast else ("is_blank", ["is_blank", "code"])
    # One bit for each row id, in blocks of 32: that shows whether they are distinct numbers in a tenth of the time and
    # memory that grouping by id takes.
    ids = "NULL::BIGINT AS id_block, NULL::BIGINT AS id_bits"
    if file.unique:
        ids = "(number >> 5)::BIGINT AS id_block, bit_or(1::BIGINT << (number & 31)::INTEGER) AS id_bits"
        groups.append("id_block")
    connection.execute(
        f"""CREATE TABLE {kind}_totals AS
        SELECT {is_blank} AS is_blank, code::VARCHAR AS code, {ids}, count(*) AS records{sums}
        FROM {kind}_records GROUP BY {", ".join(groups)}"""
    )


def _records(file: CsvFile, with_parents: bool) -> str:
    kind = file.kind
    records, needs_trimming = (fast_records_sql(file), NEEDS_TRIMMING) if file.is_fast else (records_sql(file), "false")
    valid = {"parent": parent_sql(kind), **carried(kind)}
    if kind.identity:
        valid["reference"] = quoted(kind.identity)
    columns = [f"CASE WHEN is_valid THEN {value} END AS {name}" for name, value in valid.items()]
    of_records = [*([] if file.is_fast else ["is_blank"]), "code", *amounts(kind)]
    if file.unique:
        columns.append(f"id_number({quoted(file.unique)}) AS number")
        valid["number"] = "number"
    step = Step("records", f"SELECT {', '.join([*of_records, *columns])} FROM ({records})")
    kept = [*of_records, *(name for name in valid if name != "parent")]
    if kind.parent is None:
        return query([step], ", ".join(kept))
    # An error ends the fast path: a reference to a parent with blanks around it must be trimmed before it can be found.
    untrimmed = f"({needs_trimming}) THEN error('a reference has blanks around it')"
    if not with_parents:
        return query([step], ", ".join([*kept, f"CASE WHEN {untrimmed} ELSE parent END AS parent"]))
    rooted = Step("rooted", with_root(kind, "records", [*kept, "parent"]))
    root = f"CASE WHEN root IS NULL AND parent IS NOT NULL AND {untrimmed} ELSE root END AS root"
    return query([step, rooted], ", ".join([*kept, root]))


def parent_sql(kind: RecordKind) -> str:
    """Return the column with the reference of a record's parent; NULL if the kind has no parent."""
    return quoted(kind.parent.column) if kind.parent else "NULL::VARCHAR"
