"""Terminal output of the commands: results on standard output, everything else on standard error.

A command prints its result as text or as JSON. The target, progress and warnings go to standard error, so that a pipe
gets only the result.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import typer
from pipeline.model.text import ESCAPES, escape_controls
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipeline_cli.output.errors import CommandError

WIDTH_WITHOUT_TERMINAL = 120
GAP = 2
"""Blanks between two columns of a table."""
WRAPPED_WIDTH = 30
STYLES = {"QUEUED": "cyan", "RUNNING": "cyan", "COMPLETED": "green", "HELD": "bold yellow", "FAILED": "bold red"}
"""Colours of the states of a batch; any other is yellow."""


class SafeConsole(Console):
    """A console that escapes control characters, even in texts for which a command forgot `shown`."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, but escape control characters other than line ends."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if not control and not text.isprintable():
                text = "\n".join(escape_controls(line) for line in text.split("\n"))
            yield Segment(text, style, control)

    def on_broken_pipe(self) -> None:
        """Raise instead of exiting as rich does: `app.main` handles a closed pipe."""
        raise BrokenPipeError


def shown(value: object) -> str:
    """Make an untrusted value safe for a line of markup: escape control characters and rich's markup.

    For everything that a partner may have written: file names, keys, references, sentences, log lines.
    """
    return escape(escape_controls(str(value)))


def out() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for everything but results."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # Without a terminal, rich assumes 80 columns, which folds tables in a log.
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_WITHOUT_TERMINAL
    return SafeConsole(stderr=stderr, highlight=False, emoji=False, width=width)


class _Screen(StringIO):
    """Takes what is printed, as the terminal would."""

    def isatty(self) -> bool:
        return True


@contextmanager
def captured(*, like_terminal: bool = False) -> Iterator[StringIO]:
    """Catch what the block prints on standard output, in colours if it is to be shown on the terminal afterwards."""
    with redirect_stdout(_Screen() if like_terminal else StringIO()) as text:
        yield text


def show_error(error: CommandError) -> None:
    """Print an error in one line, with its hint, which may have several lines."""
    hint = "\n".join(shown(line) for line in error.hint.split("\n"))
    err().print(f"[bold red]Error:[/] {shown(error.message)} {hint}".rstrip(), soft_wrap=True)


def confirm(env: str, warning: str) -> None:
    """Print a warning and ask for the environment's name.

    Raises
    ------
    CommandError
        Something else was typed, or there is no terminal.
    """
    err().print(f"[bold]{shown(warning)}[/]", soft_wrap=True)
    try:
        typed = typer.prompt(f"Type {env} to go on", err=True, default="", show_default=False)
    except typer.Abort:
        typed = ""
    if typed.strip() != env:
        raise CommandError("That is not the environment's name: nothing was done.")


def agreed(question: str) -> bool:
    """Ask a yes-or-no question on standard error; no answer means no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2)
    sys.stdout.write("\n".join(_as_json_shows(line) for line in text.split("\n")) + "\n")


def print_line(text: str) -> None:
    """Print a line of JSON unchanged: the body of a message, a line of a log.

    On a terminal, control characters are printed as JSON escapes, which mean the same.
    """
    sys.stdout.write((_as_json_shows(text) if sys.stdout.isatty() else _encodable(text)) + "\n")
    sys.stdout.flush()


_JSON_ESCAPES = {code: json.dumps(chr(code))[1:-1] for code in ESCAPES}


def _as_json_shows(text: str) -> str:
    return _encodable(text.translate(_JSON_ESCAPES))


def _encodable(text: str) -> str:
    """Write characters as JSON escapes that standard output may lack, as a console of Windows does."""
    if (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf"):
        return text
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)


def plain(value: Any) -> Any:
    """Convert values from DynamoDB (decimals, sets, nested maps) to values that JSON can represent."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    return value


def table(*columns: str, numbers: Iterable[str] = (), wraps: str = "") -> Table:
    """Create a table in the common style of all commands.

    The columns in `numbers` are right-aligned. Only the column `wraps` is broken into several lines, between words.
    """
    right = set(numbers)
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column != wraps)
    return made


def print_table(made: Table) -> None:
    """Print a table; where it does not fit, leave out columns from the right, and say which on standard error."""
    console, left_out = out(), list[str]()
    while len(made.columns) > 1 and _width(made) > console.width:
        left_out.insert(0, str(made.columns.pop().header))
    console.print(made)
    if left_out:
        err().print(
            f"[dim]This terminal is too narrow for: {', '.join(left_out)}. --json has everything.[/]", soft_wrap=True
        )


def _width(made: Table) -> int:
    """Return the width that a table needs; a column that wraps needs little."""
    widths = [
        max(cell_len(Text.from_markup(str(cell)).plain) for cell in (column.header, *column.cells))
        if column.no_wrap
        else WRAPPED_WIDTH
        for column in made.columns
    ]
    return sum(widths) + GAP * len(widths)


def state(name: str) -> str:
    """Return the state of a batch in its colour, as markup."""
    return f"[{STYLES.get(name, 'yellow')}]{shown(name)}[/]"


def listed(words: Iterable[object]) -> str:
    """Join words to a list: `a, b and c`."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def spinner() -> Progress:
    """Return a progress display for steps of unknown length."""
    columns = SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), TimeElapsedColumn()
    return Progress(*columns, console=err())


def bar(*unit: ProgressColumn) -> Progress:
    """Return a progress bar for a known amount of work; it shows a count, or the given unit."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        *(unit or (TextColumn("{task.completed:,.0f}"),)),
        TimeElapsedColumn(),
        console=err(),
    )


def duration(seconds: float) -> str:
    """Format a duration in its one or two largest units: `340 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def minute(moment: str | None) -> str:
    """Format an ISO 8601 time to the minute: `2022-02-01 06:00`. The heading of the column should say UTC."""
    return (moment or "")[:16].replace("T", " ")


def clock(moment: datetime) -> str:
    """Format a time, with its date unless that is today: `06:00 UTC`, `2022-02-01 06:00 UTC`."""
    moment = moment.astimezone(UTC)
    today = moment.date() == datetime.now(UTC).date()
    return f"{moment:%H:%M} UTC" if today else f"{moment:%Y-%m-%d %H:%M} UTC"


def size(count: float) -> str:
    """Format a number of bytes in a suitable unit: `512 B`, `1.5 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 file`, `2 files`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
