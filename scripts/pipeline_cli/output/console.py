"""How every command of this folder ends: an exit code, and one line for an expected failure."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline_cli.output.explain import explain
from pipeline_cli.output.terminal import show_error


def run(main: Callable[[list[str]], int]) -> None:
    """Run a command with the arguments of this process and end the process with its exit code."""
    try:
        code = main(sys.argv[1:])
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        show_error(explained)
        code = explained.exit_code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        code = 130
    sys.exit(code)
