"""DuckDB: opening a database, asking a question, queries of named steps, names and strings in SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from pipeline.model.error_codes import RECORD_CODES


@dataclass(frozen=True, slots=True)
class Step:
    """One SELECT of a query, and the name under which the steps after it read its rows."""

    name: str
    sql: str


def query(steps: Sequence[Step], select: str = "*", is_standard: bool = False) -> str:
    """Put steps together into one query of the last one's rows; each can also be run and looked at alone.

    With `is_standard` other engines take it too; without, DuckDB is told to keep no step in memory.
    """
    inlined = "" if is_standard else "NOT MATERIALIZED "
    ctes = ",\n".join(f"{step.name} AS {inlined}({step.sql})" for step in steps)
    return f"WITH {ctes}\nSELECT {select} FROM {steps[-1].name}"


def open_database(workdir: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that spills to `workdir` and writes nowhere else, with our macros and types."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": str(threads),
            "temp_directory": str(workdir / "spill"),
            "home_directory": str(workdir),
            "extension_directory": str(workdir / "extensions"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
            # DuckDB takes every CSV file for a small one and would keep it in memory: joins stay as they are written,
            # files on the left and streamed, what they are joined with on the right.
            "disabled_optimizers": "join_order,build_side_probe_side",
        },
    )
    create_macros(connection)
    return connection


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros of `macros.sql` and the type `error_code`, which sorts codes in the order of their rules."""
    codes = ", ".join(literal(code) for code in RECORD_CODES)
    connection.execute(f"CREATE TYPE error_code AS ENUM ({codes})")
    connection.execute((resources.files(__package__) / "macros.sql").read_text(encoding="utf-8"))


def ask(connection: duckdb.DuckDBPyConnection, question: str) -> bool:
    """Ask a question whose answer is one row with one boolean."""
    row = connection.execute(question).fetchone()
    return bool(row and row[0])


def quoted(name: str) -> str:
    """Write an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def file_literal(path: Path) -> str:
    """Write the name of one file for a reader of DuckDB, which would take some characters of it for wildcards."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def literal(text: str) -> str:
    """Write a string of SQL; DuckDB knows no escapes within it but the doubled quote."""
    return "'" + text.replace("'", "''") + "'"
