"""The error codes: each reason for an error, what it concerns, and the sentence that the partner reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Self

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind


class Scope(StrEnum):
    """What an error concerns."""

    FILE = auto()
    """A file as a whole, which refuses the batch."""
    RECORD = auto()
    """One record: it is left out, and all others count."""
    BATCH = auto()
    """Neither: a batch, or an object that is no file of a batch."""


class ErrorCode(StrEnum):
    """The reason for an error. Codes are part of the contract of error messages, so they are never renamed.

    `sentence` is what follows "<file> line <n>: " in the message; names in braces are filled in for each error. It is
    empty where the code that reports the error words it. The codes of records are in the order in which their rules are
    checked: the record as a whole, its cells, other records.
    """

    scope: Scope
    sentence: str

    def __new__(cls, code: str, scope: Scope, sentence: str = "") -> Self:
        """Create a code; it is its own text."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.scope, member.sentence = scope, sentence
        return member

    EMPTY_FILE = "empty_file", Scope.FILE, "the file is empty; it needs at least a header line that names {columns}"
    UNREADABLE_FILE = (
        "unreadable_file",
        Scope.FILE,
        "the file can't be read, as {reason}; send it in the standard storage class, without a key of your own",
    )
    DAMAGED_GZIP = (
        "damaged_gzip",
        Scope.FILE,
        "the gzip data is cut short or damaged; compress and upload the file again",
    )
    UTF16_FILE = "utf16_file", Scope.FILE, "the file is UTF-16 text; save it as UTF-8"
    BINARY_FILE = "binary_file", Scope.FILE, "the file {reason}"
    HTML_FILE = (
        "html_file",
        Scope.FILE,
        "the file is a web page (HTML or XML) and no CSV text; export it as CSV (UTF-8)",
    )
    LINE_TOO_LONG = (
        "line_too_long",
        Scope.FILE,
        "line {number} is longer than {limit:,} bytes, which no CSV record of this kind is",
    )
    RECORD_WITHOUT_END = (
        "record_without_end",
        Scope.FILE,
        "the record at line {number} is still open after {lines:,} lines and {size:,} bytes, as no record is; close "
        "its quote",
    )
    SUSPICIOUS_GZIP = (
        "suspicious_gzip",
        Scope.FILE,
        "the gzip data unpacks to more than {limit:,} times its size, which no CSV file of this kind does; export the "
        "file again",
    )
    MISSING_COLUMN = (
        "missing_column",
        Scope.FILE,
        "the header has no column {column}; it must name {columns}{first_line}",
    )
    REPEATED_COLUMN = "repeated_column", Scope.FILE, "the header names column {column} more than once"
    UNCLOSED_QUOTE = (
        "unclosed_quote",
        Scope.FILE,
        "the quote that opens a cell in the record at line {number} is never closed",
    )
    SECOND_HEADER = (
        "second_header",
        Scope.FILE,
        "line {number} names columns again, in another order or with others than the header, so what follows it would "
        "be read wrongly; put everything under one header, and each kind of record into its own file",
    )
    REPEATED_CONTENT = (
        "repeated_content",
        Scope.FILE,
        "line {number} is the header once more, and what follows it is line by line what came before: the file was put "
        "together with itself; send it once",
    )
    AMBIGUOUS_AMOUNTS = (
        "ambiguous_amounts",
        Scope.FILE,
        "the mark in '{value}' may be a decimal mark or group thousands, and {reason}; say which mark is the decimal "
        "one with the setting decimal_mark (in a check: --decimal-mark point or comma)",
    )
    BAD_CONTROL_FILE = "bad_control_file", Scope.FILE, "line {line}, column {column}: {fault}"
    CONTROL_TOTAL_DIFFERS = (
        "control_total_differs",
        Scope.FILE,
        "the {what} {found}, but the control file says {stated}, so one of them is not what was meant; "
        "send the right one again",
    )
    FILE_TOO_LARGE = (
        "file_too_large",
        Scope.FILE,
        "the file holds more than {limit:,} bytes; send the day in a smaller file",
    )

    NOT_UTF8 = (
        "not_utf8",
        Scope.RECORD,
        "the record holds bytes that are not UTF-8 text; save the file as UTF-8",
    )
    RECORD_TOO_LONG = "record_too_long", Scope.RECORD, "the record is longer than {limit} bytes"
    BAD_QUOTING = (
        "bad_quoting",
        Scope.RECORD,
        "a quoted cell must begin and end with its quotes, and a quote inside is written twice{hint}{quotes}",
    )
    DOUBTFUL_QUOTING = (
        "doubtful_quoting",
        Scope.RECORD,
        "the quotes look stray, as a line that they make a part of this record is a record without them{quotes}",
    )
    WRONG_CELL_COUNT = (
        "wrong_cell_count",
        Scope.RECORD,
        "the record has {found} cells where the header has {expected}",
    )
    REPEATED_HEADER = "repeated_header", Scope.RECORD, "the record is the header once more"
    EMPTY_REFERENCE = "empty_reference", Scope.RECORD, "{column} is empty (a reference has a letter or a digit)"
    REFERENCE_TOO_LONG = "reference_too_long", Scope.RECORD, "{column} '{value}' is longer than {limit} bytes"
    NOT_AN_INTEGER = "not_an_integer", Scope.RECORD, "{column} '{value}' is not a whole number (such as 3){hint}"
    NOT_A_TIMESTAMP = (
        "not_a_timestamp",
        Scope.RECORD,
        "{column} '{value}' is not a time in whole Unix seconds (such as 1643646722){hint}",
    )
    AMBIGUOUS_AMOUNT = (
        "ambiguous_amount",
        Scope.RECORD,
        "{column} '{value}' may have a decimal mark or grouped thousands; say which mark is the decimal one with the "
        "setting decimal_mark (in a check: --decimal-mark point or comma)",
    )
    NOT_AN_AMOUNT = "not_an_amount", Scope.RECORD, "{column} '{value}' is not a plain decimal number: {hint}"
    NOT_ALLOWED = "not_allowed", Scope.RECORD, "{column} '{value}' is none of the values that it may have ({hint})"
    # Here come `unknown(kind)` and `refused(kind)` of each kind that has children: see RECORD_CODES.
    DUPLICATE_ID = (
        "duplicate_id",
        Scope.RECORD,
        "{column} '{value}' was already given in line {first}; no value of this column may occur twice",
    )
    CONFLICTING_REFERENCE = (
        "conflicting_reference",
        Scope.RECORD,
        "{column} '{value}' belongs to '{parent}' here and to '{other}' in another record, so neither counts",
    )
    DUPLICATE_REFERENCE = "duplicate_reference", Scope.RECORD, "{column} '{value}' was already given in line {first}"

    TOO_MANY_ERRORS = (
        "too_many_errors",
        Scope.BATCH,
        "{refused} records were refused, the first {reported} have a message each; all of them are in {rejects}",
    )
    TOO_MANY_REFUSED = (
        "too_many_refused",
        Scope.BATCH,
        "{refused} of {read} records were refused, so nothing of the batch was delivered (it is held where more than "
        "{limit} % of a file's records are refused, or all); correct the file and send it again, or ask the operator "
        "to release the batch as it is",
    )
    NO_RECORDS = (
        "no_records",
        Scope.BATCH,
        "the file has a header and 0 records{usual}, so nothing of the batch was delivered; send the file with its "
        "records, or ask the operator to release the batch if there really are none",
    )
    DAY_TOO_SMALL = (
        "day_too_small",
        Scope.BATCH,
        "the file has {read:,} records where {usual:,} are usual (it is held below {limit} %), so nothing of the batch "
        "was delivered; send the whole file, or ask the operator to release the batch as it is",
    )
    CUT_SHORT = (
        "cut_short",
        Scope.BATCH,
        "the last line, {line:,}, has no line end, but the last {files} files before it had one, so this file is "
        "probably cut short and nothing of the batch was delivered; send the whole file, or ask the operator to "
        "release the batch as it is",
    )
    TOO_MANY_REMOVED = (
        "too_many_removed",
        Scope.BATCH,
        "the correction would remove {removed:,} of the {delivered:,} {root} delivered before (it is held above "
        "{limit} %), so nothing of it was delivered; send all {root}, or ask the operator to release the batch as it "
        "is",
    )
    UNKNOWN_FILE = "unknown_file", Scope.BATCH
    """Worded in `events`, where the object's name is known."""
    MISSING_FILE = "missing_file", Scope.BATCH
    """Worded in `events`, by the check at the time when files are due."""
    RUN_FAILED = "run_failed", Scope.BATCH
    """Worded in `stages.finalize`, where the cause is known."""


