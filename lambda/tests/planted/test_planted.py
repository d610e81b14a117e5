"""The planted faults can be planted, and the runner judges them rightly."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from planted.faults import ROOT, Fault, Verdict, read_faults
from planted.tree import Tree


def test_every_fault_can_be_planted_and_its_tests_are_there() -> None:
    problems = [
        f"{fault.name}: {problem}" for fault in read_faults() if (problem := fault.problem() or _missing(fault))
    ]

    assert not problems, "\n".join(["Mend these faults in lambda/tests/planted/faults.toml:", *problems])


def _missing(fault: Fault) -> str | None:
    named = [text.partition("::")[0] for text in shlex.split(fault.tests) if "/" in text]
    lost = [path for path in named if not (ROOT / path).exists()]
    return f"there is no {' and no '.join(lost)}" if lost or not named else None


@pytest.mark.slow
def test_a_fault_is_found_missed_or_can_not_be_planted(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    found = Fault(
        name="the limit is not the limit",
        file="lambda/pipeline/joining/gate.py",
        text="TOLERATED_RECORDS = 20",
        planted="TOLERATED_RECORDS = 21",
        tests="lambda/tests/unit/joining/test_gate.py -k above",
    )
    before = (tmp_path / found.file).read_bytes()

    assert tree.baseline(found.tests) is None
    assert tree.judge(found)[0] is Verdict.FOUND
    assert tree.judge(replace(found, tests="lambda/tests/unit/model/test_text.py"))[0] is Verdict.MISSED
    assert tree.judge(replace(found, text="no such text"))[0] is Verdict.NOT_APPLICABLE
    assert tree.judge(replace(found, planted=found.text))[0] is Verdict.NOT_APPLICABLE
    assert tree.judge(replace(found, planted="("))[0] is Verdict.NOT_APPLICABLE, "a file that can't be imported"
    assert tree.baseline("no_such_test.py") is not None
    assert (tmp_path / found.file).read_bytes() == before
