"""Compare the outputs of the recorded days with the record, or record them anew.

After a rule was changed on purpose: `.venv/bin/python -m lambda.tests.recorded --record`, and check that only days
which the rule concerns are named. `--show` prints all outputs of days; run it on both commits to see what changed.
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatch

from .generated import all_days
from .outputs import difference, digests, outputs, recorded, write


def main() -> int:
    """Run the command and return its exit code: 1 if a day differs and is not recorded anew."""
    parser = argparse.ArgumentParser(prog="python -m lambda.tests.recorded", description=__doc__)
    parser.add_argument("days", nargs="*", help="names of days, or patterns such as 'generated *'; default: all")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--record", action="store_true", help="record the outputs of the days as they are now")
    action.add_argument("--show", action="store_true", help="print the outputs of the days")
    arguments = parser.parse_args()

    known = list(all_days())
    chosen = [day for day in known if not arguments.days or any(fnmatch(day.name, name) for name in arguments.days)]
    if not chosen:
        parser.error(f"no day is named {' or '.join(arguments.days)}")
    if arguments.show:
        for day in chosen:
            for kind, content in outputs(day).items():
                print(f"=== {day.name}: {kind}\n{content.decode()}")
        return 0
    before = recorded()
    after = {day.name: digests(day) for day in chosen}
    differences = {name: difference(before.get(name), found) for name, found in after.items()}
    for name, text in differences.items():
        if text:
            print(f"{name} {text}")
    changed = sum(text is not None for text in differences.values())
    gone = before.keys() - {day.name for day in known}
    print(f"{len(chosen)} days, {changed} differ" + (f", {len(gone)} recorded ones are gone" if gone else ""))
    if arguments.record:
        records = {**before, **after}
        write({day.name: records[day.name] for day in known if day.name in records})
        return 0
    return int(bool(changed or gone))


sys.exit(main())
