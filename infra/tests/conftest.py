"""One emulator for Terraform's account look-up, one fitted copy of the configuration, and one plan for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pipeline_cli.local import emulator
from pipeline_cli.terraform.local_stack import LocalStack

from infra.tests.current_provider.terraform_check import CurrentProvider, current_provider
from infra.tests.support import Plan, Planner, running_provider


@pytest.fixture(scope="session")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planner]:
    """Plans with any variables; takes a second or two a plan."""
    folder = tmp_path_factory.mktemp("stack")
    with emulator.temporary_emulator(folder) as record:
        stack = LocalStack(folder, quiet=True)
        stack.init()
        with running_provider(stack) as provider:
            yield Planner(stack, emulator.endpoint(record.port), folder, provider)


@pytest.fixture(scope="session")
def plan(planner: Planner) -> Plan:
    """The plan of the defaults: what a production environment gets."""
    return planner.plan()


@pytest.fixture(scope="session")
def current() -> Iterator[CurrentProvider]:
    """Plans by the schema of the current provider: with what the offline one does not know."""
    with current_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def current_plan(current: CurrentProvider) -> Plan:
    """The plan of the defaults by the schema of the current provider."""
    return current.plan({})


@pytest.fixture(scope="session")
def local_plan(planner: Planner) -> Plan:
    """The plan of this machine's own AWS."""
    return planner.plan("local")
