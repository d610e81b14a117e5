"""How every command of this folder ends: an exit code, and one line for an expected failure."""

from __future__ import annotations

import sys
from collections.abc import Callable

from scripts.errors import CommandError


def run(main: Callable[[list[str]], int]) -> None:
    """Run a command with the arguments of this process and end the process with its exit code."""
    try:
        code = main(sys.argv[1:])
    except CommandError as error:
        print(f"Error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        code = 130
    sys.exit(code)
