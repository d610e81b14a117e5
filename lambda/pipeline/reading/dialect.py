"""What the bytes of a received file are: plain lines of text or not, and what its header says about its dialect."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.data_model import KINDS, ROW_ID, Kind
from pipeline.model.error_codes import SENTENCES, ErrorCode

BLANKS = " \t\r\n\u00a0"
"""What is trimmed from references, numbers and header names: blank, tab, line ends and the no-break space."""

DELIMITERS = (",", ";", "\t", "|")

BLOCK = 1 << 20
"""Bytes that are looked at in one go. A file with a line end in every block has no line of two blocks or more."""

MAX_LINE = 16 * BLOCK
"""No physical line may be longer: beyond it lies no CSV of customers, orders or items."""

_SENTINELS = "\x1f\x1e\x1d\x1c\x1a" + "".join(map(chr, range(1, 9))) + "\x0b\x0c" + "".join(map(chr, range(14, 26)))
_HTML = re.compile(rb"\s*<(!doctype|html|\?xml|head|body|!--)", re.IGNORECASE)
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class RefusedFileError(Exception):
    """The file as a whole can't be used; the text is the reason without the file's name."""

    def __init__(self, code: ErrorCode, **details: object) -> None:
        super().__init__(SENTENCES[code].format(**details))
        self.code = code


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Three control characters that the file does not use, so that they can stand for something else.

    `cell` is what DuckDB takes for a delimiter, so that it reads whole lines; `newline` stands for a line end in a
    quoted cell, `invalid` begins a record with bytes that were no UTF-8.
    """

    cell: str
    newline: str
    invalid: str


@dataclass(frozen=True, slots=True)
class Text:
    """A plain, unpacked text file and what its bytes are like."""

    path: Path
    lines: int
    has_quotes: bool
    is_regular: bool
    """Valid UTF-8 throughout, all lines end with a line feed and none is long."""
    sentinels: Sentinels


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file decides about the rest of it."""

    delimiter: str
    names: tuple[str, ...]
    positions: dict[str, int]
    """Cell number, from 1, of each column that is read."""
    ignored: tuple[str, ...]
    skip: int
    """Records, blank lines included, up to and with the header."""
    lines: int
    """Physical lines of these records."""


class Grammar:
    r"""The form of one record under a delimiter, as regular expressions that Python and RE2 both read.

    A quoted cell begins and ends with its quotes and holds a quote only doubled. An unquoted cell does not begin
    with a quote, not even after blanks, since `"a", "b"` is more likely meant as quoted; elsewhere in it a quote is
    an ordinary character (`5" pipe`).
    """

    def __init__(self, delimiter: str) -> None:
        d = re.escape(delimiter)
        blank = " " if delimiter == "\t" else r" \t"
        self.quoted = r'"[^"]*(?:""[^"]*)*"'
        self.unquoted = rf'[{blank}]*(?:[^{blank}"{d}][^{d}]*)?'
        self.cell = f"(?:{self.quoted}|{self.unquoted})"
        self.record = f"{self.cell}(?:{d}{self.cell})*"
        quoted, unquoted = (text.encode() for text in (_possessive(self.quoted), self.unquoted))
        cell, d_bytes = b"(?:%s|%s)" % (quoted, unquoted), d.encode()
        opened = rb'"[^"]*+(?:""[^"]*+)*+'
        self._whole = re.compile(rb"%s(?:%s%s)*+" % (cell, d_bytes, cell))
        self._open = re.compile(rb"(?:%s%s)*+%s" % (cell, d_bytes, opened))
        self._rest = re.compile(rb'[^"]*+(?:""[^"]*+)*+"(?:%s|$)' % d_bytes)
        self._inside = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
        self._cells = re.compile(f"({_possessive(self.quoted)}|{self.unquoted})(?:{d}|$)")

    def is_open_after(self, line: bytes, was_open: bool) -> bool:
        """Tell whether a quoted cell reaches beyond the end of this line.

        After a cell whose quotes are wrong nothing is open: the record is refused, and it ends with its line.
        """
        start = 0
        if was_open:
            if self._inside.fullmatch(line):
                return True
            rest = self._rest.match(line)
            if rest is None or rest.end() == len(line):
                return False
            start = rest.end()
        return self._whole.fullmatch(line, start) is None and self._open.fullmatch(line, start) is not None

    def split(self, record: str) -> list[str] | None:
        """Return the cells of a record without their quotes, or None where its quotes are wrong."""
        cells: list[str] = []
        position = 0
        while match := self._cells.match(record, position):
            cell = match[1]
            cells.append(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell)
            position = match.end()
            if position == len(record) and match.end(1) == position:
                return cells
        return None


def _possessive(pattern: str) -> str:
    return pattern.replace(")*", ")*+").replace("]*", "]*+")


def required_columns(kind: Kind) -> str:
    """Name the columns a file of this kind must have, for a sentence."""
    return ", ".join(column.name for column in KINDS[kind].columns)


def read_text(path: Path, kind: Kind, workdir: Path, max_unpacked: int | None = None) -> Text:
    """Unpack the file where it is gzip, look at all its bytes once and refuse what is no text.

    A plain file is not copied, and nothing is held in memory beyond one block.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        unpacked = workdir / f"{kind}.unpacked.csv"
        _unpack(path, unpacked, max_unpacked)
        path = unpacked
    scan = _Scan()
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            if not size:
                _refuse_foreign_formats(block)
            size += len(block)
            scan.look_at(block)
    if not size:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    scan.finish()
    sentinels = Sentinels(*_SENTINELS[:3]) if scan.sentinels_are_free else _free_sentinels(path)
    return Text(path, scan.lines, scan.has_quotes, scan.is_regular, sentinels)


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


