"""Benchmarks of the pipeline; each can be run separately. They use helpers of the tests in lambda/tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "lambda" / "tests"))
