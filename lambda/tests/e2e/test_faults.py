"""Processes really die (`os._exit`) or hang on the deployed stack; table and messages end as without faults."""

from __future__ import annotations

import itertools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e.stack import Stack, eventually, folder_in_memory
from e2e.test_day import CUSTOMERS, ITEMS, files_of
from pipeline.ledger import BatchState
from pipeline_cli.local.provider_compat import PACKAGE_BUCKET
from pipeline_cli.terraform import package
from pipeline_cli.terraform.local_stack import deployed_stack
from pipeline_cli.verbs.redrive import redrive_all

pytestmark = pytest.mark.e2e

FAULTY_ENTRY = Path(__file__).with_name("faulty_entry.py")
Outcome = tuple[dict[tuple[str, str], str], Counter[str]]

FUNCTION_SECONDS = 8
"""Timeout of the functions, short so that hanging calls end soon."""

DAYS_AT_ONCE = 5
"""A day waits most of the time: for a timeout, for a message to be visible again, for a retry."""

WAYS = [
    *(f"{stage} 2:hang" for stage in ("intake", "transform", "deliver", "finalize", "publish")),
    *("intake 8:after", "intake 15:after", "transform 13:after"),
    *("deliver 3:after", "finalize 2:after", "publish 2:after"),
]
"""At which call of the SDK each stage hangs, or dies after it; the tests in memory try every one with an effect."""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files that say which function fails where."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def stack(faults: Path) -> Iterator[Stack]:
    """A separate stack whose functions can be made to fail, with short timeouts."""
    built = package.build("local")
    with folder_in_memory() as folder, deployed_stack(folder, built.file) as target:
        stack = Stack(target)
        zip_file = folder / "faulty.zip"
        # Not compressed: each process that died is replaced by one that unpacks it again.
        with zipfile.ZipFile(built.file) as package_zip, zipfile.ZipFile(zip_file, "w") as archive:
            for name in package_zip.namelist():
                archive.writestr(name, package_zip.read(name))
            archive.write(FAULTY_ENTRY, FAULTY_ENTRY.name)
        stack.s3.upload_file(str(zip_file), PACKAGE_BUCKET, zip_file.name)
        lambdas = target.client("lambda")
        for part, name in target.output("function_names").items():
            settings = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            settings |= {"FAULT_FILES": str(faults / f"{part}-"), "REAL_HANDLER": f"pipeline.handlers.{part}.handler"}
            if "WRITER_GRACE_SECONDS" in settings:
                settings["WRITER_GRACE_SECONDS"] = str(FUNCTION_SECONDS)
            lambdas.update_function_code(FunctionName=name, S3Bucket=PACKAGE_BUCKET, S3Key=zip_file.name)
            lambdas.update_function_configuration(
                FunctionName=name,
                Handler="faulty_entry.handler",
                Timeout=FUNCTION_SECONDS,
                Environment={"Variables": settings},
            )
        stack.sqs.set_queue_attributes(
            QueueUrl=target.output("ingest_queue_url"), Attributes={"VisibilityTimeout": str(FUNCTION_SECONDS)}
        )
        yield stack


def corrected(day: str) -> dict[str, bytes]:
    """A correction that adds, changes and removes."""
    items = ITEMS.replace("3,o-3,Cap,1,0.0001", "3,o-3,Cap,1,0.0002").replace("Ink,x", "Ink,1")
    return files_of(day, items, CUSTOMERS.replace("3,Eva,Dal,c-3,Active\n4,Eva,Dal,c-3,Active\n", ""))


def day_and_correction(stack: Stack, day: str, fault: tuple[Path, str] | None) -> Outcome:
    """Run a day and then its correction, in which the fault occurs; return the table and messages without the day."""
    stack.upload(files_of(day))
    stack.ended(day)
    stack.messages(day)
    if fault:
        complete = fault[0].with_name(f"new-{fault[0].name}")
        complete.write_text(fault[1])
        complete.replace(fault[0])
    stack.upload(corrected(day))
    eventually(lambda: stack.ended(day).state is BatchState.COMPLETED, f"the correction of {day}")
    if fault:
        eventually(lambda: not fault[0].exists(), f"the fault {fault}")
        stack.ended(day)
    sent = stack.counted(day)
    return (
        {
            (pk.replace(day, "DAY"), sk.replace(day, "DAY")): str(item).replace(day, "DAY")
            for (pk, sk), item in stack.items(day).items()
        },
        Counter({text.replace(day, "DAY"): count for text, count in sent.items()}),
    )


def test_no_death_or_hang_of_a_process_loses_or_doubles_anything(
    stack: Stack, faults: Path, days: Iterator[str], record_property: Callable[[str, object], None]
) -> None:
    """Each way to fail has a day of its own, and several are tried at the same time.

    So days also suffer from each other's faults: one function publishes the changes of all of them.
    """
    expected = day_and_correction(stack, next(days), None)

    def broken(way: str, day: str) -> tuple[str, Counter[str], Counter[str], bool]:
        """Try one way: what was broken, lost, doubled, and whether all is right."""
        stage, place = way.split()
        outcome = day_and_correction(stack, day, (faults / f"{stage}-{day}", place))
        return way, expected[1] - outcome[1], outcome[1] - expected[1], outcome == expected

    with ThreadPoolExecutor(DAYS_AT_ONCE) as pool:
        results = list(pool.map(broken, WAYS, itertools.islice(days, len(WAYS))))
    wrong = [name for name, _, _, right in results if not right]
    lost = sum(missing.total() for _, missing, _, _ in results)
    doubled = sum(extra.total() for _, _, extra, _ in results)
    record_property("faults", (len(results), len(results) - len(wrong), lost, doubled))
    assert (wrong, lost, doubled) == ([], 0, 0)
    assert not any(stack.dead_letters().values())


def test_a_poisoned_event_ends_in_the_dead_letter_queue_and_can_be_put_back(stack: Stack) -> None:
    ingest = stack.target.output("ingest_queue_url")
    stack.sqs.set_queue_attributes(QueueUrl=ingest, Attributes={"VisibilityTimeout": "1"})
    stack.sqs.send_message(QueueUrl=ingest, MessageBody="this is no event")
    eventually(lambda: stack.dead_letters()["ingest_dead_letter_queue_url"] == 1, "the dead letter")

    moved = {result.queue: result.moved for result in redrive_all(stack.target)}

    assert moved["csv-pipeline-local-ingest-dead-letter"] == 1
    eventually(lambda: stack.dead_letters()["ingest_dead_letter_queue_url"] == 1, "the dead letter again")
