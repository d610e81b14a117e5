"""Any mix of defects, any bytes: the transform and the reference have the same result."""

from __future__ import annotations

import os

import pytest
from batches import ITEMS, ORDERS, assert_agrees_with_reference, day
from fuzz_days import day as random_day
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from pipeline.model.record_kinds import RecordKind

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "25"))
"""Examples of each property; the workflow of the night searches with PROPERTY_EXAMPLES=500."""

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


LONG = day(
    b"id,customer_reference,first_name,last_name,status\n"
    b'1,c1,"Ada, Countess",Lovelace,x\n2,c2,"two\nlines",Turing,x\n'
    + b"".join(b"%d,d%d,F,L,x\n" % (number + 10, number) for number in range(12)),
    ORDERS + b"".join(b"c%d,sent,p%d,%d\n" % (number % 3, number, number) for number in range(12)),
    ITEMS + b"".join(b"o%d,pen,%d,%d.5\n" % (number % 2 + 1, number, number) for number in range(20)),
)


@pytest.mark.slow
@searched
@given(st.fixed_dictionaries({kind: shuffled_lines(content) for kind, content in LONG.items()}))
def test_no_line_disappears_whatever_happens_to_the_lines_of_a_good_day(batch: dict[RecordKind, bytes]) -> None:
    observed = assert_agrees_with_reference(batch)
    event(observed.state)
