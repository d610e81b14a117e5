from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pipeline.model.data_model import KINDS, Kind
from pipeline_cli.commands import check
from pipeline_cli.operations.sample import generate
from pipeline_cli.output.errors import UsageError

from scripts.tests.support import Run

DAY = "20220131"
ROWS = {
    Kind.CUSTOMERS: ["b-2,Åsa,Nowak,Active", "a-1,Emre,Ito,Active"],
    Kind.ORDERS: ["a-1,Placed,o1,1643600000", "a-1,Placed,o2,1643600001"],
    Kind.ITEMS: ["o1,Lamp,1,80.00", "o2,Sock,1,7.5"],
}
MESSAGES = [
    '{"type":"customer_message","customer_reference":"a-1","number_of_orders":2,"total_amount_spent":87.5}',
    '{"type":"customer_message","customer_reference":"b-2","number_of_orders":0,"total_amount_spent":0}',
]


def write(folder: Path, **extra: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for kind, rows in ROWS.items():
        header = ",".join(column.name for column in KINDS[kind].columns)
        text = "\n".join([header, *rows, *extra.get(kind.value, [])]) + "\n"
        (folder / f"{kind}_{DAY}.csv").write_text(text, encoding="utf-8")
    return folder


def test_the_messages_of_a_good_day_go_to_a_file_customers_sorted(tmp_path: Path, run: Run) -> None:
    result = run("check", str(write(tmp_path / "day")), "--out", str(tmp_path / "out.jsonl"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines() == MESSAGES
    assert "Batch 20220131: 2 customers, 2 orders, 2 items; 0 of 6 records refused" in result.stdout
    assert "Reconciled: 87.5 in the items file = 87.5 counted + 0 refused" in result.stdout


def test_without_a_terminal_the_messages_are_the_output(tmp_path: Path, run: Run) -> None:
    result = run("check", str(write(tmp_path / "day")))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == MESSAGES
    assert "2 customers" in result.stderr


def test_refused_records_are_exit_code_1_and_come_last_by_file_and_line(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day", items=["o1,Lamp,1,80,00", "none,Lamp,1,80"], orders=["x,Placed,o3,1"])
    result = run("check", str(folder), "--out", "-")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[:2] == MESSAGES
    errors = [json.loads(line) for line in lines[2:]]
    assert [(error["file"], error["line"]) for error in errors] == [
        (f"items_{DAY}.csv", 4),
        (f"items_{DAY}.csv", 5),
        (f"orders_{DAY}.csv", 4),
    ]


def test_a_file_that_cannot_be_used_is_exit_code_2_and_its_error_is_written(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    (folder / f"items_{DAY}.csv").write_text("<html>")
    result = run("check", str(folder), "--out", str(tmp_path / "out.jsonl"))
    assert result.exit_code == 2
    (message,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (message["type"], message["file"], message["line"]) == ("error_message", f"items_{DAY}.csv", None)
    assert "would be refused" in result.stdout
    assert "can't be used" in result.stdout


def test_compressed_files_are_checked_as_well(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    for kind in Kind:
        plain = folder / f"{kind}_{DAY}.csv"
        (folder / f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    assert run("check", str(folder)).stdout.splitlines() == MESSAGES


def test_a_machine_gets_the_summary(tmp_path: Path, run: Run) -> None:
    result = run("check", str(write(tmp_path / "day")), "--json", "--out", str(tmp_path / "out.jsonl"))
    summary: dict[str, Any] = json.loads(result.stdout)
    assert (summary["batch"], summary["customers"], summary["total_amount"]) == (DAY, 2, "87.5")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines() == MESSAGES


def test_the_refused_records_are_written_as_they_were_read(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day", items=["o1,Lamp,two,80"])
    run("check", str(folder), "--rejects", str(tmp_path / "rejects"))
    (file,) = (tmp_path / "rejects").iterdir()
    assert file.name == f"{DAY}_items_rejects.csv"
    assert '"o1,Lamp,two,80"' in file.read_text()


@pytest.mark.parametrize(
    ("names", "batch", "reason"),
    [
        ([], "", "holds no file named like customers_YYYYMMDD.csv"),
        (["notes.txt", "customers_20220231.csv"], "", "holds no file named like"),
        (["customers_20220131.csv"], "", "has no orders_20220131.csv and no items_20220131.csv"),
        (["customers_20220131.csv", "orders_20220201.csv"], "", "several days: 20220131, 20220201. Choose one with"),
        (["customers_20220131.csv"], "20220201", "The set of 20220201 is not complete"),
        (["orders_20220131.csv", "orders_20220131.csv.gz"], "", "are the same file twice"),
    ],
)
def test_a_folder_without_exactly_one_set_is_exit_code_2(
    tmp_path: Path, run: Run, names: list[str], batch: str, reason: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    result = run("check", str(tmp_path), *(["--batch", batch] if batch else []))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stdout == ""


def test_one_of_several_days_can_be_chosen(tmp_path: Path, run: Run) -> None:
    folder = write(tmp_path / "day")
    generate(folder, "20220201", customers=1)
    assert run("check", str(folder), "--batch", DAY).stdout.splitlines() == MESSAGES


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        check.find_files(tmp_path / "none")
