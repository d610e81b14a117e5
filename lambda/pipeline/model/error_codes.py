"""The error codes: each reason to refuse a record or a file, with the sentence that the partner reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ErrorCode(StrEnum):
    """The reason for an error. Codes are part of the contract of error messages, so they are never renamed."""

    # The file as a whole: the batch is refused.
    EMPTY_FILE = "empty_file"
    DAMAGED_GZIP = "damaged_gzip"
    UTF16_FILE = "utf16_file"
    BINARY_FILE = "binary_file"
    HTML_FILE = "html_file"
    LINE_TOO_LONG = "line_too_long"
    MISSING_COLUMN = "missing_column"
    REPEATED_COLUMN = "repeated_column"
    UNCLOSED_QUOTE = "unclosed_quote"
    SECOND_HEADER = "second_header"
    AMBIGUOUS_AMOUNTS = "ambiguous_amounts"
    FILE_TOO_LARGE = "file_too_large"
    # One record: it is left out, and all others count.
    NOT_UTF8 = "not_utf8"
    RECORD_TOO_LONG = "record_too_long"
    BAD_QUOTING = "bad_quoting"
    DOUBTFUL_QUOTING = "doubtful_quoting"
    WRONG_CELL_COUNT = "wrong_cell_count"
    REPEATED_HEADER = "repeated_header"
    EMPTY_REFERENCE = "empty_reference"
    REFERENCE_TOO_LONG = "reference_too_long"
    NOT_AN_INTEGER = "not_an_integer"
    NOT_A_TIMESTAMP = "not_a_timestamp"
    NOT_AN_AMOUNT = "not_an_amount"
    AMBIGUOUS_AMOUNT = "ambiguous_amount"
    UNKNOWN_CUSTOMER = "unknown_customer"
    UNKNOWN_ORDER = "unknown_order"
    REFUSED_CUSTOMER = "refused_customer"
    REFUSED_ORDER = "refused_order"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_REFERENCE = "duplicate_reference"
    # Not about a record's content.
    TOO_MANY_ERRORS = "too_many_errors"
    TOO_MANY_REFUSED = "too_many_refused"
    UNKNOWN_FILE = "unknown_file"
    """Worded in `events`, where the object's name is known."""
    MISSING_FILE = "missing_file"
    """Worded in `events`, by the check at the time when files are due."""
    RUN_FAILED = "run_failed"
    """Worded in `stages.finalize`, where the cause is known."""


FILE_CODES = frozenset(
    {
        ErrorCode.EMPTY_FILE,
        ErrorCode.DAMAGED_GZIP,
        ErrorCode.UTF16_FILE,
        ErrorCode.BINARY_FILE,
        ErrorCode.HTML_FILE,
        ErrorCode.LINE_TOO_LONG,
        ErrorCode.MISSING_COLUMN,
        ErrorCode.REPEATED_COLUMN,
        ErrorCode.UNCLOSED_QUOTE,
        ErrorCode.SECOND_HEADER,
        ErrorCode.AMBIGUOUS_AMOUNTS,
        ErrorCode.FILE_TOO_LARGE,
    }
)
"""The codes that refuse a whole file, and with it the batch."""

RECORD_CODES = (
    ErrorCode.NOT_UTF8,
    ErrorCode.RECORD_TOO_LONG,
    ErrorCode.BAD_QUOTING,
    ErrorCode.DOUBTFUL_QUOTING,
    ErrorCode.WRONG_CELL_COUNT,
    ErrorCode.REPEATED_HEADER,
    ErrorCode.EMPTY_REFERENCE,
    ErrorCode.REFERENCE_TOO_LONG,
    ErrorCode.NOT_AN_INTEGER,
    ErrorCode.NOT_A_TIMESTAMP,
    ErrorCode.AMBIGUOUS_AMOUNT,
    ErrorCode.NOT_AN_AMOUNT,
    ErrorCode.UNKNOWN_CUSTOMER,
    ErrorCode.UNKNOWN_ORDER,
    ErrorCode.REFUSED_CUSTOMER,
    ErrorCode.REFUSED_ORDER,
    ErrorCode.DUPLICATE_ID,
    ErrorCode.DUPLICATE_REFERENCE,
)
"""The codes of records in the order in which their rules are checked: record as a whole, cells, other records."""

