"""The gate: a day that is probably not what it should be is held; its errors are sent, its results are not.

Too many records may be refused, or a day may be less than usual: nothing inside its files shows that a file is cut
short or empty, or that results are missing. So a day is compared with the days that were delivered before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Any

from pipeline.joining.summary import FileSummary
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.record_kinds import RecordKind

TOLERATED_RECORDS = 20
"""Up to so many records, refused, missing or removed, never hold a day, whatever their share of a small file."""

HISTORY_DAYS = 28
"""How many days back a day is compared with: four of each weekday."""

_RECENT_DAYS = 8
LINE_ENDS = 4
"""So many files must have ended with a line end before one without it is held."""
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What later days are compared with; `has_final_line_end` is None in a ledger entry of an older release."""

    records: int
    has_final_line_end: bool | None = None


Day = Mapping[str, FileFacts]
"""The files of a delivered day, by the name of their kind."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason to hold a day: the file that it concerns, and the sentence of its error."""

    kind: RecordKind
    code: ErrorCode
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The limits, in percent, beyond which a day is held, and the days that were delivered before it, by batch."""

    max_refused_percent: int = 20
    """Share of a file's records that may be refused."""
    min_day_percent: int = 50
    """Share of the usual number of records that a file must have; 0 switches this off."""
    max_removed_percent: int = 10
    """Share of the results delivered before that a correction may remove."""
    history: Mapping[str, Day] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Gate:
        """Create the gate from the values that `as_dict` returns."""
        history = {
            batch: {kind: FileFacts(**facts) for kind, facts in files.items()}
            for batch, files in values["history"].items()
        }
        return cls(**{**values, "history": history})

    def find_holds(
        self, batch: str, files: Mapping[RecordKind, FileSummary], removed: int, delivered: int
    ) -> list[Hold]:
        """Return the reasons to hold a day; none if it may be delivered.

        Parameters
        ----------
        removed, delivered
            How many of the results that earlier versions of the day delivered this version removes.
        """
        holds = [hold for kind, file in files.items() for hold in self._of_file(batch, kind, file)]
        if removed > TOLERATED_RECORDS and 100 * removed > self.max_removed_percent * delivered:
            limit = self.max_removed_percent
            details = {"removed": removed, "delivered": delivered, "root": MODEL.root, "limit": limit}
            holds.append(_hold(MODEL.root, ErrorCode.TOO_MANY_REMOVED, **details))
        return holds

    def _of_file(self, batch: str, kind: RecordKind, file: FileSummary) -> Iterator[Hold]:
        if not file.matches_control:
            yield from self._less_than_it_should_be(batch, kind, file)
        if exceeds_refused(file.read, file.refused, self.max_refused_percent):
            details = {"refused": file.refused, "read": file.read, "limit": self.max_refused_percent}
            yield _hold(kind, ErrorCode.TOO_MANY_REFUSED, **details)

    def _less_than_it_should_be(self, batch: str, kind: RecordKind, file: FileSummary) -> Iterator[Hold]:
        usual = self._usual_records(batch, kind)
        if file.read == 0:
            if not self._was_empty(batch, kind):
                yield _hold(kind, ErrorCode.NO_RECORDS, usual=f", where {usual:,} are usual" if usual else "")
        elif usual - file.read >= TOLERATED_RECORDS and 100 * file.read < self.min_day_percent * usual:
            yield _hold(kind, ErrorCode.DAY_TOO_SMALL, read=file.read, usual=usual, limit=self.min_day_percent)
        if not file.has_final_line_end and self.line_ends(batch, kind) == [True] * LINE_ENDS:
            yield _hold(kind, ErrorCode.CUT_SHORT, line=file.lines, files=LINE_ENDS)

    def _usual_records(self, batch: str, kind: RecordKind) -> int:
        """Return the median of the same weekday, or of recent days; 0 if too few days are known.

        The recent days are only those of the same part of the week: before its second Saturday is known, a business
        that is small at weekends would be held on each of them.
        """
        same_weekday = self._known(batch, kind, range(7, HISTORY_DAYS + 1, 7))
        if len(same_weekday) >= 2:
            return round(median(facts.records for facts in same_weekday))
        recent = self._known(batch, kind, range(1, _RECENT_DAYS + 1), same_part_of_week=True)
        return round(median(facts.records for facts in recent)) if len(recent) >= 4 else 0

    def _was_empty(self, batch: str, kind: RecordKind) -> bool:
        """Return whether this kind's file was empty on the same weekday, and delivered so."""
        return any(facts.records == 0 for facts in self._known(batch, kind, range(7, HISTORY_DAYS + 1, 7)))

    def line_ends(self, batch: str, kind: RecordKind) -> list[bool]:
        """Return whether the last four files of a kind ended with a line end; fewer if fewer are known."""
        known = self._known(batch, kind, range(1, HISTORY_DAYS + 1))
        return [facts.has_final_line_end for facts in known if facts.has_final_line_end is not None][:LINE_ENDS]

    def _known(
        self, batch: str, kind: RecordKind, days_back: Sequence[int], *, same_part_of_week: bool = False
    ) -> list[FileFacts]:
        """Return what is known of a kind's files some days before the batch, in the order of `days_back`."""
        day = _day(batch)
        days = [day - timedelta(days) for days in days_back]
        if same_part_of_week:
            days = [other for other in days if (other.weekday() >= _SATURDAY) == (day.weekday() >= _SATURDAY)]
        found = (self.history.get(f"{other:%Y%m%d}", {}).get(kind) for other in days)
        return [facts for facts in found if facts is not None]


def exceeds_refused(read: int, refused: int, limit: int) -> bool:
    """Return whether all of a file's records were refused, or too large a share of them, in percent."""
    if read and refused == read:
        return True
    return refused > TOLERATED_RECORDS and 100 * refused > limit * read


def days_before(batch: str) -> list[str]:
    """Return the batches that a batch is compared with."""
    return [f"{_day(batch) - timedelta(days):%Y%m%d}" for days in range(1, HISTORY_DAYS + 1)]


def _day(batch: str) -> date:
    return date(int(batch[:4]), int(batch[4:6]), int(batch[6:]))


def _hold(kind: RecordKind, code: ErrorCode, **details: object) -> Hold:
    return Hold(kind, code, SENTENCES[code].format(**details))


_BECAUSE: Mapping[str, str] = {
    ErrorCode.TOO_MANY_REFUSED: "too many records of {file} were refused",
    ErrorCode.NO_RECORDS: "{file} has no records",
    ErrorCode.DAY_TOO_SMALL: "{file} has far fewer records than usual",
    ErrorCode.CUT_SHORT: "{file} seems to be cut short",
    ErrorCode.TOO_MANY_REMOVED: f"too many {MODEL.root} delivered before are missing in {{file}}",
}


def held_by(file: Mapping[str, Any]) -> list[str]:
    """Return the codes because of which a file holds its day, from its summary."""
    if file.get("too_many_refused"):  # as an older release wrote it
        return [ErrorCode.TOO_MANY_REFUSED]
    return list(file.get("held_by", ()))


def why_held(summary: Mapping[str, Any]) -> str:
    """Return the reasons why a day is held as a part of a sentence, from its summary."""
    files = summary.get("files", {}).values()
    reasons: dict[str, list[str]] = {}
    for file in files:
        for code in held_by(file):
            reasons.setdefault(_BECAUSE[code], []).append(str(file["file"]))
    return and_([reason.format(file=and_(names)) for reason, names in reasons.items()])


def and_(names: Sequence[str]) -> str:
    """Return names as an enumeration."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
