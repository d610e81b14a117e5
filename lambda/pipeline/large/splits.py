"""Splits of a file: byte ranges whose lines one task reads, and the properties of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.large.places import READ_BYTES, Source
from pipeline.reading.dialect import RefusedFileError, Scan

LONG_LINE = 500_000
"""Lines with more bytes are read in order; well below the limit for a record."""


@dataclass(frozen=True, slots=True)
class Split:
    """The lines of a file that begin in a range of its bytes."""

    number: int
    start: int
    end: int
    lines: int = 0
    before: int = 0
    """Lines of the file before this split, including the header."""
    extra_before: int = 0
    """Line ends that were removed from the records before this split, including the header."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The properties of the bytes of a split."""

    lines: int = 0
    has_quotes: bool = False
    has_crlf: bool = False
    names: int = 0
    is_plain: bool = True
    """Whether it is valid UTF-8 with LF or CRLF line ends, without long lines and without the usual sentinels."""


def cut(start: int, end: int, split_bytes: int) -> list[Split]:
    """Divide a range of a file into splits of about the same size."""
    starts = range(start, end, split_bytes)
    return [Split(number, first, min(first + split_bytes, end)) for number, first in enumerate(starts)]


def lines_of(source: Source, split: Split, first: int) -> Iterator[bytes]:
    """Yield the bytes of a split's lines, in blocks.

    A line belongs to the split in which it begins. So the last line of a split may extend beyond its byte range.

    Parameters
    ----------
    first
        Byte offset of the first line of the first split.
    """
    begun = split.start == first
    last = b""
    for block in source.read(split.start if begun else split.start - 1, split.end):
        last, found = block[-1:], block
        if not begun:
            line_end = block.find(b"\n")
            if line_end < 0:
                continue
            begun, found = True, block[line_end + 1 :]
        if found:
            yield found
    if begun and last != b"\n":
        yield from _rest_of_line(source, split.end)


def _rest_of_line(source: Source, start: int) -> Iterator[bytes]:
    step = 4096
    while start < source.size:
        for block in source.read(start, min(start + step, source.size)):
            line_end = block.find(b"\n")
            if line_end >= 0:
                yield block[: line_end + 1]
                return
            start += len(block)
            yield block
        step = READ_BYTES


def profile(blocks: Iterable[bytes], name: str) -> Profile:
    """Examine the bytes of a split once, and count the occurrences of `name`, a column name of the header.

    It stops early when the split is found not to be plain.
    """
    scan = Scan(name)
    has_crlf = False
    held, line_bytes, size = b"", 0, 0
    try:
        for received in blocks:
            block, held = held + received, b""
            if block.endswith(b"\r"):
                # The line feed that belongs to it may come with the next block.
                block, held = block[:-1], b"\r"
            line_bytes = _line_bytes(block, line_bytes)
            if b"\r" in block:
                has_crlf, block = True, block.replace(b"\r\n", b"\n")
            size += len(block)
            scan.look_at(block)
            if line_bytes > LONG_LINE or not scan.is_regular or not scan.sentinels_are_free:
                return Profile(is_plain=False)
    except RefusedFileError:
        return Profile(is_plain=False)
    if not size and not held:
        return Profile()
    scan.finish()
    return Profile(scan.lines, scan.has_quotes, has_crlf, scan.names, is_plain=scan.is_regular and not held)


def _line_bytes(block: bytes, before: int) -> int:
    """Return the length so far of the line at the end of `block`, or that of its first line if over LONG_LINE."""
    first = block.find(b"\n")
    if first < 0:
        return before + len(block)
    if before + first > LONG_LINE:
        return before + first
    return len(block) - block.rfind(b"\n") - 1


def write_lines(blocks: Iterable[bytes], target: Path, has_crlf: bool) -> int:
    """Write the lines of a split into a file with LF line ends; return the number of bytes."""
    size, held = 0, b""
    with target.open("wb") as file:
        for received in blocks:
            block = received
            if has_crlf:
                block, held = held + block, b""
                if block.endswith(b"\r"):
                    block, held = block[:-1], b"\r"
                block = block.replace(b"\r\n", b"\n")
            size += file.write(block)
    return size


def numbered(splits: Iterable[Split], lines: Iterable[int], before: int) -> list[Split]:
    """Return the splits with their numbers of lines, and of lines before them; splits without lines are left out."""
    result: list[Split] = []
    for split, count in zip(splits, lines, strict=True):
        if count:
            result.append(Split(len(result), split.start, split.end, count, before))
        before += count
    return result
