"""The pipeline's rules a second time, in plain Python: slow, simple, and written from the rules alone.

It shares no code with the product, only the data model. A batch goes in as bytes; out come the results, and each
refused record with its line, code, references and text, or the reason why a file refuses the batch. `reference_records`
reads the records of a file, `reference_rules` checks them one by one, and this module joins them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, ColumnType, Count, Parent, RecordKind
from reference_records import FileError, Record
from reference_rules import read_records
from tracing import untraced

Owners = dict[str, str]
"""By the reference of a record, that of the record of the root kind that it belongs to."""


@dataclass
class Refused:
    """One refused record, or a refused file where `line` is None."""

    kind: RecordKind
    line: int | None
    code: str
    references: dict[str, str | None] = field(default_factory=dict)
    """For each kind with an identity, by the identity's column: the reference that the record has."""
    record: str = ""


@dataclass
class Result:
    """The result of a batch by the rules; that of a record of the root kind has the measures and what is carried."""

    results: dict[str, dict[str, Decimal | str | None]] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    read: dict[RecordKind, int] = field(default_factory=dict)
    lines: dict[RecordKind, int] = field(default_factory=dict)
    refused_files: list[Refused] = field(default_factory=list)


@untraced
def reference(files: Mapping[RecordKind, bytes]) -> Result:
    """Apply all rules to a batch."""
    result = Result()
    day: dict[RecordKind, list[Record]] = {}
    for kind in MODEL.kinds:
        try:
            day[kind], result.lines[kind] = read_records(kind, files[kind])
        except FileError as error:
            result.refused_files.append(Refused(kind, None, str(error)))
            continue
        result.read[kind] = len(day[kind])
    if result.refused_files:
        return result
    for kind, records in day.items():
        if kind.parent:
            refuse_orphans(records, kind.parent, day[kind.parent.kind])
        if kind.unique:
            refuse_repeated(records, kind.unique, "duplicate_id")
        if kind.identity:
            refuse_repeated(records, kind.identity, "duplicate_reference")
        result.refused += [refusal(kind, record) for record in records if record.code]
    accepted = owners_of_accepted(day)
    result.results = total(day, accepted)
    result.incomplete = count_lost(day, accepted)
    return result


def refuse_orphans(records: list[Record], parent: Parent, parents: list[Record]) -> None:
    identity = str(parent.kind.identity)
    accepted = {record.values[identity] for record in parents if record.code is None}
    refused = {record.values[identity] for record in parents if record.code and identity in record.values}
    for record in records:
        named = record.values.get(parent.column)
        if record.code is None and named not in accepted:
            record.code = f"{'refused' if named in refused else 'unknown'}_{parent.kind.singular}"


def refuse_repeated(records: list[Record], column: str, code: str) -> None:
    seen: set[str] = set()
    for record in records:
        value = record.values.get(column)
        if record.code is None and value:
            if value in seen:
                record.code = code
            seen.add(value)


def owners_of_accepted(day: dict[RecordKind, list[Record]]) -> dict[RecordKind, Owners]:
    """Follow each accepted record with an identity up to the root."""
    owners: dict[RecordKind, Owners] = {}
    for kind, records in day.items():
        if kind.identity:
            accepted = [record for record in records if record.code is None]
            owners[kind] = {record.values[kind.identity]: owner(kind, record, owners) for record in accepted}
    return owners


def owner(kind: RecordKind, record: Record, owners: dict[RecordKind, Owners]) -> str:
    if kind.parent is None:
        return record.values[str(kind.identity)]
    return owners[kind.parent.kind][record.values[kind.parent.column]]


def total(
    day: dict[RecordKind, list[Record]], owners: dict[RecordKind, Owners]
) -> dict[str, dict[str, Decimal | str | None]]:
    root, result = MODEL.root, MODEL.result
    results: dict[str, dict[str, Decimal | str | None]] = {}
    for record in day[root]:
        if record.code is None:
            carried = {name: carried_value(record, root.column(name)) for name in result.carried}
            results[owner(root, record, owners)] = {one.name: Decimal(0) for one in result.measures} | carried
    for measure in result.measures:
        for record in day[measure.kind]:
            if record.code is None:
                added = Decimal(1) if isinstance(measure, Count) else record.amounts.get(measure.column, Decimal(0))
                mine = results[owner(measure.kind, record, owners)]
                mine[measure.name] = Decimal(mine[measure.name] or 0) + added
    return results


def carried_value(record: Record, column: Column) -> Decimal | str | None:
    text = record.values.get(column.name, "")
    if column.type in (ColumnType.TEXT, ColumnType.REFERENCE):
        return text
    return Decimal(text) if text else None


def count_lost(day: dict[RecordKind, list[Record]], accepted: dict[RecordKind, Owners]) -> dict[str, int]:
    """Count the refused records of each record of the root kind, as far as it is known whose they are.

    A refused record belongs to whom the record that it names belongs to: an accepted one, else the first refused one.
    """
    lost: Counter[str] = Counter()
    owners = {kind: dict(of_kind) for kind, of_kind in accepted.items()}
    for kind, records in day.items():
        if kind.parent is None:
            continue
        for record in records:
            whose = owners[kind.parent.kind].get(record.values.get(kind.parent.column, ""))
            if record.code and whose is not None:
                lost[whose] += 1
                if kind.identity and (own := own_reference(record, kind.identity)):
                    owners[kind].setdefault(own, whose)
    return dict(lost)


def own_reference(record: Record, column: str) -> str | None:
    value = record.values.get(column)
    return value if value and len(value.encode()) <= 1024 else None


def refusal(kind: RecordKind, record: Record) -> Refused:
    references: dict[str, str | None] = dict.fromkeys(MODEL.identities.values())
    for named, column in kind.references():
        references[str(named.identity)] = own_reference(record, column)
    text = record.raw.decode("utf-8", "backslashreplace")
    return Refused(kind, record.line, str(record.code), references, text)