SENTENCES: Mapping[ErrorCode, str] = {
    ErrorCode.EMPTY_FILE: "the file is empty; it needs at least a header line that names {columns}",
    ErrorCode.DAMAGED_GZIP: "the gzip data is cut short or damaged; compress and upload the file again",
    ErrorCode.UTF16_FILE: "the file is UTF-16 text; save it as UTF-8",
    ErrorCode.BINARY_FILE: "the file is binary data and no CSV text; export it as CSV (UTF-8)",
    ErrorCode.HTML_FILE: "the file is a web page (HTML or XML) and no CSV text; export it as CSV (UTF-8)",
    ErrorCode.LINE_TOO_LONG: "line {number} is longer than {limit:,} bytes, which no CSV record of this kind is",
    ErrorCode.MISSING_COLUMN: "the header has no column {column}; it must name {columns}",
    ErrorCode.REPEATED_COLUMN: "the header names column {column} more than once",
    ErrorCode.UNCLOSED_QUOTE: "the quote that opens a cell in the record at line {number} is never closed",
    ErrorCode.SECOND_HEADER: (
        "line {number} names the columns again, in another order or with others than the header, so what follows it "
        "would be read wrongly; put everything under one header"
    ),
    ErrorCode.AMBIGUOUS_AMOUNTS: (
        "the comma in '{value}' may be a decimal mark or group thousands, as three digits follow each comma in the "
        "file's amounts; write thousands without a mark and decimals with 2 or 4 digits (1234 or 1,23)"
    ),
    ErrorCode.FILE_TOO_LARGE: "the file holds more than {limit:,} bytes; send the day in a smaller file",
    ErrorCode.NOT_UTF8: "the record holds bytes that are not UTF-8 text; save the file as UTF-8",
    ErrorCode.RECORD_TOO_LONG: "the record is longer than {limit} bytes",
    ErrorCode.BAD_QUOTING: (
        "a quoted cell must begin and end with its quotes, and a quote inside is written twice{quotes}"
    ),
    ErrorCode.DOUBTFUL_QUOTING: (
        "the quotes look stray, as each of the lines that they make one record is a whole record without them{quotes}"
    ),
    ErrorCode.WRONG_CELL_COUNT: "the record has {found} cells where the header has {expected}",
    ErrorCode.REPEATED_HEADER: "the record is the header once more",
    ErrorCode.EMPTY_REFERENCE: "{column} is empty",
    ErrorCode.REFERENCE_TOO_LONG: "{column} '{value}' is longer than {limit} bytes",
    ErrorCode.NOT_AN_INTEGER: "{column} '{value}' is not a whole number (such as 3)",
    ErrorCode.NOT_A_TIMESTAMP: "{column} '{value}' is not a time in whole Unix seconds (such as 1643646722)",
    ErrorCode.NOT_AN_AMOUNT: "{column} '{value}' is not a plain decimal number ({hint})",
    ErrorCode.AMBIGUOUS_AMOUNT: (
        "{column} '{value}' has a decimal point, but other amounts of the file have a decimal comma; use one of them"
    ),
    ErrorCode.UNKNOWN_CUSTOMER: "{column} '{value}' is not in the customers file",
    ErrorCode.UNKNOWN_ORDER: "{column} '{value}' is not in the orders file",
    ErrorCode.REFUSED_CUSTOMER: "{column} '{value}' was refused in the customers file",
    ErrorCode.REFUSED_ORDER: "{column} '{value}' was refused in the orders file",
    ErrorCode.DUPLICATE_ID: "{column} '{value}' was already given in line {first}",
    ErrorCode.DUPLICATE_REFERENCE: "{column} '{value}' was already given in line {first}",
    ErrorCode.TOO_MANY_ERRORS: (
        "{refused} records were refused, the first {reported} have a message each; all of them are in {rejects}"
    ),
    ErrorCode.TOO_MANY_REFUSED: (
        "{refused} of {read} records were refused, so nothing of the batch was delivered (it is held where more than "
        "{limit} % of a file's records are refused, or all); correct the file and send it again, or ask the operator "
        "to release the batch as it is"
    ),
}
"""What follows "<file> line <n>: " in the message. Names in braces are filled in per error."""
