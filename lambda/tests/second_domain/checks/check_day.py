"""A day of the second domain: totals, marks, errors, removals, messages and put requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from batches import BATCH, Observed, assert_agrees_with_reference, observe, run
from pipeline.joining.chunks import put_items
from pipeline.joining.customer_data_processor import Previous, messages
from pipeline.model.items import REMOVED
from pipeline.model.messages import message_for
from second_day import ERRORS, INCOMPLETE, RECONCILED, RESULTS, day


def reconciled(observed: Observed) -> dict[str, tuple[Any, ...]]:
    first, others = observed.summary["reconciliation"], observed.summary["further_reconciliations"]
    return {
        name: tuple(
            values[part] for part in ("scanned_amount", "delivered_amount", "refused_amount", "refused_without_amount")
        )
        for name, values in ({"contract_volume": first} | others).items()
    }


def test_a_day_with_good_and_bad_records_gives_the_totals_marks_and_errors_reckoned_by_hand() -> None:
    observed = observe(day())

    assert observed.results == RESULTS
    assert observed.incomplete == INCOMPLETE
    assert {(error["kind"], int(error["line"])): error["code"] for error in observed.errors} == ERRORS
    assert reconciled(observed) == RECONCILED
    assert observed.summary["incomplete_accounts"] == len(INCOMPLETE)


def test_the_reference_implementation_agrees() -> None:
    assert assert_agrees_with_reference(day()).results == RESULTS


def test_a_correction_without_an_account_removes_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    before = run(day(), first)
    later = run(day(accounts="account_number,segment\nA1,private\n"), second, Previous(references=[before.references]))
    puts = {item["account_number"]: item for item in put_items(later.chunks) if item["sk"] == f"batch#{BATCH}"}
    assert {name for name, item in puts.items() if item.get(REMOVED)} == {"A2", "A3"}
    message = message_for(puts["A3"], old={})
    assert message is not None
    assert message.body == '{"type":"account_removed","account_number":"A3"}'


def test_the_messages_are_the_model_s_fields_in_their_order(tmp_path: Path) -> None:
    outcome = run(day(), tmp_path)
    bodies = list(messages(outcome))
    assert bodies[:2] == [
        '{"type":"account_message","account_number":"A1","contract_volume":1500.5,"total_paid":140.25,"total_fees":1.75,'
        '"number_of_payments":3,"total_credited":20.5,"segment":"private","branch":"North","rating":3}',
        '{"type":"account_message","account_number":"A2","contract_volume":0,"total_paid":0,"total_fees":0,'
        '"number_of_payments":0,"total_credited":7.25,"segment":"business","branch":"","rating":null}',
    ]
    refused = next(json.loads(body) for body in bodies if '"refused_contract"' in body)
    assert refused == {
        "type": "error_message",
        "account_number": None,
        "contract_number": "K3",
        "payment_number": "P4",
        "message": f"payments_{BATCH}.csv line 5: contract 'K3' was refused in the contracts file (line 4)",
        "batch": BATCH,
        "file": f"payments_{BATCH}.csv",
        "line": 5,
        "code": "refused_contract",
    }
