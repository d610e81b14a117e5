"""The vocabulary of `data_model`: kinds of records with their columns, how they are related, and what is measured.

A day is a tree of kinds. Each record of a kind other than the root names its parent, a record of the parent's kind. The
result of a day is, for each record of the root kind, a few measures: the number of records below it, or the sum of one
of their columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pipeline.errors import PipelineError


class ColumnType(StrEnum):
    """How the text of a cell is read."""

    TEXT = "text"
    """Any text, including the empty one."""
    REFERENCE = "reference"
    """Identifies a record: trimmed, not empty, compared exactly."""
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    """Whole seconds since 1970-01-01 UTC."""
    AMOUNT = "amount"
    """A plain decimal number with up to 14 digits before the decimal mark and up to 4 after it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file.

    A file without a required column is refused. An optional column (`required=False`) may be absent and its cells may
    be empty; a cell that is not empty must be valid. The values of a `unique` column, empty ones apart, must not occur
    twice in a file. A text with `allowed` values must be one of them.
    """

    name: str
    type: ColumnType = ColumnType.TEXT
    required: bool = True
    unique: bool = False
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parent:
    """The kind that records belong to, and the column of theirs that names the record of that kind."""

    kind: RecordKind
    column: str


class RecordKind(str):
    """The records of one kind: one file a day. A kind is its name, so it is also the key of all that is kept by kind.

    Parameters
    ----------
    name
        The plural, which begins the file's name.
    singular
        The word for one record.
    identity
        The column whose values are unique among the records of a day.
    """

    __slots__ = ("columns", "identity", "parent", "singular")

    singular: str
    columns: tuple[Column, ...]
    identity: str | None
    parent: Parent | None

    def __new__(
        cls,
        name: str,
        singular: str,
        columns: tuple[Column, ...],
        identity: str | None = None,
        parent: Parent | None = None,
    ) -> Self:
        """Create the kind; its name is the text itself."""
        kind = super().__new__(cls, name)
        kind.singular, kind.columns, kind.identity, kind.parent = singular, columns, identity, parent
        return kind

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Make the kind picklable, so that it can be sent to other processes."""
        return str(self), self.singular, self.columns, self.identity, self.parent

    def column(self, name: str) -> Column:
        """Return the column of this name; raise KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]

    @property
    def required(self) -> tuple[Column, ...]:
        """The columns that a file of this kind must have."""
        return tuple(column for column in self.columns if column.required)

    @property
    def amounts(self) -> tuple[str, ...]:
        """The names of the columns of amounts."""
        return tuple(column.name for column in self.columns if column.type is ColumnType.AMOUNT)

    @property
    def unique(self) -> str | None:
        """The name of the column whose values must not occur twice in a file, if there is one."""
        return next((column.name for column in self.columns if column.unique), None)

    def references(self) -> Iterator[tuple[RecordKind, str]]:
        """Yield the kinds whose records a record of this kind names, each with the column: its parent, then itself."""
        if self.parent:
            yield self.parent.kind, self.parent.column
        if self.identity:
            yield self, self.identity


@dataclass(frozen=True, slots=True)
class Count:
    """A measure: how many records of a kind belong to a record of the root kind."""

    name: str
    kind: RecordKind


@dataclass(frozen=True, slots=True)
class Sum:
    """A measure: the sum of a column of amounts over the records of a kind that belong to a record of the root kind."""

    name: str
    kind: RecordKind
    column: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a day's result holds for each record of the root kind: measures, and columns of the record itself.

    The names are those of the attributes in the table and of the fields in the message.
    """

    measures: tuple[Count | Sum, ...]
    carried: tuple[str, ...] = ()


class ModelError(PipelineError):
    """The data model contradicts itself; the text names all contradictions."""


@dataclass(frozen=True)
class DataModel:
    """The kinds of files of a day, parents before their children, and the result.

    Raises
    ------
    ModelError
        The kinds are no tree, names are not unique or not valid, or a measure does not fit its kind.
    """

    kinds: tuple[RecordKind, ...]
    result: Result

    def __post_init__(self) -> None:
        """Check the model."""
        if faults := list(_faults(self)):
            raise ModelError("the data model is wrong: " + "; ".join(faults))

    @property
    def root(self) -> RecordKind:
        """The kind without a parent."""
        return self.kinds[0]

    @property
    def sums(self) -> tuple[Sum, ...]:
        """The measures that are sums."""
        return tuple(measure for measure in self.result.measures if isinstance(measure, Sum))

    @property
    def identities(self) -> dict[RecordKind, str]:
        """The kinds whose records have an identity, each with its column."""
        return {kind: kind.identity for kind in self.kinds if kind.identity}

    def kind(self, name: str) -> RecordKind:
        """Return the kind of this name.

        Raises
        ------
        ValueError
            There is no such kind.
        """
        if name not in self.kinds:
            raise ValueError(f"'{name}' is none of the kinds of files ({', '.join(map(str, self.kinds))})")
        return next(kind for kind in self.kinds if kind == name)

    def children(self, parent: RecordKind) -> tuple[RecordKind, ...]:
        """Return the kinds whose records belong to a record of this kind."""
        return tuple(kind for kind in self.kinds if kind.parent and kind.parent.kind == parent)

    def summed(self, kind: RecordKind) -> tuple[str, ...]:
        """Return the columns of a kind that are summed."""
        return tuple(dict.fromkeys(measure.column for measure in self.sums if measure.kind == kind))


