"""The benchmark of delivery: its ways deliver what they say, and its table shows what was measured."""

from __future__ import annotations

import pytest
from pipeline.aws import clients
from sink import Sink

from benchmarks import delivery
from benchmarks.results import Result


@pytest.mark.parametrize("way", delivery.WAYS)
def test_each_way_delivers_the_same(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    with Sink() as sink:
        for name, value in delivery.environment(sink.url).items():
            monkeypatch.setenv(name, value)
        clients.client.cache_clear()
        for service, size in delivery.ENTRIES.items():
            delivery.run_way(way, service, 4 * size)
        clients.client.cache_clear()
        assert (len(sink.items), len(sink.sent)) == (100, 40)
        assert sink.requests == {"BatchWriteItem": 2 * 4, "SendMessageBatch": 2 * 4}


def test_the_table_compares_each_way_with_the_slowest() -> None:
    def run(cpu_seconds: float) -> dict[str, float]:
        return {"items": 100, "cpu_seconds": cpu_seconds, "seconds": 10.0}

    data = {"ways": {"dynamodb": {"the product": run(1), "boto3, 8 threads": run(4)}}}
    assert "the product | 100 | 4.00 | 10 |" in delivery.render(Result("delivery", "", "", data))
