"""`pipeline consume`: run the example consumer on the local AWS and show what it did."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from pipeline_cli.local import emulator
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import ROOT, Target

EXAMPLE = ROOT / "examples" / "consumer" / "consumer.py"
STATE = ROOT / "build" / "local" / "consumer.sqlite"
SHOWN = 10


def consume(target: Target, state: Path) -> None:
    """Run the example consumer until the target's output queue is empty.

    Raises
    ------
    CommandError
        The example failed; its own error message is on standard error.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": str(target.endpoint_url),
        "AWS_DEFAULT_REGION": target.region,
        "AWS_ACCESS_KEY_ID": emulator.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": emulator.SECRET_KEY,
        "NO_PROXY": "*",
    }
    arguments = ["--queue-url", target.output("output_queue_url"), "--state", str(state), "--until-empty"]
    state.parent.mkdir(parents=True, exist_ok=True)
    code = subprocess.run([sys.executable, str(EXAMPLE), *arguments], env=environment, check=False).returncode
    if code:
        raise CommandError(f"The example consumer ended with exit code {code}.", "Its output is above.")


def show(state: Path, since: int) -> None:
    """Print the first changes of the last run (those after number `since`) and the totals of the state file."""
    out = terminal.out()
    with closing(sqlite3.connect(state)) as rows:
        changes = rows.execute(
            "SELECT batch, customer_reference FROM changes WHERE number > ? ORDER BY number", (since,)
        ).fetchall()
        results = {
            (batch, customer): (orders, total, refused)
            for batch, customer, orders, total, refused in rows.execute(
                "SELECT batch, customer_reference, number_of_orders, total_amount_spent, refused_records FROM customers"
            )
        }
        (errors,) = rows.execute("SELECT count(*) FROM errors").fetchone()
    table = terminal.table("Day", "Customer", "Orders", "Amount", "Note", numbers=("Orders", "Amount"))
    for batch, customer in changes[:SHOWN]:
        orders, total, refused = results[batch, customer]
        note = "removed" if orders is None else f"incomplete: {refused:,} refused" if refused else ""
        table.add_row(batch, terminal.shown(customer), "" if orders is None else f"{orders:,}", total or "", note)
    if changes:
        out.print(table)
    if len(changes) > SHOWN:
        out.print(f"[dim]… and {len(changes) - SHOWN:,} more changes[/]")
    present = [result for result in results.values() if result[0] is not None]
    incomplete = sum(1 for _, _, refused in present if refused)
    out.print(
        f"{terminal.counted(len(changes), 'change')} in this run. The state has "
        f"{terminal.counted(len(present), 'result')}, {incomplete:,} of them incomplete, and "
        f"{terminal.counted(errors, 'error')}: {terminal.shown(state)}",
        soft_wrap=True,
    )


def changes_in(state: Path) -> int:
    """Return the number of the last change in a state file; 0 if there is none."""
    if not state.exists():
        return 0
    with closing(sqlite3.connect(state)) as rows:
        known = rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes'").fetchone()
        return int(rows.execute("SELECT max(number) FROM changes").fetchone()[0] or 0) if known else 0


def command(
    state: Annotated[
        Path, typer.Option("--state", metavar="FILE", help="The consumer's SQLite file.", show_default=False)
    ] = STATE,
    env: options.Env = "",
) -> None:
    """Run the example consumer on the local AWS until the output queue is empty, and show what it did.

    The consumer receives and deletes the messages and keeps each customer's results in a SQLite file. It is an example
    to copy (examples/consumer/consumer.py). On AWS a consumer runs with its own credentials, so this command works on
    local only.

    Example: pipeline consume --state /tmp/consumer.sqlite

    Exit codes: 0 the queue is empty, 1 the consumer failed, 2 the target is not local.
    """
    target = targets.chosen(env)
    if not target.is_local:
        raise UsageError(
            "The example consumer takes the messages away, so it runs on the local AWS only.",
            "How a consumer runs on AWS: docs/consumer.md",
        )
    since = changes_in(state)
    consume(target, state)
    show(state, since)
