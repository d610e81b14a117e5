"""`pipeline sample`: generate realistic partner files for a day, of any size, with some bad records.

The same arguments give the same bytes, so that a demo shows the same numbers every time and tests can rely on them.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Annotated

import typer
from pipeline.model.batch_files import CONTROL, today
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import ColumnType, RecordKind
from pipeline.reading.control_file import ControlTotal, control_file

from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import UsageError

DAY_SECONDS = 24 * 60 * 60
WORDS = (
    "Åsa", "Beatriz", "Chidi", "Dörte", "Emre", "Grzegorz", "João", "Leïla", "Niamh", "Thị", "Ximena", "Zoë",
    "Bergström", "García", "O'Brien", "van der Berg", "Yılmaz", "Coffee, ground, 500 g", "Desk lamp", 'Monitor 27"',
    "Notebook A5", "Running shoes", "Tea towel", "Water bottle", "Wool socks",
)  # fmt: skip
CHILDREN_OF_ROOT = (0, 0, 1, 1, 1, 2, 2, 3, 5)
CHILDREN = (1, 1, 1, 2, 2, 3, 4, 6)

Row = list[str]
Defect = Callable[[Row], list[Row]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated day: its files, how many records each has, and how many of all records are bad."""

    files: dict[RecordKind, Path]
    records: dict[RecordKind, int]
    defects: int


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the files.")],
    day: Annotated[str, typer.Option("--date", metavar="YYYYMMDD", help="The day.", show_default="today")] = "",
    records: Annotated[
        int, typer.Option("--records", min=0, metavar="N", help=f"How many {MODEL.root}; the others follow from them.")
    ] = 200,
    defects: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of records that are bad, from 0 to 1.")
    ] = 0.01,
    control: Annotated[bool, typer.Option("--control", help="Write a control file too.")] = False,
    as_json: options.Json = False,
) -> None:
    """Generate the files of a realistic day with some bad records; the same arguments give the same files.

    Example: pipeline sample day --date 20220131 --records 1000 --defects 0.02

    Exit codes: 0 written, 1 the disk is full, 2 a file exists already.
    """
    day = options.check_day(day or today(), "--date")
    if there := [path for kind in (*MODEL.kinds, CONTROL) for path in folder.glob(f"{kind}_{day}.csv*")]:
        raise UsageError(f"{there[0]} is there already.")
    sample = generate(folder, day, records, defects)
    if control:
        totals = {path.name: ControlTotal(sample.records[kind]) for kind, path in sample.files.items()}
        (folder / f"{CONTROL}_{day}.csv").write_text(control_file(totals))
    if as_json:
        files = {kind: str(path) for kind, path in sample.files.items()}
        terminal.print_json({"files": files, "records": sample.records, "defects": sample.defects})
        return
    out = terminal.out()
    for kind, path in sample.files.items():
        out.print(f"{terminal.shown(path)}  {sample.records[kind]:,} records")
    check = f"{hints.program()} check {terminal.shown(folder)} --batch {day}"
    out.print(f"{sample.defects:,} of them are wrong on purpose. Try: {check}", soft_wrap=True)


