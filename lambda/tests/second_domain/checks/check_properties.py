"""Many small days of the second domain: the product and the reference implementation have the same result."""

from __future__ import annotations

import os

from batches import assert_agrees_with_reference
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, ColumnType, RecordKind

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "25"))

CELLS = {
    ColumnType.REFERENCE: st.sampled_from(["a", "b", "c", "d", " a", "A", ""]),
    ColumnType.INTEGER: st.sampled_from(["1", "-7", "007", " 4 ", "1.5", "x", ""]),
    ColumnType.TIMESTAMP: st.sampled_from(["0", "1643646722", "soon", ""]),
    ColumnType.AMOUNT: st.sampled_from(["1", "12.50", "-0.01", " 2.5 ", "0.0001", "n/a", "99999999999999.9999", ""]),
    ColumnType.TEXT: st.sampled_from(["x", "y", " pad ", "a;b", "é", ""]),
}


def cell(column: Column) -> st.SearchStrategy[str]:
    cells = st.sampled_from([*column.allowed, "other", ""]) if column.allowed else CELLS[column.type]
    right = {ColumnType.REFERENCE: "abcd", ColumnType.AMOUNT: ["3", "0.25"], ColumnType.TEXT: column.allowed or "xyz"}
    return st.one_of(st.sampled_from(right.get(column.type, "123")), cells)


@st.composite
def files(draw: st.DrawFn, kind: RecordKind) -> bytes:
    """A file with any of the optional columns, whose columns are in any order; one cell in some records is lost."""
    columns = draw(st.permutations([column for column in kind.columns if column.required or draw(st.booleans())]))
    lines = [",".join(column.name for column in columns)]
    for _ in range(draw(st.integers(0, 8))):
        cells = [draw(cell(column)) for column in columns]
        lines.append(",".join(cells[: None if draw(st.integers(0, 9)) else -1]))
    return "\n".join([*lines, ""]).encode()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 100,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(st.fixed_dictionaries({kind: files(kind) for kind in MODEL.kinds}))
def test_any_mix_of_defects_gives_the_result_of_the_reference_implementation(day: dict[RecordKind, bytes]) -> None:
    assert_agrees_with_reference(day)
