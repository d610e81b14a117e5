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

Owners = dict[str, str]
"""By the reference of a record, that of the record of the root kind that it belongs to."""

ROUNDS = 11
"""Times that the rules about repeated ids and references are applied, as ids of refused records are free."""


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
    unassigned: int = 0
    refused: list[Refused] = field(default_factory=list)
    read: dict[RecordKind, int] = field(default_factory=dict)
    lines: dict[RecordKind, int] = field(default_factory=dict)
    refused_files: list[Refused] = field(default_factory=list)


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
        refuse_repeated(kind, records)
        result.refused += [refusal(kind, record) for record in records if record.code]
    accepted = owners_of_accepted(day)
    result.results = total(day, accepted)
    result.incomplete, result.unassigned = count_lost(day, accepted)
    return result


def given(record: Record, column: str) -> list[str]:
    """The references that a record has at a column, or may have there if its cells can't be assigned."""
    texts = [record.values[column]] if column in record.values else record.places.get(column, [])
    return [text for text in dict.fromkeys(texts) if text]


def refuse_orphans(records: list[Record], parent: Parent, parents: list[Record]) -> None:
    identity = str(parent.kind.identity)
    accepted = {record.values[identity] for record in parents if record.code is None}
    lost = [record for record in parents if record.code not in (None, "repeated_header")]
    refused = {name for record in lost for name in given(record, identity)}
    for record in records:
        named = record.values.get(parent.column)
        if record.code is None and named not in accepted:
            record.code = f"{'refused' if named in refused else 'unknown'}_{parent.kind.singular}"
        if parent.column in record.places:
            record.places[parent.column] = [name for name in given(record, parent.column) if name in accepted | refused]


def refuse_repeated(kind: RecordKind, records: list[Record]) -> None:
    """Refuse repeated ids and references. Only a record that breaks no other rule gives its id or reference."""
    passing = [record for record in records if record.code is None]
    gives_no_id: set[int] = set()
    for _ in range(ROUNDS):
        codes = repeated_ids(kind, passing, gives_no_id)
        left = [record for record in passing if record.line not in codes]
        of_references = repeated_references(kind, left)
        blocked = {first for first in codes.values() if first in of_references}
        if not blocked:
            break
        gives_no_id = set(of_references)
    for record in passing:
        if record.line in codes:
            record.code = "duplicate_id"
        else:
            record.code = of_references.get(record.line)


def repeated_ids(kind: RecordKind, records: list[Record], gives_no_id: set[int]) -> dict[int, int]:
    """By line: the records with an id that another has given before, and the line of that one."""
    first: dict[str, int] = {}
    for record in records:
        value = record.values.get(kind.unique or "")
        if value and record.line not in gives_no_id:
            first.setdefault(value, record.line)
    found = {record.line: first.get(record.values.get(kind.unique or "") or "", record.line) for record in records}
    return {line: earlier for line, earlier in found.items() if earlier < line}


def repeated_references(kind: RecordKind, records: list[Record]) -> dict[int, str]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        if kind.identity:
            groups.setdefault(record.values[kind.identity], []).append(record)
    codes = {}
    for group in groups.values():
        if kind.parent and len({record.values[kind.parent.column] for record in group}) > 1:
            codes |= {record.line: "conflicting_reference" for record in group}
        else:
            codes |= {record.line: "duplicate_reference" for record in group[1:]}
    return codes


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


def count_lost(day: dict[RecordKind, list[Record]], accepted: dict[RecordKind, Owners]) -> tuple[dict[str, int], int]:
    """Count the refused records of each record of the root kind, and those that belong to nobody in the root's file.

    A refused record belongs to whom the records belong that it names: the accepted one, else all refused ones.
    """
    root = MODEL.root
    lost: Counter[str] = Counter()
    unassigned = 0
    owners = {kind: {name: {owner} for name, owner in of_kind.items()} for kind, of_kind in accepted.items()}
    for record in day[root]:
        if record.code not in (None, "repeated_header"):
            for name in given(record, str(root.identity)):
                owners[root].setdefault(name, {name})
    for kind, records in day.items():
        if kind.parent is None:
            continue
        by_line: dict[int, set[str]] = {}
        for record in losses(kind, records):
            names = given(record, kind.parent.column)
            whose = set[str]().union(*(owners[kind.parent.kind].get(name, ()) for name in names))
            by_line[record.line] = whose = whose or by_line.get(record.opening or 0, set())
            lost.update(whose & accepted[root].keys())
            unassigned += (not whose) + record.holds_more
            for name in given(record, kind.identity) if kind.identity and whose else ():
                if name not in accepted[kind]:
                    owners[kind][name] = owners[kind].get(name, set()) | whose
    return dict(lost), unassigned


def losses(kind: RecordKind, records: list[Record]) -> list[Record]:
    """The refused records but repeated headers, and repetitions of the same cells, which lose nothing."""
    found, seen = [], set()
    for record in records:
        cells = tuple(record.values.get(column.name) for column in kind.columns)
        is_repeated = record.code in ("duplicate_id", "duplicate_reference", "conflicting_reference")
        if record.code not in (None, "repeated_header") and not (is_repeated and cells in seen):
            found.append(record)
        if record.code is None or is_repeated or record.code.startswith(("unknown_", "refused_")):
            seen.add(cells)
    return found


def refusal(kind: RecordKind, record: Record) -> Refused:
    references: dict[str, str | None] = dict.fromkeys(MODEL.identities.values())
    for named, column in kind.references():
        references[str(named.identity)] = next(
            (name for name in given(record, column)[:1] if len(name.encode()) <= 1024), None
        )
    text = record.raw.decode("utf-8", "backslashreplace")
    return Refused(kind, record.line, str(record.code), references, text)
