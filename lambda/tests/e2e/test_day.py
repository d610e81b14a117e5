"""A day goes through the deployed stack: real Terraform, zip, state machine and IAM policies, on a local AWS."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e.stack import Stack, eventually
from pipeline.joining.customer_data_processor import Options, SourceFile, messages, process
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline_cli.verbs.replay import replay

pytestmark = pytest.mark.e2e

CUSTOMERS = (
    "id,first_name,last_name,customer_reference,status\n1,Ada,Byron,c-1,Active\n2,Max,Born,c-2,Active\n"
    "3,Eva,Dal,c-3,Active\n4,Eva,Dal,c-3,Active\n"
)
ORDERS = (
    "id,customer_reference,order_status,order_reference,order_timestamp\n1,c-1,Delivered,o-1,1643646722\n"
    "2,c-1,Delivered,o-2,1643646723\n3,c-2,Delivered,o-3,1643646723\n4,c-9,Delivered,o-4,1643646723\n"
)
ITEMS = (
    "id,order_reference,item_name,quantity,total_price\n1,o-1,Pen,2,12.50\n2,o-2,Ink,1,75.00\n3,o-3,Cap,1,0.0001\n"
    "4,o-9,Ink,1,1.00\n5,o-2,Ink,x,1.00\n6,o-3,Ink,1,'1.00'\n"
)
KINDS = ("customers", "orders", "items")


def files_of(day: str, items: str = ITEMS, customers: str = CUSTOMERS) -> dict[str, bytes]:
    """The day's files by name."""
    contents = {"customers": customers, "orders": ORDERS, "items": items}
    return {f"{kind}_{day}.csv": content.encode() for kind, content in contents.items()}


def run_locally(day: str, files: dict[str, bytes], directory: Path) -> Counter[str]:
    """The messages that the same transform gives without AWS, as a multiset."""
    directory.mkdir(parents=True)
    sources = {}
    for name, content in files.items():
        path = directory / name
        path.write_bytes(content)
        sources[MODEL.kind(name.split("_")[0])] = SourceFile(name, path)
    outcome = process(day, sources, directory / "work", Options(memory_mb=500, threads=1))
    return Counter(json.dumps(json.loads(body), sort_keys=True) for body in messages(outcome))


@pytest.mark.parametrize("order", [MODEL.kinds, tuple(reversed(MODEL.kinds))], ids="-".join)
def test_a_day_is_processed_once_in_any_order_of_arrival_of_its_files(
    stack: Stack, day: str, order: tuple[str, ...], tmp_path: Path
) -> None:
    files = files_of(day)
    stack.upload({f"{kind}_{day}.csv": files[f"{kind}_{day}.csv"] for kind in order})

    entry = stack.ended(day)

    assert (entry.state, entry.cause) == (BatchState.COMPLETED, None)
    eventually(lambda: stack.executions(day) == {entry.execution: "SUCCEEDED"}, "the one run's success")
    sent = stack.messages(day)
    assert {
        "type": "customer_message",
        "customer_reference": "c-1",
        "number_of_orders": 2,
        "total_amount_spent": 87.5,
    } in sent
    assert {
        "type": "customer_message",
        "customer_reference": "c-3",
        "number_of_orders": 0,
        "total_amount_spent": 0,
    } in sent
    assert stack.counted(day) == run_locally(day, files, tmp_path / "check")
    results = {pk for pk, _ in stack.items(day) if pk.startswith("customer#")}
    assert results == {"customer#c-1", "customer#c-2", "customer#c-3"}
    assert not any(stack.dead_letters().values())


def test_the_same_files_again_change_and_send_nothing(stack: Stack, day: str) -> None:
    stack.upload(files_of(day))
    first = stack.ended(day)
    items, sent = stack.items(day), stack.counted(day)

    stack.upload(files_of(day))
    stack.counted(day)

    assert (stack.items(day), stack.counted(day)) == (items, sent)
    assert list(stack.executions(day)) == [first.execution]


def test_a_correction_changes_and_sends_only_the_difference(stack: Stack, day: str) -> None:
    stack.upload(files_of(day))
    first = stack.ended(day)
    before = stack.counted(day)

    corrected = files_of(
        day,
        ITEMS.replace("3,o-3,Cap,1,0.0001", "3,o-3,Cap,1,0.0002").replace("Ink,x", "Ink,1"),
        CUSTOMERS.replace("3,Eva,Dal,c-3,Active\n4,Eva,Dal,c-3,Active\n", ""),
    )
    stack.upload(corrected)
    assert stack.ended(day).version != first.version

    news = stack.counted(day) - before
    bodies = [json.loads(text) for text in news.elements()]
    assert sorted((body["type"], body["customer_reference"]) for body in bodies) == [
        ("customer_message", "c-1"),
        ("customer_message", "c-2"),
        ("customer_removed", "c-3"),
    ]
    codes = {sk.split("#")[-1] for _, sk in stack.items(day) if sk.startswith("error#")}
    assert codes == {"unknown_customer", "unknown_order", "not_an_amount"}


def test_a_refused_file_refuses_the_day_until_it_is_corrected(stack: Stack, day: str) -> None:
    files = files_of(day)
    stack.upload({**files, f"orders_{day}.csv": b"<html></html>"})
    entry = stack.ended(day)
    assert entry.state is BatchState.FAILED
    (message,) = stack.messages(day)
    assert (message["type"], message["file"]) == ("error_message", f"orders_{day}.csv")
    assert entry.cause == f"orders_{day}.csv: {message['code']}"
    eventually(lambda: stack.executions(day) == {entry.execution: "FAILED"}, "the one run's failure")

    stack.upload({f"orders_{day}.csv": files[f"orders_{day}.csv"]})
    eventually(lambda: stack.ended(day).state is BatchState.COMPLETED, "the corrected day")
    assert not any("html" in sk for _, sk in stack.items(day))


def test_ten_days_at_once_are_each_processed_once(stack: Stack, days: Iterator[str], tmp_path: Path) -> None:
    batches = [next(days) for _ in range(10)]
    files = {batch: files_of(batch, ITEMS.replace("75.00", f"{batch}.01")) for batch in batches}
    uploads = [{name: content} for contents in files.values() for name, content in contents.items()]
    random.Random(0).shuffle(uploads)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stack.upload, uploads))

    for batch in batches:
        assert stack.ended(batch).state is BatchState.COMPLETED

    for batch in batches:
        assert stack.counted(batch) == run_locally(batch, files[batch], tmp_path / batch)
        eventually(lambda batch=batch: list(stack.executions(batch).values()) == ["SUCCEEDED"], f"one run of {batch}")
    assert not any(stack.dead_letters().values())


def test_a_replay_runs_again_and_sends_nothing(stack: Stack, day: str) -> None:
    stack.upload(files_of(day))
    first, sent = stack.ended(day), stack.counted(day)

    again, started = replay(stack.target, day)

    assert started
    assert again.execution == f"{first.execution}-2"
    eventually(lambda: stack.executions(day).get(str(again.execution)) == "SUCCEEDED", "the replay")
    assert stack.counted(day) == sent
