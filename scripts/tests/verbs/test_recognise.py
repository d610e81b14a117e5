from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline_cli.output.errors import UsageError
from pipeline_cli.verbs.upload import plan, recognise

HEADERS = {kind: [column.name for column in kind.required] for kind in MODEL.kinds}
DATE = "20220131"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("kind", MODEL.kinds)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_header_gives_the_kind_with_every_delimiter(tmp_path: Path, kind: RecordKind, delimiter: str) -> None:
    file = write(tmp_path / "export.txt", delimiter.join(HEADERS[kind]) + "\n1\n")
    assert recognise(file, DATE).name == f"{kind}_{DATE}.csv"


@pytest.mark.parametrize(
    "header",
    [
        "\ufeffCustomer_Reference, first_name ,LAST_NAME,status\r\n",
        '"customer_reference","first_name","last_name","status"\n',
        "\n\n  \nid,status,customer_reference,extra,last_name,first_name\n",
        "customer_reference,first_name,last_name,status",
        "customer_reference,first_name,last_name,status\rA,b,c,d\r",
    ],
    ids=["bom-case-blanks", "quoted", "blank-lines-first", "header-only", "cr"],
)
def test_a_header_is_read_the_way_the_pipeline_reads_it(tmp_path: Path, header: str) -> None:
    assert recognise(write(tmp_path / "export.csv", header), DATE).name == f"customers_{DATE}.csv"


def test_a_gzip_file_is_recognised_by_its_content_and_gets_its_ending(tmp_path: Path) -> None:
    file = write(tmp_path / "export.csv", gzip.compress(",".join(HEADERS[data_model.ITEMS]).encode() + b"\n"))
    assert recognise(file, DATE).name == "items_20220131.csv.gz"


def test_a_valid_name_is_kept_with_any_header(tmp_path: Path) -> None:
    file = write(tmp_path / "orders_20220130.csv.gz", b"no gzip")
    upload = recognise(file, DATE)
    assert (upload.name, upload.key, upload.note) == (file.name, "incoming/orders_20220130.csv.gz", None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("<html></html>\n", "not the header of a customers, orders or items file"),
        ("customer_reference,first_name,last_name\n", "looks like that of customers, but has no column status"),
        ("a,b\n".encode("utf-16"), "not text in UTF-8"),
        (gzip.compress(b"x" * 100)[:-20], "broken gzip"),
        (b"\x1f\x8bno gzip at all", "broken gzip"),
        (
            ",".join([*HEADERS[data_model.CUSTOMERS], *HEADERS[data_model.ITEMS]]),
            "more than one kind (customers and items)",
        ),
    ],
)
def test_a_file_that_cannot_be_recognised_is_refused_with_the_reason(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    file = write(tmp_path / "export.csv", content)
    with pytest.raises(UsageError, match="Nothing was uploaded") as failure:
        plan([file], DATE)
    assert reason in str(failure.value)
    assert str(file) in str(failure.value)


def test_force_sends_a_file_as_it_is(tmp_path: Path) -> None:
    file = write(tmp_path / "notes.txt", "hello")
    uploads, left_out = plan([file], DATE, force=True)
    assert [upload.key for upload in uploads] == ["incoming/notes.txt"]
    assert left_out == []


def test_a_folder_means_its_files_and_unusable_ones_are_named(tmp_path: Path) -> None:
    for kind, header in HEADERS.items():
        write(tmp_path / f"{kind}-export.csv", ",".join(header))
    write(tmp_path / "notes.txt", "hello")
    write(tmp_path / ".hidden", "hello")
    (tmp_path / "sub").mkdir()

    uploads, left_out = plan([tmp_path], DATE)

    assert [upload.name for upload in uploads] == sorted(f"{kind}_{DATE}.csv" for kind in MODEL.kinds)
    assert len(left_out) == 1
    assert "notes.txt" in left_out[0]


def test_two_files_that_would_be_one_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "customers_20220131.csv", "x")
    second = write(tmp_path / "export.csv", ",".join(HEADERS[data_model.CUSTOMERS]))
    with pytest.raises(UsageError, match="would both be the customers file of 20220131"):
        plan([first, second], DATE)


@pytest.mark.parametrize("date", ["2022-01-31", "20220231", "today"])
def test_an_invalid_date_is_refused(tmp_path: Path, date: str) -> None:
    with pytest.raises(UsageError, match=r"written YYYYMMDD|no day from 2000"):
        plan([tmp_path], date)


def test_an_empty_upload_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to upload"):
        plan([tmp_path], DATE)
    with pytest.raises(UsageError, match="does not exist"):
        plan([tmp_path / "none"], DATE)
