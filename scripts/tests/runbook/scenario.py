"""A scenario acts out one row of the runbook: create the situation, see it, type the row's commands, see it mended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic, TypeVar

from typer.testing import Result

from scripts.tests.runbook import rows


@dataclass(kw_only=True)
class Operator(ABC):
    """Types the commands of rows, with `values` for what stands for something there, and keeps what they print."""

    values: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    @abstractmethod
    def command_line(self, *arguments: str) -> Result:
        """Run the program."""

    def aws(self, command: str) -> str:
        """Run the AWS CLI and return what it prints."""
        raise NotImplementedError(command)

    def measured(self, metric: str, row: str) -> int:
        """Return the value of the metric of a row's alarm."""
        raise NotImplementedError(metric)

    def type(self, command: str) -> str:
        """Type a command as it is written in a row; return what it prints."""
        filled = rows.filled_in(command, self.values)
        output = self.aws(filled) if filled.startswith("aws ") else "".join(map(self._run, rows.arguments(filled)))
        self.printed += output
        return output

    def _run(self, arguments: list[str]) -> str:
        result = self.command_line(*arguments)
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        return str(result.output)


World = TypeVar("World", bound=Operator)


def _nothing(world: Any) -> None:
    pass


@dataclass(frozen=True)
class Scenario(Generic[World]):
    """One row of docs/runbook.md, acted out. The commands are not here: they are read from the row.

    Attributes
    ----------
    row, case
        The alarm or the section, and the bold beginning of an item in the section that the row refers to.
    create
        Creates the situation.
    metric
        The metric of the row's alarm, which must have counted something. `infra/tests/test_runbook.py` holds its name
        against the alarm.
    shows
        Asserts that the situation can be seen, as in what `status` shows.
    others
        Does what the row leaves to others: the partner corrects a file, the operator fixes a cause. It happens after
        the commands that only look.
    says
        What the row's commands must print.
    mended
        Asserts that nothing is left of the situation.
    """

    row: str
    case: str = ""
    _: KW_ONLY
    create: Callable[[World], None]
    metric: str = ""
    shows: Callable[[World], None] = _nothing
    mended: Callable[[World], None]
    others: Callable[[World], None] = _nothing
    says: str = ""

    @property
    def name(self) -> str:
        """The row, and the case in it."""
        return f"{self.row}: {self.case}" if self.case else self.row

    def act_out(self, world: World) -> None:
        """Do all of it."""
        self.create(world)
        assert not self.metric or world.measured(self.metric, self.row) > 0
        self.shows(world)
        commands = rows.commands(self.row, self.case)
        looks = [command for command in commands if rows.only_looks(command)]
        for command in looks:
            world.type(command)
        self.others(world)
        for command in commands:
            if command not in looks:
                world.type(command)
        assert self.says in world.printed, f"{commands} print no {self.says!r}: {world.printed}"
        self.mended(world)
