"""DuckDB: opening a database, asking a question, writing names and strings into SQL."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb


def open_database(workdir: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that spills to `workdir` and writes nowhere else."""
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
            # DuckDB takes every CSV file for a small one and would keep it in memory: joins stay as they are written,
            # files on the left and streamed, what they are joined with on the right.
            "disabled_optimizers": "join_order,build_side_probe_side",
        },
    )


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
