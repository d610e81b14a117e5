"""The error codes: each reason for an error, what it concerns, and the sentence that the partner reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind


class ErrorCode(StrEnum):
    """The reason for an error. Codes are part of the contract of error messages, so they are never renamed.

    The codes of records whose parent is missing or was refused depend on the model: see `unknown` and `refused`.
    """

    EMPTY_FILE = auto()
    UNREADABLE_FILE = auto()
    DAMAGED_GZIP = auto()
    UTF16_FILE = auto()
    BINARY_FILE = auto()
    HTML_FILE = auto()
    LINE_TOO_LONG = auto()
    RECORD_WITHOUT_END = auto()
    SUSPICIOUS_GZIP = auto()
    MISSING_COLUMN = auto()
    REPEATED_COLUMN = auto()
    UNCLOSED_QUOTE = auto()
    SECOND_HEADER = auto()
    REPEATED_CONTENT = auto()
    AMBIGUOUS_AMOUNTS = auto()
    BAD_CONTROL_FILE = auto()
    CONTROL_TOTAL_DIFFERS = auto()
    FILE_TOO_LARGE = auto()

    NOT_UTF8 = auto()
    RECORD_TOO_LONG = auto()
    BAD_QUOTING = auto()
    DOUBTFUL_QUOTING = auto()
    WRONG_CELL_COUNT = auto()
    REPEATED_HEADER = auto()
    EMPTY_REFERENCE = auto()
    REFERENCE_TOO_LONG = auto()
    NOT_AN_INTEGER = auto()
    NOT_A_TIMESTAMP = auto()
    AMBIGUOUS_AMOUNT = auto()
    NOT_AN_AMOUNT = auto()
    NOT_ALLOWED = auto()
    DUPLICATE_ID = auto()
    CONFLICTING_REFERENCE = auto()
    DUPLICATE_REFERENCE = auto()

    TOO_MANY_ERRORS = auto()
    TOO_MANY_REFUSED = auto()
    NO_RECORDS = auto()
    DAY_TOO_SMALL = auto()
    CUT_SHORT = auto()
    TOO_MANY_REMOVED = auto()
    UNKNOWN_FILE = auto()
    MISSING_FILE = auto()
    RUN_FAILED = auto()


def unknown(parent: RecordKind) -> str:
    """Return the code of a record whose parent is not in the parent's file."""
    return f"unknown_{parent.singular}"


def refused(parent: RecordKind) -> str:
    """Return the code of a record whose parent was refused."""
    return f"refused_{parent.singular}"


_PARENTS = tuple(kind for kind in MODEL.kinds if MODEL.children(kind))

# A sentence is what follows "<file> line <n>: " in the message; names in braces are filled in for each error.

FILE_SENTENCES: dict[str, str] = {
    ErrorCode.EMPTY_FILE: "the file is empty; it needs at least a header line that names {columns}",
    ErrorCode.UNREADABLE_FILE: (
        "the file can't be read, as {reason}; send it in the standard storage class, without a key of your own"
    ),
    ErrorCode.DAMAGED_GZIP: "the gzip data is cut short or damaged; compress and upload the file again",
    ErrorCode.UTF16_FILE: "the file is UTF-16 text; save it as UTF-8",
    ErrorCode.BINARY_FILE: "the file {reason}",
    ErrorCode.HTML_FILE: "the file is a web page (HTML or XML) and no CSV text; export it as CSV (UTF-8)",
    ErrorCode.LINE_TOO_LONG: "line {number} is longer than {limit:,} bytes, which no CSV record of this kind is",
    ErrorCode.RECORD_WITHOUT_END: (
        "the record at line {number} is still open after {lines:,} lines and {size:,} bytes, as no record is; close"
        " its quote"
    ),
    ErrorCode.SUSPICIOUS_GZIP: (
        "the gzip data unpacks to more than {limit:,} times its size, which no CSV file of this kind does; export "
        "the file again"
    ),
    ErrorCode.MISSING_COLUMN: "the header has no column {column}; it must name {columns}{first_line}",
    ErrorCode.REPEATED_COLUMN: "the header names column {column} more than once",
    ErrorCode.UNCLOSED_QUOTE: "the quote that opens a cell in the record at line {number} is never closed",
    ErrorCode.SECOND_HEADER: (
        "line {number} names columns again, in another order or with others than the header, so what follows it "
        "would be read wrongly; put everything under one header, and each kind of record into its own file"
    ),
    ErrorCode.REPEATED_CONTENT: (
        "line {number} is the header once more, and what follows it is line by line what came before: the file was "
        "put together with itself; send it once"
    ),
    ErrorCode.AMBIGUOUS_AMOUNTS: (
        "the mark in '{value}' may be a decimal mark or group thousands, and {reason}; say which mark is the "
        "decimal one with the setting decimal_mark (in a check: --decimal-mark point or comma)"
    ),
    ErrorCode.BAD_CONTROL_FILE: "line {line}, column {column}: {fault}",
    ErrorCode.CONTROL_TOTAL_DIFFERS: (
        "the {what} {found}, but the control file says {stated}, so one of them is not what was meant; send the "
        "right one again"
    ),
    ErrorCode.FILE_TOO_LARGE: "the file holds more than {limit:,} bytes; send the day in a smaller file",
}
"""The codes that refuse a whole file, and with it the batch."""

