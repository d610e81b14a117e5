"""One copy of the configuration, initialised once, and the plans that several tests read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider, current_provider
from infra.tests.support import Plan


@pytest.fixture(scope="session")
def terraform() -> Iterator[CurrentProvider]:
    """Plans with any variables; takes one or two seconds a plan."""
    with current_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def plan(terraform: CurrentProvider) -> Plan:
    """The plan of the defaults: what a production environment gets."""
    return terraform.plan()


@pytest.fixture(scope="session")
def local(terraform: CurrentProvider) -> Plan:
    """The plan of the local target."""
    return terraform.plan(environment="local")


@pytest.fixture(scope="session")
def full(terraform: CurrentProvider) -> Plan:
    """The plan with everything that can be switched on, and other values than the defaults."""
    return terraform.plan(EVERYTHING)
