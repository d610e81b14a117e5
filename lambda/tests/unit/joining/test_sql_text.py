"""The SQL after reading is one text that both engines run; `make test-spark` runs it on Spark."""

from __future__ import annotations

import re

import pytest
from pipeline.joining import acceptance, second_pass, sums
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

ONLY_DUCKDB = re.compile(
    r"\b(EXCLUDE|REPLACE|QUALIFY|ASOF|MATERIALIZED|UBIGINT|VARCHAR|BY NAME|FROM \w+ SELECT)\b|::|\bNOT IN \(SELECT"
)


@pytest.mark.parametrize("kind", MODEL.kinds)
def test_the_text_has_nothing_that_only_duckdb_understands(kind: RecordKind) -> None:
    steps = [acceptance.accepted, acceptance.nothing_judged, acceptance.repeated_references, acceptance.blocked_lines]
    steps += [acceptance.is_blocked_in_vain, sums.file_totals, sums.refused_totals, sums.lost]
    if kind.parent:
        steps += [acceptance.known_parents, acceptance.similar_parents, sums.named, sums.assigned]
    texts = [step(kind) for step in steps]
    texts += [acceptance.judged(kind, unique, has_blocked) for unique in ("id", None) for has_blocked in (True, False)]
    texts += acceptance.anomalies(kind, "id").values()
    texts += [sums.results(has_refused=True), sums.unassigned_records(), sums.day_totals(), sums.removed()]
    texts += [second_pass.first_refused(kind, 10, 2)]

    assert [text for text in texts if ONLY_DUCKDB.search(text)] == []
