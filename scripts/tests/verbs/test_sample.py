from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline_cli.verbs.sample import defects_of, generate

from scripts.tests.support import Run

DAY = "20220131"


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = generate(tmp_path / "a", DAY, seed=7), generate(tmp_path / "b", DAY, seed=7)
    assert {k: p.read_bytes() for k, p in first.files.items()} == {k: p.read_bytes() for k, p in second.files.items()}
    other = generate(tmp_path / "c", DAY, seed=8)
    assert other.files[data_model.ORDERS].read_bytes() != first.files[data_model.ORDERS].read_bytes()


def test_a_day_without_defects_is_valid(tmp_path: Path) -> None:
    sample = generate(tmp_path, DAY, records=50, defects=0)

    tables = {kind: rows(path) for kind, path in sample.files.items()}
    for kind, (header, *records) in tables.items():
        assert header == [column.name for column in kind.required]
        assert len(records) == sample.records[kind]
        assert {len(record) for record in records} == {len(header)}
    customers = {record[0] for record in tables[data_model.CUSTOMERS][1:]}
    orders = {record[2] for record in tables[data_model.ORDERS][1:]}
    assert len(customers) == 50
    assert len(orders) == sample.records[data_model.ORDERS]
    assert {record[0] for record in tables[data_model.ORDERS][1:]} < customers
    assert {record[0] for record in tables[data_model.ITEMS][1:]} <= orders
    assert sample.defects == 0


def test_a_control_file_agrees_with_its_day(tmp_path: Path, run: Run) -> None:
    assert run("sample", str(tmp_path), "--date", DAY, "--control").exit_code == 0
    summary = json.loads(run("check", str(tmp_path), "--json").stdout)
    assert [file["matches_control"] for file in summary["files"].values()] == [True, True, True]


def test_the_customers_come_back_on_other_days_with_other_orders(tmp_path: Path) -> None:
    one, two = (generate(tmp_path, day, defects=0) for day in (DAY, "20220201"))
    assert one.files[data_model.CUSTOMERS].read_bytes() == two.files[data_model.CUSTOMERS].read_bytes()
    assert one.files[data_model.ORDERS].read_bytes() != two.files[data_model.ORDERS].read_bytes()


def test_the_share_of_defects_is_as_set_and_every_kind_of_defect_occurs(tmp_path: Path) -> None:
    sample = generate(tmp_path, DAY, records=1000, defects=0.05)
    assert sample.defects / sum(sample.records.values()) == pytest.approx(0.05, rel=0.2)
    assert sample.defects > 10 * sum(len(defects_of(kind)) for kind in MODEL.kinds)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """A limit on the size of files simulates a full disk: the kernel refuses the write in the same place."""
    code = f"""
import resource, sys
from pipeline_cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
sys.argv = ["pipeline", "sample", {str(tmp_path / "day")!r}, "--records", "2000"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "has no room left" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
