from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pipeline.events import ObjectCreated, foreign_file_error, missing_file_error
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import SourceObject, set_version
from pipeline.model.messages import message_for
from pipeline_cli.verbs import check
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run

DAY = "20220131"
ROWS = {
    data_model.CUSTOMERS: ["b-2,Åsa,Nowak,Active", "a-1,Emre,Ito,Active"],
    data_model.ORDERS: ["a-1,Placed,o1,1643600000", "a-1,Placed,o2,1643600001"],
    data_model.ITEMS: ["o1,Lamp,1,80.00", "o2,Sock,1,7.5"],
}
MESSAGES = [
    '{"type":"customer_message","customer_reference":"a-1","number_of_orders":2,"total_amount_spent":87.5}',
    '{"type":"customer_message","customer_reference":"b-2","number_of_orders":0,"total_amount_spent":0}',
]


def write(folder: Path, **extra: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for kind, rows in ROWS.items():
        header = ",".join(column.name for column in kind.required)
        text = "\n".join([header, *rows, *extra.get(kind, [])]) + "\n"
        (folder / f"{kind}_{DAY}.csv").write_text(text, encoding="utf-8")
    return folder


ITEMS = f"items_{DAY}.csv"
UNREADABLE = b"<html>"


@pytest.mark.parametrize(
    ("extra", "items", "code", "said", "errors"),
    [
        ({}, None, 0, ["2 customers, 2 orders, 2 items; 0 of 6 records refused", "= 87.5 counted + 0 refused"], []),
        (
            {"items": ["o1,Lamp,1,80,00", "none,Lamp,1,80"], "orders": ["x,Placed,o3,1"]},
            None,
            1,
            ["3 of 9 records refused", "Incomplete: a-1 (1 refused)\n"],
            [(ITEMS, 4), (ITEMS, 5), (f"orders_{DAY}.csv", 4)],
        ),
        ({}, UNREADABLE, 2, ["would be refused", "can't be used"], [(ITEMS, None)]),
        (
            {"items": [f"o1,Lamp,1,{number}.x" for number in range(25)]},
            None,
            3,
            [f"would be held, as too many records of {ITEMS} were refused"],
            [(ITEMS, None), *((ITEMS, 4 + number) for number in range(25))],
        ),
    ],
    ids=["good", "some records refused", "a file refused", "held"],
)
def test_each_outcome_has_its_exit_code_and_the_messages_that_would_be_sent_results_first(
    tmp_path: Path,
    run: Run,
    extra: dict[str, list[str]],
    items: bytes | None,
    code: int,
    said: list[str],
    errors: list[tuple[str, int | None]],
) -> None:
    folder = write(tmp_path / "day", **extra)
    if items:
        (folder / ITEMS).write_bytes(items)

    result = run("check", str(folder), "--out", str(tmp_path / "out.jsonl"))

    assert result.exit_code == code, result.output
    assert [words for words in said if words not in result.stdout] == [], result.stdout
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    results = MESSAGES if code < 2 else []
    assert lines[: len(results)] == results
    found = [json.loads(line) for line in lines[len(results) :]]
    assert [(error["file"], error["line"]) for error in found] == errors


def test_without_a_terminal_the_messages_are_the_output(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    (folder / f"{ITEMS}.gz").write_bytes(gzip.compress((folder / ITEMS).read_bytes()))
    (folder / ITEMS).unlink()
    generate(folder, "20220201", records=1)
    result = run("check", str(folder), "--batch", DAY)
    assert (result.exit_code, result.stdout.splitlines()) == (0, MESSAGES)
    assert "2 customers" in result.stderr
    summary: dict[str, Any] = json.loads(run("check", str(folder), "--batch", DAY, "--json").stdout)
    assert (summary["batch"], summary["customers"], summary["total_amount"]) == (DAY, 2, "87.5")


def test_the_incomplete_results_are_named_with_the_number_of_their_refused_records(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day", items=["o1,Lamp,two,80", "o1,Lamp"])
    assert json.loads(run("check", str(folder), "--json").stdout)["incomplete"] == {"a-1": 2}


@pytest.mark.parametrize(
    ("names", "arguments", "reason"),
    [
        ([], [], "holds no file named like customers_YYYYMMDD.csv"),
        ([".DS_Store"], [], "holds no file named like customers_YYYYMMDD.csv"),
        (["customers_20220131.csv", "orders_20220201.csv"], [], "several days: 20220131, 20220201. Choose one with"),
        (["customers_20220131.csv"], ["--batch", "20220231"], "--batch is '20220231', which is no day from 2000"),
    ],
)
def test_a_folder_of_which_the_day_is_not_known_is_a_wrong_call_and_no_verdict(
    tmp_path: Path, run: Run, names: list[str], arguments: list[str], reason: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    assert f"{tmp_path / 'none'} is not a folder" in run("check", str(tmp_path / "none")).stderr
    result = run("check", str(tmp_path), *arguments)
    assert result.exit_code == 64
    assert reason in result.stderr
    assert result.stdout == ""


def foreign(name: str) -> dict[str, Any]:
    return foreign_file_error(ObjectCreated("bucket", f"incoming/{name}", "etag"))


@pytest.mark.parametrize(
    ("names", "items"),
    [
        (
            [f"customers_{DAY}.csv"],
            [missing_file_error(DAY, data_model.ITEMS), missing_file_error(DAY, data_model.ORDERS)],
        ),
        (["notes.txt", "customers_20220231.csv"], [foreign("customers_20220231.csv"), foreign("notes.txt")]),
        (
            [f"customers_{DAY}.csv", f"orders_{DAY}.csv", f"items_{DAY}.CSV", "Käufer [1].csv", ".hidden"],
            [foreign("Käufer [1].csv"), foreign(f"items_{DAY}.CSV"), missing_file_error(DAY, data_model.ITEMS)],
        ),
    ],
)
def test_files_that_are_missing_or_foreign_are_exit_code_2_with_the_messages_that_intake_would_send(
    tmp_path: Path, run: Run, names: list[str], items: list[dict[str, Any]]
) -> None:
    for name in names:
        (tmp_path / name).write_text("x")

    result = run("check", str(tmp_path))

    assert result.exit_code == 2
    assert result.stdout.splitlines() == [message.body for item in items if (message := message_for(item))]
    assert "only the errors about files would be sent" in result.stderr
    for item in items:
        sentence = "is missing" if item["code"] == "missing_file" else "is not a batch file's name"
        assert sentence in next(line for line in result.stderr.splitlines() if line.startswith(item["file"]))
    found = json.loads(run("check", str(tmp_path), "--json").stdout)
    assert len(found["missing"]) + len(found["foreign_files"]) == len(items)


def test_what_an_earlier_check_wrote_is_no_file_of_the_partner_and_a_foreign_file_is_reported_among_the_messages(
    tmp_path: Path, run: Run
) -> None:
    folder = write(tmp_path / "day", items=["o1,Lamp,two,80"], orders=["x,Placed,o3,1"])
    out = folder / "messages.jsonl"
    run("check", str(folder), "--out", str(out))
    out.rename(folder / "old.jsonl")
    again = run("check", str(folder), "--out", str(out))
    assert again.exit_code == 1
    assert "old.jsonl is what this command wrote: left out." in again.stderr
    assert "messages.jsonl" not in again.stderr

    (folder / "list.csv").write_text('{"type":"note"}\n')
    result = run("check", str(folder), "--out", str(out))

    assert result.exit_code == 2
    assert "list.csv is not a batch file's name." in result.stderr
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == MESSAGES
    assert [json.loads(line)["file"] for line in lines[2:]] == [ITEMS, "list.csv", f"orders_{DAY}.csv"]


def test_if_a_file_is_there_twice_the_newer_one_is_checked_and_the_exit_code_is_2(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    plain, packed = folder / ITEMS, folder / f"{ITEMS}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes().replace(b"80.00", b"90")))
    for older, newer, total in ((plain, packed, "97.5"), (packed, plain, "87.5")):
        os.utime(older, (1, 1))
        os.utime(newer, (2, 2))
        result = run("check", str(folder))
        assert (result.exit_code, f'"total_amount_spent":{total}' in result.stdout) == (2, True)
        assert "are the same file twice" in result.stderr
        assert json.loads(run("check", str(folder), "--json").stdout)["replaced_files"] == [older.name]


def test_a_terminal_shows_no_more_than_fits_what_refuses_first_and_names_the_file_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "day", items=[f"none-{number},Lamp,{'two' * (number % 2)},80" for number in range(60)])
    (folder / f"customers_{DAY}.csv").write_text("customer_reference,first_name,last_name,status\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    code, shown = on_terminal(["check", str(folder)], lines=20, columns=100)

    assert code == 3, shown
    assert len(shown) <= 20 - 2, shown
    assert "no_records" in next(line for line in shown if " × " in line), shown
    text = Path(shown[-1].removeprefix("All of it: ")).read_text(encoding="utf-8")
    assert all(f"items_{DAY}.csv line {number}" in text for number in range(4, 64))


def on_terminal(arguments: list[str], lines: int, columns: int) -> tuple[int, list[str]]:
    """Run a command on a terminal of this size; return its exit code, and its lines without colours."""
    pty = pytest.importorskip("pty")
    environment = os.environ | {"TERM": "xterm", "LINES": str(lines), "COLUMNS": str(columns)}
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "pipeline_cli.app", *arguments]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(writing)
        text = b""
        with suppress(OSError):  # of a terminal whose last writer has closed it
            while block := os.read(reading, 65536):
                text += block
    os.close(reading)
    return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()


def test_too_little_memory_is_exit_code_70_with_one_sentence(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "day", DAY, records=20_000)
    process = check.process
    monkeypatch.setattr(
        check, "process", lambda *arguments: process(*arguments[:3], replace(arguments[3], memory_mb=1))
    )

    result = run("check", str(tmp_path / "day"), "--out", str(tmp_path / "out"))

    assert (result.exit_code, len(result.stderr.splitlines())) == (70, 1), result.stderr
    assert "--memory" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_full_disk_is_exit_code_70_with_one_sentence(tmp_path: Path) -> None:
    """A limit on the size of files simulates a full disk: the kernel refuses the write in the same place."""
    generate(tmp_path / "day", DAY, records=5_000)
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pipeline_cli.app import main
sys.argv = ["pipeline", "check", {str(tmp_path / "day")!r}, "--out", {str(tmp_path / "out")!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, len(done.stderr.splitlines())) == (70, 1), done.stderr


def test_the_sentence_about_too_many_errors_names_the_file_that_the_pipeline_will_write(
    tmp_path: Path, run: Run
) -> None:
    many = write(tmp_path / "many", items=["o1,Lamp,two,80"] * 1_001)
    last = json.loads(run("check", str(many)).stdout.splitlines()[-1])
    assert last["code"] == "too_many_errors"
    digests = {kind: hashlib.md5((many / f"{kind}_{DAY}.csv").read_bytes()).hexdigest() for kind in MODEL.kinds}
    version = set_version({kind: SourceObject("", digest, 0, "") for kind, digest in digests.items()})
    assert f"feedback/{DAY}/{version}/items_rejects.csv" in last["message"]


def test_without_spark_or_java_the_check_says_what_to_install(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = run("check", str(write(tmp_path / "day")), "--engine", "spark")
    assert (result.exit_code, "make test-spark" in result.stderr) == (70, True)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_check_that_is_stopped_says_so_and_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Wherever the signal comes: DuckDB makes another exception of it."""
    generate(tmp_path / "day", DAY, records=20_000)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "pipeline_cli.app", "check", str(tmp_path / "day"), "--out", str(tmp_path / "out")]
    for moment in (0.0, 0.3, 0.6):
        process = subprocess.Popen(
            command, env=os.environ | {"TMPDIR": str(temporary)}, stderr=subprocess.PIPE, text=True
        )
        while not list(temporary.glob("check-*")):  # not the file with which Python tries the folder
            assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(moment)  # anywhere in the work
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said.splitlines()[-1:]) == (code, ["Stopped."]), said
        assert list(temporary.iterdir()) == []
    assert not (tmp_path / "out").exists()


def control_of(folder: Path) -> list[list[str]]:
    return [line.split(",") for line in (folder / f"control_{DAY}.csv").read_text().splitlines()]


def test_a_control_file_is_written_and_shows_what_was_cut_off_afterwards(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    assert run("check", str(folder), "--write-control", "--json").exit_code == 0
    items = folder / f"items_{DAY}.csv"
    digest = hashlib.sha256(items.read_bytes()).hexdigest()
    assert control_of(folder)[-1] == [items.name, "2", "87.5", digest]
    assert run("check", str(folder), "--json").exit_code == 0

    items.write_text("".join(items.read_text().splitlines(keepends=True)[:-1]))
    result = run("check", str(folder), "--json")

    assert result.exit_code == 2, result.output
    assert json.loads(result.stdout)["files"]["items"]["file_error"] == "control_total_differs"


def test_the_line_of_the_partner_guide_writes_a_control_file(tmp_path: Path, run: Run) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "partner.md").read_text()
    (line,) = (line for line in guide.splitlines() if line.startswith("(echo file,records"))
    folder = write(tmp_path / "day")

    subprocess.run(["sh", "-c", line], cwd=folder, check=True)

    assert control_of(folder)[1:] == [[f"{kind}_{DAY}.csv", "2"] for kind in MODEL.kinds]
    assert run("check", str(folder), "--json").exit_code == 0


def test_remarks_are_shown_and_do_not_change_the_exit_code(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    items = folder / f"items_{DAY}.csv"
    items.write_text(items.read_text().rstrip("\n"))

    result = run("check", str(folder), "--out", str(tmp_path / "out.jsonl"))

    assert result.exit_code == 0, result.output
    assert f"Remark: items_{DAY}.csv: the last line, 3, has no line end" in result.stdout


@pytest.mark.parametrize(("mark", "code"), [("point", 0), ("comma", 3), ("auto", 2)])
def test_the_decimal_mark_can_be_said(tmp_path: Path, run: Run, mark: str, code: int) -> None:
    folder = write(tmp_path / "day")
    (items,) = folder.glob("items_*.csv")
    items.write_text("order_reference;item_name;quantity;total_price\no1;pen;1;1.234\n")
    assert run("check", str(folder), "--decimal-mark", mark, "--json").exit_code == code
