"""The checks of `make lint-terraform` find what they are for, and the state machine is what Step Functions takes."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from pipeline_cli.output.errors import CommandError

from infra.tests.current_provider import asl
from infra.tests.current_provider.terraform_check import current_provider
from infra.tests.support import INFRA, Plan

pytestmark = pytest.mark.terraform

needs_validator = pytest.mark.skipif(asl.missing() is not None, reason=f"asl-validator: {asl.missing()}")


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("modules/table/main.tf", "hash_key ", "hash_kez ", 'An argument named "hash_kez" is not expected here'),
        ("modules/bucket/main.tf", "sse_algorithm ", "algo ", 'An argument named "algo" is not expected here'),
        ("modules/trigger/main.tf", "aws_cloudwatch_event_target", "aws_target", "does not support resource type"),
        ("modules/trigger/main.tf", "= local.rule_arn", "= local.rule", 'with the name "rule" has not been declared'),
    ],
    ids=["argument", "argument of a block", "resource type", "reference"],
)
def test_what_the_current_provider_does_not_know_is_found(
    tmp_path: Path, file: str, before: str, after: str, message: str
) -> None:
    folder = shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns("tests", ".terraform"))
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after, 1))

    with pytest.raises(CommandError) as refused, current_provider(folder):
        pass

    assert message in " ".join(str(refused.value).replace("│", " ").split())


@needs_validator
def test_state_machine_is_valid_and_one_that_step_functions_would_refuse_is_found(plan: Plan, full: Plan) -> None:
    assert (asl.problems(plan.definition), asl.problems(full.definition)) == ("", "")

    for change in ({"Next": "Nowhere"}, {"ResultPath": "transform"}):
        definition = copy.deepcopy(dict(plan.definition))
        definition["States"]["Transform"].update(change)
        with pytest.raises(CommandError, match="not valid"):
            asl.check_state_machine(definition)
