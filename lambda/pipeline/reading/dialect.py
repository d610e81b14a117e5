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

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS

BLOCK = 1 << 20
"""Bytes that are examined at a time. If every block has a line end, no line is as long as two blocks."""

MAX_GZIP_RATIO = 250
"""Most bytes that a byte of gzip data may unpack to; CSV files have 3 to 30, blank lines 1,000."""

_USUAL_UNPACKED = 64 * BLOCK
"""A file that unpacks to no more bytes may have any ratio: it is read in seconds, whatever it holds."""

DELIMITERS = (",", ";", "\t", "|")

MAX_LINE = 16 * BLOCK
"""Longest physical line in bytes; a file with a longer one is refused."""

_SENTINELS = "\x1f\x1e\x1d\x1c\x1a" + "".join(map(chr, range(1, 9))) + "\x0b\x0c" + "".join(map(chr, range(14, 26)))
_LINE_END = re.compile(rb"[\r\n]")
_HTML = re.compile(rb"\s*<(!doctype|html|\?xml|head|body|!--)", re.IGNORECASE)
_PADDED_QUOTE = re.compile(rb' (?:(?=")|(?<=" ))')
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet (xlsx)",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x1f\x8b": "compressed with gzip twice",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ\0": "compressed with xz",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (xls)",
    b"%PDF-": "a PDF document",
    b"PAR1": "a Parquet file",
}
_TAIL = 1 << 16
"""Bytes at the end of a file in which its last line is sought."""
_TAR = slice(257, 262)
"""Where a tar archive has the text `ustar`."""
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
USUAL_SENTINELS = Sentinels(*_SENTINELS[:_COUNT])


@dataclass(slots=True)
class ByteProfile:
    """What the bytes of an unpacked text file, or of a part of one, show."""

    path: Path = Path()
    sentinels: Sentinels = USUAL_SENTINELS
    lines: int = 0
    """Physical lines: line ends of any kind, plus one if the last line has none."""
    has_quotes: bool = False
    is_uniform: bool = True
    """Whether all bytes are valid UTF-8, all lines end with LF or all with CRLF, and no line is very long."""
    has_crlf: bool = False
    has_long_lines: bool = False
    """Whether a line may exceed the limit for a record."""
    blank_end: int = 0
    """Empty lines at the end of the file, as far as they follow other lines within its last block."""
    has_final_line_end: bool = True
    """Whether the last line that is not blank ends with a line end."""
    names: int = 0
    """How often required columns of any kind are named, at least (more often than in the header, if it may repeat)."""
    has_padded_quotes: bool = False
    """Whether a space or a tab is next to a quote anywhere, except for a tab after it."""
    has_usual_sentinels: bool = False
    """Whether one of the usual sentinels occurs in the file."""


COLUMN_NAMES = frozenset(column.name for kind in MODEL.kinds for column in kind.required)
"""The names of the required columns of all kinds."""
_LONGEST_NAME = max(map(len, COLUMN_NAMES))
_RAREST_BYTES = {name.encode(): min(name, key="_qjzxkvwbygpfmdhculniroatse".find).encode() for name in COLUMN_NAMES}
"""The names, each with the one of its bytes that texts have least often."""
_BLANK = INVISIBLE_CHARACTERS + "".join(DELIMITERS) + '"'


def count_names(text: bytes) -> int:
    """Count the occurrences of required columns, where two of them may be: a header has at least two."""
    # The search for a single byte takes a fraction of the time of one for a name.
    present = [byte for byte in set(_RAREST_BYTES.values()) if byte in text or byte.upper() in text]
    possible = [name for name, byte in _RAREST_BYTES.items() if byte in present]
    if len(possible) < 2:
        return 0
    lowered = text.lower()
    counts = list(map(lowered.count, possible))
    # A single name without an underscore is a word of a text.
    return sum(counts) if b"_" in text or sum(map(bool, counts)) > 1 else 0


def is_blank(line: bytes) -> bool:
    """Return whether a line has only empty cells."""
    return not line.decode(errors="backslashreplace").replace('""', "").strip(_BLANK)


def required_columns(kind: RecordKind) -> str:
    """Return the columns that a file of this kind must have, as text for a sentence."""
    return ", ".join(column.name for column in kind.required)


def read_profile(path: Path, kind: RecordKind, workdir: Path, max_unpacked: int | None = None) -> ByteProfile:
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
    profiler = _Profiler(path)
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            if profiler.is_new:
                _refuse_foreign_formats(block)
            profiler.update(block)
        if profiler.is_new:
            raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
        profile = profiler.finish()
        file.seek(max(file.tell() - _TAIL, 0))
        profile.has_final_line_end = is_blank(_LINE_END.split(file.read())[-1])
    if profile.has_usual_sentinels:
        profile.sentinels = _free_sentinels(path)
    return profile