def _refuse_foreign_formats(start: bytes) -> None:
    if start.startswith(_UTF16_BOMS) or (len(start) > 3 and (start[0:4:2] == b"\0\0" or start[1:4:2] == b"\0\0")):
        raise RefusedFileError(ErrorCode.UTF16_FILE)
    if _HTML.match(start.removeprefix(codecs.BOM_UTF8)):
        raise RefusedFileError(ErrorCode.HTML_FILE)


class _Scan:
    """Facts about a file, gathered block by block with searches that run at memory speed."""

    def __init__(self) -> None:
        self.lines = 0
        self.has_quotes = False
        self.is_regular = True
        self.sentinels_are_free = True
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = False
        self._last = b""

    def look_at(self, block: bytes) -> None:
        if b"\0" in block:
            raise RefusedFileError(ErrorCode.BINARY_FILE)
        self.lines += block.count(b"\n")
        self.has_quotes = self.has_quotes or b'"' in block
        self.sentinels_are_free = self.sentinels_are_free and not any(
            sentinel.encode() in block for sentinel in _SENTINELS[:3]
        )
        self.is_regular = self.is_regular and b"\r" not in block and self._is_utf8(block) and self._is_short(block)
        self._last = block[-1:]

    def finish(self) -> None:
        self.lines += self._last != b"\n"
        self.is_regular = self.is_regular and not self._pending

    def _is_utf8(self, block: bytes) -> bool:
        if not self._pending and block.isascii():
            return True
        try:
            self._decoder.decode(block)
        except UnicodeDecodeError:
            return False
        self._pending = bool(self._decoder.getstate()[0])
        return True

    def _is_short(self, block: bytes) -> bool:
        return len(block) < BLOCK or b"\n" in block


def _free_sentinels(path: Path) -> Sentinels:
    used: set[int] = set()
    others = bytes(set(range(256)) - {ord(sentinel) for sentinel in _SENTINELS})
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            used.update(block.translate(None, others))
    free = [sentinel for sentinel in _SENTINELS if ord(sentinel) not in used]
    if len(free) < 3:
        raise RefusedFileError(ErrorCode.BINARY_FILE)
    return Sentinels(*free[:3])


def read_header(path: Path, kind: Kind) -> Header:
    """Read the header record and decide by it which delimiter the file has and where its columns are."""
    with path.open("rb") as file:
        start = file.read(BLOCK)
    blank, lines = 0, _lines(start.removeprefix(codecs.BOM_UTF8))
    for line in lines:
        if line.strip(b" "):
            break
        blank += 1
    else:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    following = list(_take(lines, 100))
    readings = [_read(delimiter, line, following) for delimiter in DELIMITERS]
    required = {column.name for column in KINDS[kind].columns}
    found = max(readings, key=lambda reading: len(required & set(reading.names)))
    if missing := [column.name for column in KINDS[kind].columns if column.name not in found.names]:
        # What was found is not told: where the header is missing, it is a record, with a customer's name in it.
        raise RefusedFileError(ErrorCode.MISSING_COLUMN, column=" and ".join(missing), columns=required_columns(kind))
    counts = Counter(found.names)
    read = required | {ROW_ID}
    if repeated := [name for name in counts if name in read and counts[name] > 1]:
        raise RefusedFileError(ErrorCode.REPEATED_COLUMN, column=" and ".join(repeated))
    positions = {name: number for number, name in enumerate(found.names, 1) if name in read}
    ignored = tuple(name for name in found.names if name not in read)
    return Header(found.delimiter, found.names, positions, ignored, blank + 1, blank + found.lines)


@dataclass(frozen=True, slots=True)
class _Reading:
    delimiter: str
    names: tuple[str, ...]
    lines: int


def _read(delimiter: str, line: bytes, following: list[bytes]) -> _Reading:
    """Read the header under one delimiter; names of nothing where its quotes are wrong."""
    grammar = Grammar(delimiter)
    record = [line]
    is_open = grammar.is_open_after(line, was_open=False)
    for more in following:
        if not is_open:
            break
        record.append(more)
        is_open = grammar.is_open_after(more, was_open=True)
    cells = grammar.split(b"\n".join(record).decode("utf-8", "backslashreplace")) or []
    return _Reading(delimiter, tuple(cell.strip(BLANKS).lower() for cell in cells), len(record))


def _lines(data: bytes) -> Iterator[bytes]:
    yield from re.split(rb"\r\n|\r|\n", data) if data else ()


def _take(lines: Iterator[bytes], count: int) -> Iterator[bytes]:
    for _, line in zip(range(count), lines, strict=False):
        yield line
