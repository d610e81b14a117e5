"""What the bytes of a file show of its dialect, before its header is read: encoding, line ends, quotes."""

from __future__ import annotations

import codecs
import functools
import gzip
import re
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.record_kinds import RecordKind

BLOCK = 1 << 20
"""Bytes that are examined at a time. If every block has a line end, no line is as long as two blocks."""

MAX_LINE = 16 * BLOCK
"""Longest physical line in bytes; a file with a longer one is refused."""

_SENTINELS = "\x1f\x1e\x1d\x1c\x1a" + "".join(map(chr, range(1, 9))) + "\x0b\x0c" + "".join(map(chr, range(14, 26)))
_HTML = re.compile(rb"\s*<(!doctype|html|\?xml|head|body|!--)", re.IGNORECASE)
_PADDED_QUOTE = re.compile(rb' (?:(?=")|(?<=" ))')
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class RefusedFileError(Exception):
    """The file as a whole can't be used; the text gives the reason, without the file's name."""

    def __init__(self, code: ErrorCode, **details: object) -> None:
        super().__init__(SENTENCES[code].format(**details))
        self.code = code
        self._details = details

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the error picklable, so that it can be passed between processes."""
        return functools.partial(type(self), self.code, **self._details), ()


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Control characters that do not occur in the file and are used as markers in the normalized file."""

    cell: str
    """The delimiter given to DuckDB: as it never occurs, DuckDB reads whole lines."""
    newline: str
    """Replaces a line end in a quoted cell."""
    invalid: str
    """Prefix of a record that has bytes that are not valid UTF-8."""
    bad_quoting: str
    """Prefix of each line of a record of several lines with wrong quotes."""
    doubtful_quoting: str
    """Prefix of each line of a record of several lines whose quotes may be stray."""

    def prefixes(self) -> tuple[str, str, str]:
        """Return the sentinels that precede a record."""
        return self.invalid, self.bad_quoting, self.doubtful_quoting


_COUNT = len(fields(Sentinels))


@dataclass(frozen=True, slots=True)
class Text:
    """An unpacked text file and the properties of its bytes."""

    path: Path
    lines: int
    """Physical lines: line ends of any kind, plus one if the last line has none."""
    has_quotes: bool
    is_regular: bool
    """Whether all bytes are valid UTF-8, all lines end with LF or all with CRLF, and no line is very long."""
    has_crlf: bool
    has_long_lines: bool
    """Whether a line may exceed the limit for a record."""
    blank_end: int
    """Empty lines at the end of the file, as far as they follow other lines within its last block."""
    may_repeat_header: bool
    """Whether a column name of the header occurs more than once, so that there may be a second header."""
    has_padded_quotes: bool
    """Whether a space or a tab is next to a quote anywhere, except for a tab after it."""
    starts_with_open_quotes: bool
    """Whether one of the first lines has an odd number of quotes, so that records probably have several lines."""
    has_other_blanks: bool
    """Whether there is a tab or a character outside ASCII: then not only spaces may have to be trimmed."""
    sentinels: Sentinels


def header_name(kind: RecordKind) -> str:
    """Return the longest name of a required column, in lower case: it is in any header and hardly in a record."""
    return max((column.name for column in kind.required), key=len)


def required_columns(kind: RecordKind) -> str:
    """Return the columns that a file of this kind must have, as text for a sentence."""
    return ", ".join(column.name for column in kind.required)


