"""Dead letters are shown with their cause, put back, sent again or dropped; looking moves nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch

NOTICE = {
    "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 100},
    "DDBStreamBatchInfo": {},
}


@pytest.fixture
def dead_letters(stack: Stack) -> Stack:
    stack.send({"Records": ["[bold]event"]}, queue="ingest_dead_letter")
    stack.send(NOTICE, queue="publish_dead_letter")
    return stack


def test_each_dead_letter_is_shown_with_its_queue_and_cause_and_stays(dead_letters: Stack, run: Run) -> None:
    for _ in range(2):
        result = run("dead-letters", "--body")
        assert result.exit_code == 0
        assert "ingest-dead-letter" in result.stdout
        assert "intake failed on this event" in result.stdout
        assert "publish could not send these changes; RetryAttemptsExhausted after 100 tries" in result.stdout
        assert '{"Records": ["[bold]event"]}' in result.stdout
    assert dead_letters.visible("ingest_dead_letter") == 1
    assert dead_letters.visible("publish_dead_letter") == 1


def test_dead_letter_of_publish_says_why_sqs_refused_the_message(stack: Stack, run: Run) -> None:
    cause = {"code": "InvalidMessageContents", "message": "a character that is not allowed"}
    stack.send({"cause": cause, "record": {"Keys": {}, "SequenceNumber": "7"}}, queue="publish_dead_letter")

    (message,) = json.loads(run("dead-letters", "--json").stdout)

    assert message["cause"].endswith("InvalidMessageContents a character that is not allowed")


def test_empty_dead_letter_queues_are_reported(stack: Stack, run: Run) -> None:
    assert "The dead-letter queues are empty." in run("dead-letters").stderr
    assert json.loads(run("dead-letters", "--json").stdout) == []


def test_one_dead_letter_is_deleted_after_a_yes(dead_letters: Stack, run: Run) -> None:
    found = json.loads(run("dead-letters", "--json").stdout)
    message = next(one for one in found if one["queue"] == "ingest-dead-letter")

    assert run("dead-letters", "--delete", message["id"], answers="n\n").exit_code == 1
    assert run("dead-letters", "--delete", "nothing").exit_code == 1
    assert dead_letters.visible("ingest_dead_letter") == 1

    result = run("dead-letters", "--delete", message["id"][:8], answers="y\n")

    assert result.exit_code == 0
    assert message["body"] in result.stdout
    assert [one["queue"] for one in json.loads(run("dead-letters", "--json").stdout)] == ["publish-dead-letter"]


def test_a_look_warns_before_a_message_reaches_the_queues_limit_of_receives(stack: Stack, run: Run) -> None:
    stack.limit_receives(5)
    stack.send({"type": "customer_message", "number_of_orders": 1, "total_amount_spent": 1043.78})

    results = [run("messages") for _ in range(4)]

    assert ["Do not look again" in " ".join(result.stderr.split()) for result in results] == [False, False, True, True]
    assert all("1,043.78" in result.stdout for result in results)
    assert (stack.visible("output"), stack.waiting("output_dead_letter")) == (1, 0)


def test_a_batch_whose_run_is_under_way_or_that_never_was_is_not_sent_again(stack: Stack, run: Run) -> None:
    assert "no set of files of it was complete" in run("republish", DAY).stderr
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    run_batch(stack)
    stack.table.update_ledger(DAY, lambda entry: ledger.replay(entry, datetime.now(UTC)))
    entry = stack.table.get_ledger(DAY)
    assert entry is not None
    assert entry.state is BatchState.QUEUED
    result = run("republish", DAY)
    assert result.exit_code == 1
    assert "under way" in result.stderr