def generate(folder: Path, day: str, records: int = 200, defects: float = 0.01, seed: int = 1) -> Sample:
    """Write the files of a day with `records` records of the root kind into a folder, in constant memory.

    `defects` is the share of bad records, from 0 to 1; the ways of `defects_of` take turns. The records of the root
    kind depend on `seed` alone, so that the same ones come again on other days.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: folder / f"{kind}_{day}.csv" for kind in MODEL.kinds}
    counts, wrong = dict.fromkeys(MODEL.kinds, 0), 0
    with ExitStack() as stack:
        streams = {kind: path.open("w", encoding="utf-8", newline="") for kind, path in files.items()}
        writers = {kind: csv.writer(stack.enter_context(file), lineterminator="\n") for kind, file in streams.items()}
        for kind, writer in writers.items():
            writer.writerow([column.name for column in kind.required])
        for kind, row, is_defect in _with_defects(_Day(day, seed).rows(records), defects, f"{seed}-{day}"):
            writers[kind].writerow(row)
            counts[kind] += 1
            wrong += is_defect
    return Sample(files, counts, wrong)


class _Day:
    """The good records of a day: a walk through the tree of kinds."""

    def __init__(self, day: str, seed: int) -> None:
        self._midnight = int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp())
        self._of_root, self._of_day = random.Random(f"{seed}"), random.Random(f"{seed}-{day}")
        self._numbers = dict.fromkeys(MODEL.kinds, 0)

    def rows(self, records: int) -> Iterator[tuple[RecordKind, Row]]:
        for _ in range(records):
            yield from self._record(MODEL.root, "")

    def _record(self, kind: RecordKind, parent: str) -> Iterator[tuple[RecordKind, Row]]:
        """Yield a record, then those that belong to it."""
        dice = self._of_day if kind.parent else self._of_root
        self._numbers[kind] += 1
        own = f"{dice.getrandbits(24):06x}-{self._numbers[kind]:06x}"
        row = []
        for column in kind.required:
            if column.name == kind.identity:
                row.append(own)
            elif kind.parent and column.name == kind.parent.column:
                row.append(parent)
            else:
                row.append(self._cell(column.type, column.allowed, dice))
        yield kind, row
        for child in MODEL.children(kind):
            for _ in range(self._of_day.choice(CHILDREN if kind.parent else CHILDREN_OF_ROOT)):
                yield from self._record(child, own)

    def _cell(self, kind: ColumnType, allowed: tuple[str, ...], dice: random.Random) -> str:
        match kind:
            case ColumnType.INTEGER:
                return str(dice.choice((1, 1, 1, 2, 3)))
            case ColumnType.TIMESTAMP:
                return str(self._midnight + dice.randrange(DAY_SECONDS))
            case ColumnType.AMOUNT:
                return f"{dice.randrange(5, 200)}.{dice.choice(('00', '50', '90', '95', '99'))}"
            case ColumnType.REFERENCE:
                return f"{dice.getrandbits(24):06x}"
        return dice.choice(allowed or WORDS)


def _with_defects(
    rows: Iterator[tuple[RecordKind, Row]], share: float, seed: str
) -> Iterator[tuple[RecordKind, Row, bool]]:
    """Replace a share of the records by bad ones; say of each record whether it is bad."""
    dice, in_turn = random.Random(f"{seed}-defects"), {kind: cycle(defects_of(kind)) for kind in MODEL.kinds}
    for kind, row in rows:
        if dice.random() < share:
            for changed in next(in_turn[kind])(row):
                yield kind, changed, changed is not row
        else:
            yield kind, row, False


def defects_of(kind: RecordKind) -> list[Defect]:
    """Return ways to make a bad record: each takes a good row and returns the rows to write instead."""
    names = [column.name for column in kind.required]

    def change(name: str, new: Callable[[str], str]) -> Defect:
        place = names.index(name)
        return lambda row: [[*row[:place], new(row[place]), *row[place + 1 :]]]

    if kind.parent is None:
        # The bad record is added to the good one: in its place, everything that belongs to it would be refused.
        empty = change(str(kind.identity), lambda _: "")
        return [lambda row: [row, list(row)], lambda row: [row, *empty(row)], lambda row: [row, row[:-1]]]
    ways: list[Defect] = [change(kind.parent.column, lambda reference: f"{reference}-lost")]
    for column in kind.required:
        match column.type:
            case ColumnType.AMOUNT:
                ways.append(change(column.name, lambda amount: f"€ {amount}"))
                ways.append(change(column.name, lambda amount: amount.replace(".", ",")))
                ways.append(change(column.name, lambda _: ""))
            case ColumnType.INTEGER:
                ways.append(change(column.name, lambda _: "two"))
            case ColumnType.TIMESTAMP:
                ways.append(change(column.name, lambda _: "yesterday"))
    if kind.identity:
        ways += [lambda row: [row, list(row)], change(kind.identity, lambda _: "")]
    if not MODEL.children(kind):
        ways.append(lambda row: [row[:-1]])
    return ways