def read_text(path: Path, kind: RecordKind, workdir: Path, max_unpacked: int | None = None) -> Text:
    """Unpack the file if it is gzip, examine all its bytes once, and refuse it if it is not text.

    A file that is not compressed is not copied. Memory holds one block at a time.

    Raises
    ------
    RefusedFileError
        The file is empty, damaged, too large, or not text.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        unpacked = workdir / f"{kind}.unpacked.csv"
        _unpack(path, unpacked, max_unpacked)
        path = unpacked
    scan = Scan(header_name(kind))
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            if not size:
                refuse_foreign_formats(block)
            size += len(block)
            scan.look_at(block)
    if not size:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    scan.finish()
    sentinels = usual_sentinels() if scan.sentinels_are_free else _free_sentinels(path)
    return Text(
        path,
        scan.lines,
        scan.has_quotes,
        scan.is_regular,
        scan.has_crlf,
        scan.has_long_lines,
        scan.blank_end,
        scan.names > 1,
        scan.has_padded_quotes,
        scan.starts_with_open_quotes,
        scan.has_other_blanks,
        sentinels,
    )


def _unpack(source: Path, target: Path, max_unpacked: int | None) -> None:
    size = 0
    try:
        with gzip.open(source, "rb") as packed, target.open("wb") as plain:
            while block := packed.read(BLOCK):
                size += len(block)
                if max_unpacked is not None and size > max_unpacked:
                    raise RefusedFileError(ErrorCode.FILE_TOO_LARGE, limit=max_unpacked)
                plain.write(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedFileError(ErrorCode.DAMAGED_GZIP) from error


def refuse_foreign_formats(start: bytes) -> None:
    """Raise RefusedFileError if the first bytes of a file show another format (UTF-16, HTML or XML)."""
    if start.startswith(_UTF16_BOMS) or (len(start) > 3 and (start[0:4:2] == b"\0\0" or start[1:4:2] == b"\0\0")):
        raise RefusedFileError(ErrorCode.UTF16_FILE)
    if _HTML.match(start.removeprefix(codecs.BOM_UTF8)):
        raise RefusedFileError(ErrorCode.HTML_FILE)


class Scan:
    """Collects the properties of a file block by block, with `bytes` methods that run at memory speed."""

    def __init__(self, name: str) -> None:
        self.lines = 0
        self.has_quotes = False
        self.is_regular = True
        self.sentinels_are_free = True
        self.names = 0
        self.has_crlf = False
        self.has_long_lines = False
        self.blank_end = 0
        self.has_padded_quotes = False
        self.starts_with_open_quotes = False
        self.has_other_blanks = False
        self._name = name.encode()
        self._lf = self._cr = self._crlf = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = False
        self._last = b""

    def look_at(self, block: bytes) -> None:
        """Add the next block; raise RefusedFileError if it is binary data."""
        if b"\0" in block:
            raise RefusedFileError(ErrorCode.BINARY_FILE)
        if not self._last:
            self.starts_with_open_quotes = b'"' in block and any(
                line.count(b'"') % 2 for line in block.split(b"\n", 1000)[:1000]
            )
        self.lines += self._line_ends(block)
        self.has_long_lines = self.has_long_lines or not self._is_short(block, BLOCK // 3)
        if b'"' in block:
            self.has_quotes = True
            self.has_padded_quotes = (
                self.has_padded_quotes or _has_padded_quotes(block) or _has_padded_quotes(self._last[-1:] + block[:1])
            )
        elif self._last.endswith(b'"') and block.startswith(b" "):
            self.has_padded_quotes = True
        self.sentinels_are_free = self.sentinels_are_free and not any(
            sentinel.encode() in block for sentinel in _SENTINELS[:_COUNT]
        )
        is_ascii = block.isascii()
        self.has_other_blanks = self.has_other_blanks or not is_ascii or b"\t" in block
        self.is_regular = self.is_regular and self._is_utf8(block, is_ascii) and self._is_short(block, BLOCK)
        self._count_names(block)
        end = block.replace(b"\r\n", b"\n") if block.endswith(b"\r\n\r\n") else block
        self.blank_end = max(len(end) - len(end.rstrip(b"\n")) - 1, 0)
        self._last = block[-len(self._name) :]

    def finish(self) -> None:
        """Complete the properties that are known only at the end of the file."""
        self.lines += not self._last.endswith((b"\n", b"\r"))
        self.has_crlf = self._crlf > 0
        self.is_regular = (
            self.is_regular and not self._pending and self._cr == self._crlf and self._crlf in (0, self._lf)
        )

    def _line_ends(self, block: bytes) -> int:
        lf = block.count(b"\n")
        self._lf += lf
        crlf = int(self._last.endswith(b"\r") and block.startswith(b"\n"))
        if b"\r" not in block:
            self._crlf += crlf
            return lf - crlf
        cr = block.count(b"\r")
        crlf += block.count(b"\r\n")
        self._cr += cr
        self._crlf += crlf
        return lf + cr - crlf

    def _count_names(self, block: bytes) -> None:
        # Converting to lower case takes ten times as long as everything else here, and few blocks need it.
        if b"_" in self._name and b"_" not in block and b"_" not in self._last:
            return
        before = self._last[1 - len(self._name) :] if self._last else b""
        self.names += (before + block).lower().count(self._name)

    def _is_utf8(self, block: bytes, is_ascii: bool) -> bool:
        if is_ascii and not self._pending:
            return True
        try:
            self._decoder.decode(block)
        except UnicodeDecodeError:
            return False
        self._pending = bool(self._decoder.getstate()[0])
        return True

    def _is_short(self, block: bytes, length: int) -> bool:
        """Return whether each whole piece of this length has a line end; then no line is twice as long."""
        return all(block.find(b"\n", start, start + length) >= 0 for start in range(0, len(block) - length + 1, length))


def _has_padded_quotes(block: bytes) -> bool:
    # A search for two bytes takes several times as long as one for a single byte with a look at its neighbours.
    return bool((b" " in block and _PADDED_QUOTE.search(block)) or (b"\t" in block and b'\t"' in block))


def usual_sentinels() -> Sentinels:
    """Return the sentinels of a file that uses none of the usual ones (`Scan.sentinels_are_free`)."""
    return Sentinels(*_SENTINELS[:_COUNT])


def _free_sentinels(path: Path) -> Sentinels:
    used: set[int] = set()
    others = bytes(set(range(256)) - {ord(sentinel) for sentinel in _SENTINELS})
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            used.update(block.translate(None, others))
    free = [sentinel for sentinel in _SENTINELS if ord(sentinel) not in used]
    if len(free) < _COUNT:
        raise RefusedFileError(ErrorCode.BINARY_FILE)
    return Sentinels(*free[:_COUNT])
