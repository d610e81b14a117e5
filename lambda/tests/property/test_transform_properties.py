"""Any mix of defects, any bytes: the transform and the reference have the same result."""

from __future__ import annotations

import gzip
import os
from decimal import Decimal

import pytest
from batches import ITEMS, ORDERS, assert_agrees_with_reference, day, observe
from fuzz_days import day as random_day
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "60"))
"""Examples of each property; PROPERTY_EXAMPLES=5000 searches for an hour."""

PHASES = (Phase.explicit, Phase.generate, *([Phase.shrink] if os.environ.get("PROPERTY_SHRINK") else []))
"""A failing batch is shown as it was generated; PROPERTY_SHRINK=1 makes it smaller, which takes minutes."""

searched = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES <= 100,
    phases=PHASES,
)

batches = st.integers(0, 2**32 - 1).map(random_day)


@pytest.mark.slow
@searched
@given(batches)
def test_any_mix_of_defects_gives_the_reference_s_result(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


@searched
@given(batches)
def test_the_totals_are_reconciled_and_every_record_is_counted_or_refused(batch: dict[RecordKind, bytes]) -> None:
    observed = observe(batch)
    totals = observed.summary["reconciliation"]
    delivered = sum((total for _, total in observed.customers.values()), Decimal(0))
    assert Decimal(totals["scanned_amount"]) == delivered + Decimal(totals["refused_amount"])
    for kind, summary in observed.summary["files"].items():
        assert summary["read"] == summary["counted"] + summary["refused"]
        assert summary["refused"] == len(observed.rejects.get(MODEL.kind(kind), []))
        assert summary["refused"] == sum(summary["refused_by_code"].values())


@st.composite
def shuffled_lines(draw: st.DrawFn, good: bytes) -> bytes:
    """Good lines, some of which were repeated, cut out, put elsewhere, glued together or got a quote."""
    lines = good.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        number, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        position = draw(st.integers(0, len(lines[number])))
        lines[number : number + 1] = draw(
            st.sampled_from(
                [
                    [lines[number], lines[other]],
                    [lines[number], lines[0]],
                    [lines[number].rstrip(b"\r\n")],
                    [lines[number], b"\n"],
                    [lines[number][:position] + b'"' + lines[number][position:]],
                    [lines[number].replace(b",", b',"', 1)],
                    [lines[number].replace(b",", b'",', 1)],
                    [lines[number].swapcase()],
                    [],
                ]
            )
        ) or [b""]
    return b"".join(lines)


BYTES = st.sampled_from([bytes([byte]) for byte in (0, 9, 10, 13, 26, 31, 32, 34, 44, 59, 128, 160, 255)])


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes, some of which were changed, inserted, cut out or repeated."""
    data = good
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        new = draw(st.one_of(BYTES, st.binary(max_size=3), st.just(data[start:end] * 2), st.just(b"")))
        data = data[:start] + new + data[end:]
    return data


GOOD = day(
    b"id,customer_reference,first_name,last_name,status\n"
    b'1,c1,"Ada, Countess",Lovelace,x\n2,c2,"two\nlines",Turing,x\n3,c3,J,C,x\n',
    b"order_status,customer_reference,order_reference,order_timestamp\r\nx,c1,o1,1\r\nx,c1,o2,2\r\nx,c2,o3,3\r\n",
    b"order_reference;item_name;quantity;total_price\no1;a;1;1,50\no2;b;2;-2,25\n\no3;c;3;3\no3;d;4;0,0001",
)


@searched
@given(st.fixed_dictionaries({kind: mutated(content) for kind, content in GOOD.items()}))
@example({kind: content + b'"' for kind, content in GOOD.items()})
def test_random_damage_never_crashes_and_never_gives_a_wrong_sum(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


LONG = day(
    GOOD[data_model.CUSTOMERS] + b"".join(b"%d,d%d,F,L,x\n" % (number + 10, number) for number in range(12)),
    ORDERS + b"".join(b"c%d,sent,p%d,%d\n" % (number % 3, number, number) for number in range(12)),
    ITEMS + b"".join(b"o%d,pen,%d,%d.5\n" % (number % 2 + 1, number, number) for number in range(20)),
)


@searched
@given(st.fixed_dictionaries({kind: shuffled_lines(content) for kind, content in LONG.items()}))
def test_no_line_disappears_whatever_happens_to_the_lines_of_a_good_day(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_gzip_cut_short_refuses_the_file(cut: int) -> None:
    packed = gzip.compress(GOOD[data_model.ITEMS], mtime=0)
    observed = assert_agrees_with_reference(day(items=packed[: len(packed) - 1 - cut]))
    assert observed.state == "REFUSED"