_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORD_OF_SQL = re.compile(
    r"all|and|any|array|as|asc|between|both|by|case|cast|check|collate|column|constraint|create|cross|default|desc|"
    r"distinct|else|end|escape|except|exists|false|fetch|filter|for|foreign|from|full|grant|group|having|in|inner|"
    r"intersect|into|is|join|lateral|leading|left|like|limit|natural|not|null|offset|on|only|or|order|outer|overlaps|"
    r"primary|qualify|references|right|select|set|some|table|then|to|trailing|true|union|unique|update|user|using|"
    r"values|when|where|window|with"
)
"""Kinds and measures are names in queries that two engines run, and each would have to quote these differently."""
_FIELDS_OF_A_RESULT = ("pk", "sk", "type", "batch", "removed", "refused_records", "reference", "root")
_FIELDS_OF_AN_ERROR = ("pk", "sk", "type", "kind", "message", "batch", "file", "line", "code")
_FIELDS_OF_A_SUMMARY = ("state", "files", "errors", "reconciliation", "batch", "version", "control")
"""Among them the word that begins the name of the file with control totals."""


def _faults(model: DataModel) -> Iterator[str]:
    """Yield a sentence for each contradiction."""
    if not model.kinds:
        yield "it has no kinds"
        return
    roots = [kind for kind in model.kinds if kind.parent is None]
    if len(roots) != 1 or model.kinds[0].parent is not None:
        yield f"the first kind, and no other, must have no parent (without one: {', '.join(roots) or 'none'})"
    yield from _repeated("kind", [*model.kinds, *_FIELDS_OF_A_SUMMARY])
    yield from _repeated("singular", [*(kind.singular for kind in model.kinds), "batch", "error"])
    yield from _repeated("identity", [*model.identities.values(), *_FIELDS_OF_AN_ERROR])
    for number, kind in enumerate(model.kinds):
        yield from _faults_of(kind, model.kinds[:number])
    yield from _faults_of_result(model)


def _faults_of(kind: RecordKind, before: Sequence[RecordKind]) -> Iterator[str]:
    yield from _wrong_name(f"kind '{kind}'", kind)
    if not _NAME.fullmatch(kind.singular):
        yield f"the singular of {kind}, '{kind.singular}', must consist of a-z, 0-9 and _"
    names = [column.name for column in kind.columns]
    yield from _repeated(f"column of {kind}", names)
    for column in kind.columns:
        if column.name != column.name.strip().lower() or not column.name:
            yield f"column '{column.name}' of {kind} must be in lower case, as headers are compared so"
        if column.allowed and column.type is not ColumnType.TEXT:
            yield f"column {column.name} of {kind} has allowed values, but is no text"
        if column.unique and (column.required or column.type is not ColumnType.TEXT):
            yield f"column {column.name} of {kind} is unique, so it must be an optional text (or the identity)"
    if sum(column.unique for column in kind.columns) > 1:
        yield f"{kind} has more than one unique column"
    if kind.parent is None and kind.identity is None:
        yield f"{kind} has no parent, so it needs an identity"
    if kind.parent and not any(kind.parent.kind is known for known in before):
        yield f"the parent of {kind} ({kind.parent.kind}) is not among the kinds before it"
    if kind.parent and kind.parent.kind.identity is None:
        yield f"{kind.parent.kind} has children, so it needs an identity"
    for use, name in (("identity", kind.identity), ("parent", kind.parent and kind.parent.column)):
        if name and (name not in names or kind.column(name) != Column(name, ColumnType.REFERENCE)):
            yield f"the {use} of {kind} ({name}) is not one of its required columns of references"


def _faults_of_result(model: DataModel) -> Iterator[str]:
    root, measures = model.root, model.result.measures
    if not measures:
        yield "the result has no measures"
    fixed = (*_FIELDS_OF_A_RESULT, *(f"{kind}_records" for kind in model.kinds), root.identity or "")
    yield from _repeated("name in the result", [measure.name for measure in measures] + [*model.result.carried, *fixed])
    for measure in measures:
        yield from _wrong_name(f"measure '{measure.name}'", measure.name)
        if not any(measure.kind is kind for kind in model.kinds[1:]):
            yield f"measure {measure.name} is of {measure.kind}, which is no kind below the root"
        elif isinstance(measure, Sum) and measure.column not in measure.kind.amounts:
            yield f"measure {measure.name} sums {measure.kind}.{measure.column}, which is no column of amounts"
    types = {column.name: column.type for column in root.columns}
    for name in model.result.carried:
        if name not in types:
            yield f"the result carries {name}, which is no column of {root}"
        elif types[name] is ColumnType.AMOUNT:
            yield f"the result carries {name}, an amount: amounts are only summed, over the kinds below {root}"


def _wrong_name(what: str, name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"the name of {what} must consist of a-z, 0-9 and _"
    if _WORD_OF_SQL.fullmatch(name):
        yield f"the name of {what} is a word of SQL"


def _repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{what} '{name}' is there twice, or has another meaning"
