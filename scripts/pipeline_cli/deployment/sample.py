"""Generate realistic partner files for a day, of any size, with some bad records.

The same arguments give the same bytes, so that a demo shows the same numbers every time and tests can rely on them.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import BinaryIO, TextIO

from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

DAY_SECONDS = 24 * 60 * 60

FIRST_NAMES = (
    "Amelia", "Åsa", "Beatriz", "Chidi", "Dörte", "Emre", "Fatima", "Grzegorz", "Hana", "Ingrid", "João", "Kaveh",
    "Leïla", "Mateo", "Niamh", "Oluwaseun", "Priya", "Quentin", "Rosa", "Sven", "Thị", "Uma", "Viktor", "Wanda",
    "Ximena", "Yusuf", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Bergström", "Castillo", "Dubois", "Eriksen", "Fernandes", "García", "Haddad", "Ito", "Jansen",
    "Kowalski", "Lindqvist", "Müller", "Nowak", "O'Brien", "Papadopoulos", "Quinn", "Rossi", "Schäfer", "Tanaka",
    "Usman", "van der Berg", "Weiss", "Xu", "Yılmaz", "Zhang",
)  # fmt: skip
ITEMS = (
    ("Coffee, ground, 500 g", 649), ("Desk lamp", 3490), ("Notebook A5", 395), ("Running shoes", 8995),
    ('Monitor 27"', 21900), ("Tea towel", 500), ("Umbrella", 1799), ("Water bottle", 1250), ("Wool socks", 899),
    ("Paperback", 1099),
)  # fmt: skip
CUSTOMER_STATUS = ("Active", "Active", "Active", "Active", "Pending", "Inactive")
ORDER_STATUS = ("Delivered", "Delivered", "Delivered", "Shipped", "Placed", "Returned")
ORDERS_A_CUSTOMER = (0, 0, 1, 1, 1, 2, 2, 3, 5)
ITEMS_AN_ORDER = (1, 1, 1, 2, 2, 3, 4, 6)

Row = list[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated day: its files, how many records each has, and how many of all records are bad."""

    files: dict[RecordKind, Path]
    records: dict[RecordKind, int]
    defects: int


def generate(
    folder: Path,
    day: str,
    customers: int = 200,
    defects: float = 0.01,
    seed: int = 1,
    *,
    compress: bool = False,
) -> Sample:
    """Write the three files of a day into a folder, in constant memory.

    `defects` is the share of bad records, from 0 to 1; the ways of `DEFECTS` take turns. The customers depend on `seed`
    alone, so the same customers order on other days.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".csv.gz" if compress else ".csv"
    files = {kind: folder / f"{kind}_{day}{suffix}" for kind in MODEL.kinds}
    records = dict.fromkeys(MODEL.kinds, 0)
    wrong = 0
    with ExitStack() as stack:
        writers = {kind: csv.writer(_open(path, stack), lineterminator="\n") for kind, path in files.items()}
        for kind, writer in writers.items():
            writer.writerow([column.name for column in kind.required])
        for kind, row, is_defect in _records(day, customers, defects, seed):
            writers[kind].writerow(row)
            records[kind] += 1
            wrong += is_defect
    return Sample(files, records, wrong)


def _open(path: Path, stack: ExitStack) -> TextIO:
    file: BinaryIO = stack.enter_context(path.open("wb"))
    if path.name.endswith(".gz"):
        # Without time and name in the gzip header, the same day gives the same bytes.
        file = stack.enter_context(gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0))  # type: ignore[assignment]
    return stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _records(day: str, customers: int, share: float, seed: int) -> Iterator[tuple[RecordKind, Row, bool]]:
    people = random.Random(f"{seed}")
    trade = random.Random(f"{seed}-{day}")
    faults = random.Random(f"{seed}-{day}-defects")
    in_turn = {kind: cycle(changes) for kind, changes in DEFECTS.items()}
    midnight = int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp())

    def made(kind: RecordKind, row: Row) -> Iterator[tuple[RecordKind, Row, bool]]:
        if faults.random() < share:
            for changed in next(in_turn[kind])(row):
                yield kind, changed, changed is not row
        else:
            yield kind, row, False

    order_number = 0
    for number in range(customers):
        customer = f"{people.getrandbits(16):04x}-{number:05x}"
        name = [people.choice(FIRST_NAMES), people.choice(LAST_NAMES), people.choice(CUSTOMER_STATUS)]
        yield from made(data_model.CUSTOMERS, [customer, *name])
        for _ in range(trade.choice(ORDERS_A_CUSTOMER)):
            order_number += 1
            order = f"{trade.getrandbits(24):06x}-{order_number:06x}"
            moment = midnight + trade.randrange(DAY_SECONDS)
            yield from made(data_model.ORDERS, [customer, trade.choice(ORDER_STATUS), order, str(moment)])
            for _ in range(trade.choice(ITEMS_AN_ORDER)):
                item, cents = trade.choice(ITEMS)
                quantity = trade.choice((1, 1, 1, 2, 3))
                price = f"{quantity * cents // 100}.{quantity * cents % 100:02}"
                yield from made(data_model.ITEMS, [order, item, str(quantity), price])


def _cell(position: int, change: Callable[[str], str]) -> Callable[[Row], list[Row]]:
    def apply(row: Row) -> list[Row]:
        return [[change(cell) if index == position else cell for index, cell in enumerate(row)]]

    return apply


DEFECTS: dict[RecordKind, tuple[Callable[[Row], list[Row]], ...]] = {
    # A bad customer record is added to the good one: in its place, all orders of the customer would be refused.
    data_model.CUSTOMERS: (
        lambda row: [row, list(row)],
        lambda row: [row, ["", *row[1:]]],
        lambda row: [row, row[:2]],
    ),
    data_model.ORDERS: (
        _cell(3, lambda _: "yesterday"),
        lambda row: [row, list(row)],
        _cell(0, lambda _: "nobody"),
        _cell(2, lambda _: ""),
    ),
    data_model.ITEMS: (
        _cell(3, lambda price: f"€ {price}"),
        _cell(2, lambda _: "two"),
        _cell(0, lambda order: f"{order}-lost"),
        _cell(3, lambda price: price.replace(".", ",")),
        lambda row: [row[:3]],
        _cell(3, lambda _: ""),
    ),
}
"""Ways to make a bad record, by kind: each function takes a good row and returns the rows to write instead."""