RECORD_SENTENCES: dict[str, str] = {
    ErrorCode.NOT_UTF8: "the record holds bytes that are not UTF-8 text; save the file as UTF-8",
    ErrorCode.RECORD_TOO_LONG: "the record is longer than {limit} bytes",
    ErrorCode.BAD_QUOTING: (
        "a quoted cell must begin and end with its quotes, and a quote inside is written twice{hint}{quotes}"
    ),
    ErrorCode.DOUBTFUL_QUOTING: (
        "the quotes look stray, as a line that they make a part of this record is a record without them{quotes}"
    ),
    ErrorCode.WRONG_CELL_COUNT: "the record has {found} cells where the header has {expected}",
    ErrorCode.REPEATED_HEADER: "the record is the header once more",
    ErrorCode.EMPTY_REFERENCE: "{column} is empty (a reference has a letter or a digit)",
    ErrorCode.REFERENCE_TOO_LONG: "{column} '{value}' is longer than {limit} bytes",
    ErrorCode.NOT_AN_INTEGER: "{column} '{value}' is not a whole number (such as 3){hint}",
    ErrorCode.NOT_A_TIMESTAMP: "{column} '{value}' is not a time in whole Unix seconds (such as 1643646722){hint}",
    ErrorCode.AMBIGUOUS_AMOUNT: (
        "{column} '{value}' may have a decimal mark or grouped thousands; say which mark is the decimal one with "
        "the setting decimal_mark (in a check: --decimal-mark point or comma)"
    ),
    ErrorCode.NOT_AN_AMOUNT: "{column} '{value}' is not a plain decimal number: {hint}",
    ErrorCode.NOT_ALLOWED: "{column} '{value}' is none of the values that it may have ({hint})",
    **{unknown(kind): f"{{column}} '{{value}}' is not in the {kind} file{{similar}}" for kind in _PARENTS},
    **{refused(kind): f"{{column}} '{{value}}' was refused in the {kind} file (line {{first}})" for kind in _PARENTS},
    ErrorCode.DUPLICATE_ID: (
        "{column} '{value}' was already given in line {first}; no value of this column may occur twice"
    ),
    ErrorCode.CONFLICTING_REFERENCE: (
        "{column} '{value}' belongs to '{parent}' here and to '{other}' in another record, so neither counts"
    ),
    ErrorCode.DUPLICATE_REFERENCE: "{column} '{value}' was already given in line {first}",
}
"""The codes of refused records in the order in which their rules are checked: the record, its cells, other records."""

BATCH_SENTENCES: dict[str, str] = {
    ErrorCode.TOO_MANY_ERRORS: (
        "{refused} records were refused, the first {reported} have a message each; all of them are in {rejects}"
    ),
    ErrorCode.TOO_MANY_REFUSED: (
        "{refused} of {read} records were refused, so nothing of the batch was delivered (it is held where more "
        "than {limit} % of a file's records are refused, or all); correct the file and send it again, or ask the "
        "operator to release the batch as it is"
    ),
    ErrorCode.NO_RECORDS: (
        "the file has a header and 0 records{usual}, so nothing of the batch was delivered; send the file with its "
        "records, or ask the operator to release the batch if there really are none"
    ),
    ErrorCode.DAY_TOO_SMALL: (
        "the file has {read:,} records where {usual:,} are usual (it is held below {limit} %), so nothing of the "
        "batch was delivered; send the whole file, or ask the operator to release the batch as it is"
    ),
    ErrorCode.CUT_SHORT: (
        "the last line, {line:,}, has no line end, but the last {files} files before it had one, so this file is "
        "probably cut short and nothing of the batch was delivered; send the whole file, or ask the operator to "
        "release the batch as it is"
    ),
    ErrorCode.TOO_MANY_REMOVED: (
        "the correction would remove {removed:,} of the {delivered:,} {root} delivered before (it is held above "
        "{limit} %), so nothing of it was delivered; send all {root}, or ask the operator to release the batch as "
        "it is"
    ),
}
"""The codes that concern a batch. Not here: an object that is no file of a batch, a missing file and a failed run,
which are worded where the object's name or the cause is known (`events`, `stages.finalize`)."""

SENTENCES: Mapping[str, str] = FILE_SENTENCES | RECORD_SENTENCES | BATCH_SENTENCES
RECORD_CODES = tuple(RECORD_SENTENCES)
UNASSIGNABLE_CODES = RECORD_CODES[: RECORD_CODES.index(ErrorCode.REPEATED_HEADER) + 1]
"""The codes of records whose cells can't be assigned to columns."""
