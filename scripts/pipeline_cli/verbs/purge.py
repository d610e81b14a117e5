"""`pipeline purge`: empty the bucket, the queues and the table, and report anything that is left."""

from __future__ import annotations

from pipeline_cli.deployment.purge import Emptied, purge_with_display
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

PROBLEMS_SHOWN = 20


def command(
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Empty the bucket (all versions), all queues (dead-letter queues too) and the table.

    Asks for the environment's name first, except on local. The deployment itself stays: make tf-destroy removes it.

    Example: pipeline purge --env staging

    Exit codes: 0 everything is empty, 1 something is left (it is listed) or the answer was no.
    """
    target = targets.chosen(env)
    _ = target.outputs  # fails before the question if nothing is deployed
    if not (yes or target.is_local):
        kept = f"{target.output('bucket_name')}, {target.output('table_name')} and all queues"
        terminal.confirm(target.name, f"This deletes everything in {target.description}: {kept}.")
    results = purge_with_display(target)
    if as_json:
        terminal.print_json(
            [{"name": r.name, "removed": r.removed, "left": r.left, "problems": r.problems} for r in results]
        )
    else:
        terminal.out().print(f"{sum(result.removed for result in results):,} things removed.")
    _complain(results)


def _complain(results: list[Emptied]) -> None:
    problems = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    unfinished = [result.name for result in results if result.left or result.problems]
    for problem in problems[:PROBLEMS_SHOWN]:
        terminal.err().print(f"[red]{terminal.shown(problem)}[/]", soft_wrap=True)
    if unfinished:
        raise CommandError(f"Not empty: {', '.join(unfinished)}.", "Run the command again once the cause is gone.")
