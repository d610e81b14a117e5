"""Plant each fault of faults.toml into a copy of the tree and run the tests that must find it.

A fault that its tests miss is a missing test. The exit code is 1 if one is missed, and 2 if one could not be planted or
judged: its text has changed, or its tests fail without it as well. Then mend faults.toml.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from .faults import Fault, Verdict, read_faults
from .tree import Tree

Result = TypeVar("Result")
FEW = 20
"""Up to so many selections of tests are tried one by one without faults, more in one run."""


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m lambda.tests.planted", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="names of faults, or their files, or patterns such as 'infra/*'; default: all"
    )
    parser.add_argument("--workers", type=int, default=2, help="how many faults to try at the same time")
    parser.add_argument("--check", action="store_true", help="only check that each fault can be planted")
    arguments = parser.parse_args()

    names = arguments.names or ["*"]
    chosen = [
        fault
        for fault in read_faults()
        if any(fnmatch(text, name) for text in (fault.name, fault.file) for name in names)
    ]
    if not chosen:
        parser.error(f"no fault matches {' or '.join(names)}")
    if arguments.check:
        problems = [f"{fault.name} ({fault.file}): {problem}" for fault in chosen if (problem := fault.problem())]
        print("\n".join([*problems, f"{len(chosen)} faults, {len(problems)} can't be planted"]))
        return 2 if problems else 0
    can_be_tried = [fault for fault in chosen if not fault.needs or find_spec(fault.needs)]
    for fault in set(chosen) - set(can_be_tried):
        print(f"Not tried, as {fault.needs} is not installed: {fault.name}")
    begun = time.monotonic()
    verdicts = plant(can_be_tried, arguments.workers)
    seconds = time.monotonic() - begun
    counts = Counter(verdicts.values())
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    print(f"{len(verdicts)} faults: {summary}; {seconds:.0f} s")
    if counts[Verdict.NOT_APPLICABLE]:
        return 2
    return int(bool(counts[Verdict.MISSED]))


def _together(faults: Sequence[Fault]) -> str:
    """Return one selection with all tests that these faults need, but for those that need a package."""
    words = (word for fault in faults if not fault.needs for word in shlex.split(fault.tests))
    return shlex.join(sorted({word for word in words if "/" in word}))


def plant(faults: Sequence[Fault], workers: int) -> dict[Fault, Verdict]:
    """Run the tests without faults, and then plant the faults, several at once in copies of the tree."""
    tests = list(dict.fromkeys(fault.tests for fault in faults))
    verdicts: dict[Fault, Verdict] = {}
    with ExitStack() as stack, ThreadPoolExecutor(workers) as threads:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for _ in range(workers):
            trees.put(Tree(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="planted-")))))

        def on_a_tree(call: Callable[[Tree], Result]) -> Result:
            tree = trees.get()
            try:
                return call(tree)
            finally:
                trees.put(tree)

        print(f"Running the tests without faults: {len(tests)} selections of them", flush=True)
        problems: dict[str, str | None] = dict.fromkeys(tests)
        single = tests
        if len(tests) > FEW and not on_a_tree(lambda tree: tree.baseline(f"-n {workers} {_together(faults)}")):
            single = list({fault.tests for fault in faults if fault.needs})
        one_by_one = threads.map(lambda chosen: on_a_tree(lambda tree: tree.baseline(chosen)), single)
        problems |= zip(single, one_by_one, strict=True)

        def judge(fault: Fault) -> tuple[Fault, Verdict, str, float]:
            started = time.monotonic()
            problem = problems[fault.tests]
            verdict, detail = (
                (Verdict.NOT_APPLICABLE, problem) if problem else on_a_tree(lambda tree: tree.judge(fault))
            )
            return fault, verdict, detail, time.monotonic() - started

        for done in as_completed([threads.submit(judge, fault) for fault in faults]):
            fault, verdict, detail, seconds = done.result()
            verdicts[fault] = verdict
            print(f"[{len(verdicts):3}/{len(faults)}] {verdict:14} {seconds:5.1f} s  {fault.name}", flush=True)
            if verdict is not Verdict.FOUND:
                print(f"      {fault.file}, {fault.tests}: {detail}", flush=True)
    return verdicts


sys.exit(main())
