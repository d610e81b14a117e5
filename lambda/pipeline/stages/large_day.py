"""The objects by which `transform` hands a day over to the job for large days, and gets the result back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.stages.run import Run

REQUEST = "large_day/request.json"
"""Name of the work file that tells the job what to do."""

OUTCOME = "large_day/outcome.json"
"""Name of the work file with the job's result; written after the manifest."""

PROGRESS = "large_day/progress.json"
"""Name of the work file in which the job says how far it is, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeDayRequest:
    """What the job needs to know about a run.

    `delivered` has the keys of the lists of customers that earlier versions delivered, `previous_errors` the sort keys
    of the errors that the table holds. With `max_refused_percent` None the batch is never held.
    """

    run: Run
    delivered: Mapping[str, str]
    previous_errors: frozenset[str]
    max_refused_percent: int | None
    max_error_messages: int
    chunk_records: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "run": self.run.as_dict(),
            "delivered": dict(self.delivered),
            "previous_errors": sorted(self.previous_errors),
            "max_refused_percent": self.max_refused_percent,
            "max_error_messages": self.max_error_messages,
            "chunk_records": self.chunk_records,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LargeDayRequest:
        """Create the request from the values that `as_dict` returns."""
        return cls(
            run=Run.from_event(values["run"]),
            delivered=values["delivered"],
            previous_errors=frozenset(values["previous_errors"]),
            max_refused_percent=values["max_refused_percent"],
            max_error_messages=values["max_error_messages"],
            chunk_records=values["chunk_records"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeDayOutcome:
    """The job's result.

    `execution` is the run that it belongs to, `outcome` what `stages.store.store` returned, `results` whether there are
    results to deliver, `seconds` how long the job took.
    """

    execution: str
    outcome: Mapping[str, Any]
    results: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "execution": self.execution,
            "outcome": dict(self.outcome),
            "results": self.results,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LargeDayOutcome:
        """Create the result from the values that `as_dict` returns."""
        return cls(
            execution=values["execution"],
            outcome=values["outcome"],
            results=bool(values["results"]),
            seconds=float(values["seconds"]),
        )
