"""A mistake in the data model is one clear error."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import (
    Column,
    ColumnType,
    Count,
    DataModel,
    ModelError,
    Parent,
    RecordKind,
    Result,
    Sum,
)

REFERENCE = Column("r", ColumnType.REFERENCE)
PARENT = Column("p", ColumnType.REFERENCE)


def kind(name: str, parent: RecordKind | None = None, **changes: Any) -> RecordKind:
    singular = name.removesuffix("s")
    columns = (
        Column(f"{singular}_number", ColumnType.REFERENCE),
        PARENT,
        Column("text"),
        Column("sum", ColumnType.AMOUNT),
    )
    values: dict[str, Any] = {"identity": f"{singular}_number", "columns": columns, "singular": singular} | changes
    return RecordKind(name, parent=parent and Parent(parent, "p"), **values)


ROOTS = kind("roots")
LEAVES = kind("leaves", ROOTS)
COUNTED = Result((Count("number_of_leaves", LEAVES),))


def with_leaves(**changes: Any) -> DataModel:
    leaves = kind("leaves", **{"parent": ROOTS} | changes)
    return DataModel((ROOTS, leaves), Result((Count("number_of_leaves", leaves),)))


def with_result(*measures: Count | Sum, carried: tuple[str, ...] = ()) -> DataModel:
    return DataModel((ROOTS, LEAVES), Result(measures, carried))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DataModel((), COUNTED), "it has no kinds"),
        (lambda: DataModel((ROOTS, kind("others")), COUNTED), "must have no parent (without one: roots, others)"),
        (lambda: DataModel((ROOTS, kind("twigs", LEAVES), LEAVES), COUNTED), "parent of twigs (leaves) is not among"),
        (
            lambda: with_leaves(parent=kind("roots", identity="p")),
            "the parent of leaves (roots) is not among the kinds",
        ),
        (lambda: DataModel((ROOTS, LEAVES, LEAVES), COUNTED), "kind 'leaves' is there twice"),
        (lambda: with_leaves(singular="root"), "singular 'root' is there twice"),
        (lambda: with_leaves(singular="Leaf"), "the singular of leaves, 'Leaf', must consist of a-z"),
        (lambda: DataModel((ROOTS, LEAVES, kind("values", ROOTS)), COUNTED), "kind 'values' is a word of SQL"),
        (lambda: DataModel((ROOTS, LEAVES, kind("errors", ROOTS)), COUNTED), "kind 'errors' is there twice, or has"),
        (lambda: with_leaves(columns=(REFERENCE, PARENT, PARENT), identity="r"), "column of leaves 'p' is there twice"),
        (lambda: with_leaves(columns=(PARENT, Column("No")), identity=None), "column 'No' of leaves must be in lower"),
        (lambda: with_leaves(identity="text"), "the identity of leaves (text) is not one of its required columns"),
        (
            lambda: with_leaves(columns=(REFERENCE,), identity="r"),
            "the parent of leaves (p) is not one of its required",
        ),
        (
            lambda: with_leaves(columns=(PARENT, Column("line", ColumnType.REFERENCE)), identity="line"),
            "identity 'line'",
        ),
        (lambda: DataModel((kind("roots", identity=None), LEAVES), COUNTED), "roots has no parent, so it needs an"),
        (
            lambda: with_leaves(columns=(PARENT, Column("n", ColumnType.AMOUNT, allowed=("1",))), identity=None),
            "column n of leaves has allowed values, but is no text",
        ),
        (
            lambda: with_leaves(columns=(PARENT, Column("n", unique=True)), identity=None),
            "column n of leaves is unique",
        ),
        (
            lambda: with_leaves(
                columns=(PARENT, *(Column(name, required=False, unique=True) for name in "ab")), identity=None
            ),
            "leaves has more than one unique column",
        ),
        (lambda: with_result(), "the result has no measures"),
        (lambda: with_result(Sum("total", LEAVES, "text")), "measure total sums leaves.text, which is no column of am"),
        (lambda: with_result(Count("number", ROOTS)), "measure number is of roots, which is no kind below the root"),
        (lambda: with_result(Count("n", LEAVES), Count("n", LEAVES)), "name in the result 'n' is there twice"),
        (
            lambda: with_result(Count("n", LEAVES), carried=("age",)),
            "the result carries age, which is no column of roots",
        ),
        (lambda: with_result(Count("n", LEAVES), carried=("sum",)), "the result carries sum, an amount"),
        (lambda: with_result(Count("Number", LEAVES)), "measure 'Number' must consist of a-z"),
    ],
)
def test_a_contradiction_in_the_data_model_is_named(make: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=r"^the data model is wrong: ") as failure:
        make()
    assert sentence in str(failure.value)


def test_all_contradictions_are_named_at_once() -> None:
    with pytest.raises(ModelError) as failure:
        with_result(Sum("total", LEAVES, "text"), Count("order", LEAVES), carried=("age",))
    assert str(failure.value).count(";") == 2


def test_a_kind_keeps_all_it_knows_when_it_is_sent_to_another_process() -> None:
    for kind in MODEL.kinds:
        sent = pickle.loads(pickle.dumps(kind))
        assert (sent, sent.singular, sent.columns, sent.identity) == (kind, kind.singular, kind.columns, kind.identity)
        assert list(sent.references()) == list(kind.references())
