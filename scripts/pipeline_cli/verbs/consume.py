"""`pipeline consume`: run the example consumer on the local AWS and show what it did."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.summary import message_line
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import ROOT, Target

EXAMPLE = ROOT / "examples" / "consumer" / "consumer.py"
SHOWN = 10


def command(env: options.Env = "") -> None:
    """Run the example consumer on the local AWS until the output queue is empty, and show what it did.

    The consumer receives and deletes the messages and keeps the results in build/local/consumer.sqlite. It is an
    example to copy (examples/consumer/consumer.py). On AWS a consumer runs with its own credentials, so this command
    works on local only.

    Example: pipeline consume

    Exit codes: 0 the queue is empty, 1 the consumer failed, 2 the target is not local.
    """
    target = targets.chosen(env)
    if not target.is_local:
        raise UsageError(
            "The example consumer takes the messages away, so it runs on the local AWS only.",
            "How a consumer runs on AWS: docs/consumer.md",
        )
    state = target.folder / "consumer.sqlite"
    since = last_change(state)
    consume(target, state)
    show(state, since)


def last_change(state: Path) -> int:
    """Return the number of the last change in a state file; 0 if there is none."""
    if not state.exists():
        return 0
    with closing(sqlite3.connect(state)) as rows:
        known = rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes'").fetchone()
        return int(rows.execute("SELECT max(number) FROM changes").fetchone()[0] or 0) if known else 0


def consume(target: Target, state: Path) -> None:
    """Run the example consumer until the target's output queue is empty.

    Raises
    ------
    CommandError
        The example failed; its own error message is on standard error.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = kept | target.environment | {"NO_PROXY": "*"}
    arguments = ["--queue-url", target.output("output_queue_url"), "--state", str(state), "--until-empty"]
    state.parent.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments],
        env=environment,
        check=False,
    ).returncode
    if code:
        raise CommandError(f"The example consumer ended with exit code {code}.", "Its output is above.")


def show(state: Path, since: int) -> None:
    """Print the first changes of the last run (those after number `since`), and how many there are in all."""
    out = terminal.out()
    with closing(sqlite3.connect(state)) as rows:
        changes = rows.execute("SELECT batch, body FROM changes WHERE number > ? ORDER BY number", (since,)).fetchall()
        (all_changes,) = rows.execute("SELECT count(*) FROM changes").fetchone()
        (errors,) = rows.execute("SELECT count(*) FROM errors").fetchone()
    for batch, body in changes[:SHOWN]:
        out.print(f"{batch}  {message_line(body)}", soft_wrap=True)
    if len(changes) > SHOWN:
        out.print(f"[dim]… and {len(changes) - SHOWN:,} more changes[/]")
    out.print(
        f"{terminal.counted(len(changes), 'change')} in this run. The state has "
        f"{terminal.counted(all_changes, 'change')} and {terminal.counted(errors, 'error')}: {terminal.shown(state)}",
        soft_wrap=True,
    )
