"""The benchmark of cold starts shows every handler."""

from __future__ import annotations

from benchmarks import start
from benchmarks.results import Result


def test_each_handler_is_shown_beside_bare_boto3() -> None:
    sides = {
        "ours": {"import": 0.35, "clients": 0.05},
        "bare": {"import": 0.30, "clients": 0.05},
    }
    data = {
        "repeats": 7,
        "zipped": 26_800_000,
        "unzipped": 77_000_000,
        "handlers": dict.fromkeys(start.HANDLERS, sides),
    }

    text = start.render(Result("start", "2022-01-31", "a machine", data))

    assert "publish 400 ms (350)" in text
    assert "26.8 MB, unzipped 77.0 MB" in " ".join(text.split())