def unknown(parent: RecordKind) -> str:
    """Return the code of a record whose parent is not in the parent's file."""
    return f"unknown_{parent.singular}"


def refused(parent: RecordKind) -> str:
    """Return the code of a record whose parent was refused."""
    return f"refused_{parent.singular}"


_PARENTS = tuple(kind for kind in MODEL.kinds if MODEL.children(kind))
_OF_PARENTS = {unknown(kind): f"{{column}} '{{value}}' is not in the {kind} file{{similar}}" for kind in _PARENTS} | {
    refused(kind): f"{{column}} '{{value}}' was refused in the {kind} file (line {{first}})" for kind in _PARENTS
}


def _record_codes() -> tuple[str, ...]:
    codes: list[str] = [code for code in ErrorCode if code.scope is Scope.RECORD]
    place = codes.index(ErrorCode.DUPLICATE_ID)
    return (*codes[:place], *_OF_PARENTS, *codes[place:])


FILE_CODES = frozenset(code for code in ErrorCode if code.scope is Scope.FILE)
"""The codes that refuse a whole file, and with it the batch."""

RECORD_CODES = _record_codes()
"""The codes of records in the order in which their rules are checked."""

UNASSIGNABLE_CODES = RECORD_CODES[: RECORD_CODES.index(ErrorCode.REPEATED_HEADER) + 1]
"""The codes of records whose cells can't be assigned to columns."""

SENTENCES: Mapping[str, str] = {code: code.sentence for code in ErrorCode if code.sentence} | _OF_PARENTS
"""The sentence of each code, as in `ErrorCode`."""
