"""One deployed stack for all end-to-end tests of a worker; each test takes days of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from e2e.stack import Stack, folder_in_memory
from pipeline_cli.terraform import package
from pipeline_cli.terraform.local_stack import deployed_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Package, start an emulator with IAM enforcement, apply the Terraform configuration."""
    built = package.build("local")
    with folder_in_memory() as folder, deployed_stack(folder, built.file) as target:
        yield Stack(target)


@pytest.fixture(scope="session")
def days() -> Iterator[str]:
    """Batches that no other test uses."""
    # A list, as threads take from it: a generator can serve only one at a time.
    return iter([f"2023{month:02}{day:02}" for month, day in itertools.product(range(1, 13), range(1, 29))])


@pytest.fixture
def day(days: Iterator[str]) -> str:
    """A batch that no other test uses."""
    return next(days)
