"""Which tests share a worker, and in what order; pytest-xdist's own groups have no effect under pytest 9.2."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TOGETHER = ("lambda/tests/e2e/test_faults.py", "lambda/tests/e2e/", "infra/tests/")
"""Tests that share a stack or a plan. A test belongs to the first of these that its name begins with."""

ALONE = (
    "lambda/tests/faults/test_faults_in_memory.py",
    "lambda/tests/property/test_transform_properties.py",
    "lambda/tests/unit/joining/test_days.py",
)
"""Files whose tests take long and share nothing, so that each may go to another worker."""

LONGEST = (
    *TOGETHER,
    *ALONE,
    "lambda/tests/second_domain/",
    "lambda/tests/large/test_same_outcome.py",
    "scripts/tests/terraform/",
    "lambda/tests/unit/reading/",
    "scripts/tests/local/",
    "scripts/tests/runbook/test_in_memory.py",
    "scripts/tests/verbs/test_purge.py",
    "benchmarks/tests/",
)
"""They start first, in this order; otherwise one worker would run them while the others have nothing left to do."""


def unit(test: str) -> str:
    """Return the unit that a test belongs to, by default its file, as the tests of a file share fixtures."""
    if test.startswith(ALONE):
        return test
    return next((start for start in TOGETHER if test.startswith(start)), test.partition("::")[0])


def rank(unit: str) -> int:
    """Return the place of a unit in the order in which they are begun."""
    return next((place for place, start in enumerate(LONGEST) if unit.startswith(start)), len(LONGEST))


class Scheduling(LoadScopeScheduling):
    """Gives each worker one unit after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=rank), last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        # A worker begins a test when it knows the one after it. By default it is given more when two are left, and
        # keeps that from the other workers for as long as these two take.
        if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)
