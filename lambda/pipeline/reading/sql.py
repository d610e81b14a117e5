"""Helpers for DuckDB: open a database, build queries from named steps, quote names and strings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from pipeline.model.error_codes import RECORD_CODES
from pipeline.model.text import INVISIBLE_PATTERN


@dataclass(frozen=True, slots=True)
class Step:
    """One SELECT of a query, and the name under which the steps after it read its rows."""

    name: str
    sql: str


def query(steps: Sequence[Step], select: str = "*") -> str:
    """Combine steps into one query (a CTE per step) that selects the rows of the last one.

    The steps are marked NOT MATERIALIZED, so that DuckDB keeps none of them in memory.
    """
    ctes = ",\n".join(f"{step.name} AS NOT MATERIALIZED ({step.sql})" for step in steps)
    return f"WITH {ctes}\nSELECT {select} FROM {steps[-1].name}"


def open_database(workdir: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with our macros and types; it writes nowhere but to `workdir`, where it spills."""
    connection = connect(workdir, memory_mb, threads)
    create_macros(connection)
    return connection


def connect(workdir: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open the same without macros and types, for standard SQL; that takes half the time."""
    return duckdb.connect(
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
            # DuckDB assumes that every CSV file is small and would build its hash tables from it. So joins stay as
            # they are written: the file on the left is streamed, the right side is held in memory.
            "disabled_optimizers": "join_order,build_side_probe_side",
        },
    )


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros of `macros.sql` and the ENUM `error_code`, which sorts codes in the order of their rules."""
    codes = ", ".join(literal(code) for code in RECORD_CODES)
    connection.execute(f"CREATE TYPE error_code AS ENUM ({codes})")
    macros = (resources.files(__package__) / "macros.sql").read_text(encoding="utf-8")
    connection.execute(macros.replace("{invisible}", INVISIBLE_PATTERN))


@contextmanager
def in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let queries keep the order of the rows that they read; this takes more memory, and for some only one thread."""
    connection.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        connection.execute("SET preserve_insertion_order = false")


def ask(connection: duckdb.DuckDBPyConnection, question: str) -> bool:
    """Run a query whose result is one row with one boolean."""
    row = connection.execute(question).fetchone()
    return bool(row and row[0])


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def file_literal(path: Path) -> str:
    """Return a path as an SQL string for DuckDB's file readers, with glob characters escaped."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def literal(text: str) -> str:
    """Return a text as an SQL string; the only escape in it is the doubled quote."""
    return "'" + text.replace("'", "''") + "'"
