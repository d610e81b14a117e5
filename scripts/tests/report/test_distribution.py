"""How orders and amounts spread over the customers of a day."""

from __future__ import annotations

from pipeline_cli.report.distribution import Distribution, classes

from scripts.tests.report.support import put


def test_customers_are_counted_in_classes_that_widen() -> None:
    found = Distribution().count(
        [
            put("a", 0, "0"),
            put("b", 3, "0.99"),
            put("c", 9, "1"),
            put("d", 10, "99.9999"),
            put("e", 49, "-3"),
            put("f", 50, "20000"),
            {"PutRequest": {"Item": {"pk": {"S": "batch#20220131"}, "message": {"S": "no result"}}}},
            {"DeleteRequest": {"Key": {}}},
        ]
    )
    assert (found.customers, str(found.total), str(found.largest)) == (6, "20098.9899", "20000")
    assert found.orders == {0: 1, 3: 1, 9: 1, 10: 1, 20: 1, 50: 1}
    assert found.amounts == {0: 1, 1: 1, 50: 1, None: 1, 20000: 1}
    assert classes(found.orders, 10) == [*range(10), 10, 20, 50]
    assert classes(found.amounts, 1)[:6] == [None, 0, 1, 2, 5, 10]