def _unpack(source: Path, target: Path, max_unpacked: int | None) -> None:
    size = 0
    try:
        with gzip.open(source, "rb") as packed, target.open("wb") as plain:
            while block := packed.read(BLOCK):
                size += len(block)
                if size > max(MAX_GZIP_RATIO * source.stat().st_size, _USUAL_UNPACKED):
                    raise RefusedFileError(ErrorCode.SUSPICIOUS_GZIP, limit=MAX_GZIP_RATIO)
                if max_unpacked is not None and size > max_unpacked:
                    raise RefusedFileError(ErrorCode.FILE_TOO_LARGE, limit=max_unpacked)
                plain.write(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedFileError(ErrorCode.DAMAGED_GZIP) from error


def _refuse_foreign_formats(start: bytes) -> None:
    """Raise RefusedFileError if the first bytes of a file show another format."""
    what = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), None)
    if what or start[_TAR] == b"ustar":
        what = what or "a tar archive"
        raise RefusedFileError(
            ErrorCode.BINARY_FILE, reason=f"is {what}: send the CSV itself, or compress it with gzip"
        )
    if start.startswith(_UTF16_BOMS) or (len(start) > 3 and (start[0:4:2] == b"\0\0" or start[1:4:2] == b"\0\0")):
        raise RefusedFileError(ErrorCode.UTF16_FILE)
    if _HTML.match(start.removeprefix(codecs.BOM_UTF8)):
        raise RefusedFileError(ErrorCode.HTML_FILE)


class _Profiler:
    """Makes the profile of a file block by block, with `bytes` methods that run at memory speed."""

    def __init__(self, path: Path) -> None:
        self._profile = ByteProfile(path)
        self._lf = self._cr = self._crlf = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_in_character = False
        self._last = b""

    @property
    def is_new(self) -> bool:
        """Whether there was no block yet."""
        return not self._last

    def update(self, block: bytes) -> None:
        """Add the next block; raise RefusedFileError if it is binary data."""
        found = self._profile
        if b"\0" in block:
            raise RefusedFileError(ErrorCode.BINARY_FILE, reason=self._place_of_nul(block))
        found.lines += self._line_ends(block)
        found.has_long_lines |= not has_short_lines(block, BLOCK // 3)
        found.has_quotes |= b'"' in block
        found.has_padded_quotes = found.has_padded_quotes or any(
            map(_has_padded_quotes, (block, self._last[-1:] + block[:1]))
        )
        found.has_usual_sentinels |= any(sentinel.encode() in block for sentinel in _SENTINELS[:_COUNT])
        found.is_uniform = found.is_uniform and self._is_utf8(block) and has_short_lines(block, BLOCK)
        found.names += count_names(block)
        if self._last:
            found.names += count_names(self._last[1 - _LONGEST_NAME :] + block[: _LONGEST_NAME - 1])
        end = block.replace(b"\r\n", b"\n") if block.endswith(b"\r\n\r\n") else block
        found.blank_end = max(len(end) - len(end.rstrip(b"\n")) - 1, 0)
        self._last = block[-_LONGEST_NAME:]

    def finish(self) -> ByteProfile:
        """Return the profile, with the properties that are known only at the end of the file."""
        found = self._profile
        found.lines += not self._last.endswith((b"\n", b"\r"))
        found.has_crlf = self._crlf > 0
        found.is_uniform &= not self._is_in_character and self._cr == self._crlf and self._crlf in (0, self._lf)
        return found

    def _place_of_nul(self, block: bytes) -> str:
        """Say where the first NUL is; the column counts from the start of the line or of the block."""
        before = block[: block.index(b"\0")]
        line = self._profile.lines + self._line_ends(before) + 1
        column = len(before) - max(before.rfind(b"\n"), before.rfind(b"\r"))
        return f"has a NUL in line {line}, column {column}, so it is no CSV text: export it as CSV (UTF-8)"

    def _line_ends(self, block: bytes) -> int:
        lf, cr, crlf = block.count(b"\n"), 0, int(self._last.endswith(b"\r") and block.startswith(b"\n"))
        if b"\r" in block:
            cr, crlf = block.count(b"\r"), crlf + block.count(b"\r\n")
        self._lf, self._cr, self._crlf = self._lf + lf, self._cr + cr, self._crlf + crlf
        return lf + cr - crlf

    def _is_utf8(self, block: bytes) -> bool:
        if block.isascii() and not self._is_in_character:
            return True
        try:
            self._decoder.decode(block)
        except UnicodeDecodeError:
            return False
        self._is_in_character = bool(self._decoder.getstate()[0])
        return True


def has_short_lines(block: bytes, length: int) -> bool:
    """Return whether each whole piece of this length has a line end; then no line is twice as long."""
    return all(block.find(b"\n", start, start + length) >= 0 for start in range(0, len(block) - length + 1, length))


def _has_padded_quotes(block: bytes) -> bool:
    # A search for two bytes takes several times as long as one for a single byte with a look at its neighbours.
    return b'"' in block and bool(
        (b" " in block and _PADDED_QUOTE.search(block)) or (b"\t" in block and b'\t"' in block)
    )


def _free_sentinels(path: Path) -> Sentinels:
    used: set[int] = set()
    others = bytes(set(range(256)) - {ord(sentinel) for sentinel in _SENTINELS})
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            used.update(block.translate(None, others))
    free = [sentinel for sentinel in _SENTINELS if ord(sentinel) not in used]
    if len(free) < _COUNT:
        raise RefusedFileError(ErrorCode.BINARY_FILE, reason="has nearly every control character, so it is no CSV text")
    return Sentinels(*free[:_COUNT])
