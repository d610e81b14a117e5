"""Days of random bytes: the product and the reference implementation have the same result.

Not a test of its own: `PYTHONPATH=lambda:lambda/tests python lambda/tests/fuzz_days.py --days 20000 --seed 1`
runs days until one differs, and prints its seed and its files. The same seed gives the same day.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys

import duckdb
from batches import assert_agrees_with_reference
from pipeline.errors import ReconciliationError
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, ColumnType, RecordKind

INVISIBLE = ["\ufeff", "\u200b", "\u00a0", "\u3000", "\u202f", "\f", "\t", " ", "\x1a", "\x01", "\u00ad", "\x7f"]
REFERENCES = ["a", "b", "c", "A", "007", "NULL", "x-1", "é", "---", "", "\u200b", "o\u200bk", "x" * 1024, "y" * 1025]
REFERENCES += ["日本", "1e5", "a,b", 'a"b', '"', "a\nb", "\x1f\x1e\x1d", "o'k", "\uffff"]
NUMBERS = [
    "1", "-3", "0", "007", "3.0", "1e5", "", "x", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "+1", "−1", "--1", "१", "1 2", "-",
]  # fmt: skip
AMOUNTS = [
    "1", "12.50", "12,50", "1.234", "1,234", "-1.234", "0,125", "1.250.000", "1,250,000", "1.234,56", "1,234.5",
    "1.23456", "123456789012345", "$5", "5-", "1e3", ".5", "5.", "", "1234.5", "1234,567", "99999999999999.9999", "-0",
    "000000000001.5", "NaN", "1.5 €", "1_000", "٣",
]  # fmt: skip
TEXTS = ["x", "", " pad ", 'say "hi"', "a,b", "a;b", "two\nlines", "a, b\nc, d", "é", "\x0b", "status", "\t"]
IDS = ["1", "2", "3", "a", "", "01", "\u00a01", "18446744073709551615", "-1", "1.0"]
BYTES = [bytes([byte]) for byte in (0, 9, 10, 12, 13, 26, 31, 32, 34, 44, 46, 59, 124, 128, 160, 255)]
BYTES += [b"\r\n", b"\r\r\n", b'""', b'"\n', b',"', b'",', b"\xef\xbb\xbf", b",,,\n", b"\n\n", b"\xe2\x80\x8b"]


def cell(random: random.Random, column: Column | None, tidy: bool) -> str:
    """Return a cell of a column, valid or not."""
    if column is None or column.type is ColumnType.TEXT:
        return (
            random.choice(TEXTS[:2] if tidy else TEXTS) if column is None or not column.unique else random.choice(IDS)
        )
    if column.type is ColumnType.REFERENCE:
        text = random.choice(REFERENCES[:4] if tidy or random.random() < 0.6 else REFERENCES)
    elif column.type is ColumnType.AMOUNT:
        text = random.choice(AMOUNTS[:2] if tidy else AMOUNTS)
    else:
        text = random.choice(NUMBERS[:3] if tidy else NUMBERS)
    return text if random.random() < 0.9 else random.choice(INVISIBLE) + text + random.choice(INVISIBLE)


def file(random: random.Random, kind: RecordKind) -> bytes:
    """Return a file of a kind: a header and records, some of which have defects."""
    delimiter = random.choice(",,,;\t|")
    columns = {column.name: column for column in kind.columns}
    names = [column.name for column in kind.required] + random.sample(["id", "note"], random.choice([0, 0, 1, 2]))
    if random.random() < 0.4:
        random.shuffle(names)
    quoting = random.choice(["none", "needed", "all", "wild"])

    def quoted(text: str, may_be_wrong: bool = True) -> str:
        if quoting == "none":
            return text.translate({ord(char): None for char in delimiter + '"\n'})
        if quoting == "wild" and may_be_wrong and random.random() < 0.1:
            return random.choice([f'"{text}', f'{text}"', f' "{text}"', f'"{text}"x', f'\ufeff"{text}"'])
        needed = any(char in text for char in delimiter + '"\n')
        return '"' + text.replace('"', '""') + '"' if needed or quoting == "all" else text

    may_be_wrong = random.random() < 0.2
    header = delimiter.join(
        quoted(random.choice([name, name, name.upper(), f" {name}"]), may_be_wrong) for name in names
    )
    lines = [header]
    for _ in range(random.choice([0, 1, 3, 8, 20])):
        tidy = random.random() < 0.6
        lines.append(delimiter.join(quoted(cell(random, columns.get(name), tidy)) for name in names))
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        other = [column.name for column in random.choice(MODEL.kinds).required]
        odd = [
            delimiter * random.randrange(6),
            "\x1a",
            "----",
            lines[-1] + delimiter,
            random.choice(INVISIBLE) + header,
        ]
        odd += ["sep=;", "# comment", " \u00a0"]
        if random.random() < 0.05:
            odd = [
                delimiter.join(["status", "quantity", "x", "x"]),
                delimiter.join(other),
                delimiter.join(names[::-1]),
                lines[-1] + header,
            ]
        lines.insert(random.randint(1, len(lines)), random.choice(odd))
    if random.random() < 0.05:
        lines = lines * random.choice([2, 2, 3])
    if random.random() < 0.05:
        lines.insert(0, random.choice([f"sep={delimiter}", "sep=x", "", delimiter * 3, "A title", "----"]))
    end = random.choice(["\n", "\n", "\r\n", "\r", "\r\r\n"])
    text = end.join(lines) + random.choice([end, end, "", end * 3])
    return random.choice([b"", b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 2]) + text.encode()


def damaged(random: random.Random, data: bytes) -> bytes:
    """Change, insert, cut out or repeat some bytes."""
    for _ in range(random.choice([0, 0, 0, 0, 0, 0, 1, 3])):
        start = random.randint(min(80, len(data)), len(data))
        end = min(len(data), start + random.choice([0, 0, 1, 5, 40]))
        new = random.choice([random.choice(BYTES[1:]), b'"', data[start:end] * 2, b"", random.choice(BYTES)])
        data = data[:start] + new + data[end:]
    if random.random() < 0.05:
        data = gzip.compress(data, mtime=0)
        data += random.choice([b"", b"", b"\0" * 20, data])
    return data


def day(seed: int) -> dict[RecordKind, bytes]:
    """Return the files of the day with this seed."""
    source = random.Random(seed)
    return {kind: damaged(source, file(source, kind)) for kind in MODEL.kinds}


def main() -> int:
    """Run days and return the exit code: 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first day; each further one has the next")
    parser.add_argument("--go-on", action="store_true", help="go on after a difference")
    arguments = parser.parse_args()
    states: dict[str, int] = {}
    different = 0
    for seed in range(arguments.seed, arguments.seed + arguments.days):
        files = day(seed)
        try:
            state = assert_agrees_with_reference(files).state
        except (AssertionError, duckdb.Error, ReconciliationError) as error:
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
            for kind, content in files.items():
                print(f"  {kind}: {content[:3000]!r}")
            different += 1
            if not arguments.go_on:
                return 1
            continue
        states[state] = states.get(state, 0) + 1
    print(f"{arguments.days} days from seed {arguments.seed}: {different} differ; {states}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
