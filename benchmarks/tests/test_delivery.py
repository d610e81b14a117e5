"""The benchmark of delivery: its ways deliver what they say, and its table shows what was measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pipeline.aws import clients

from benchmarks import delivery
from benchmarks.results import Result
from benchmarks.sink import Sink


@pytest.mark.parametrize("way", [way for way in delivery.WAYS if way != "empty"])
def test_each_way_delivers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    with Sink() as sink:
        for name, value in delivery._environment(sink.url).items():
            monkeypatch.setenv(name, value)
        clients.client.cache_clear()
        for service, size in delivery.ENTRIES.items():
            delivery.write_chunk(service, tmp_path / service, 4 * size)
            delivery.run_way(way, service, tmp_path / service, rounds=1)
        clients.client.cache_clear()
        assert (len(sink.items), len(sink.sent)) == (100, 40)
        assert sink.requests == {"BatchWriteItem": 2 * 4, "SendMessageBatch": 2 * 4}


def test_losses_are_counted_and_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    for found in delivery.measure_losses(1, 600).values():
        assert (found["sent"], found["accepted"]) == (600, 600)
        assert (found["lost"], found["doubled"], found["disordered"]) == (0, 0, 0)
        assert found["faults"] > 0


def test_without_nginx_one_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_ECHO_MODULES", ())
    with (
        pytest.raises(SystemExit, match=r"^nginx with its echo module is missing; .*apt-get install"),
        delivery.nginx(tmp_path),
    ):
        pass


def test_the_table_compares_each_way_with_both_of_boto3s() -> None:
    def run(cpu_seconds: float) -> dict[str, float]:
        return {"items": 100, "cpu_seconds": cpu_seconds, "seconds": 10.0, "connections": 8}

    cost = {"dynamodb": {"0": {"default": run(4), "serial": run(3), "ours": run(1)}}}
    data = {"cost": cost, "losses": {}, "threads": 8, "fault_rate": 0.2}
    assert "| 0 ms: the product | 100 | 4.00 | 3.00 | 10 | 8 |" in delivery.render(Result("delivery", "", "", data))
