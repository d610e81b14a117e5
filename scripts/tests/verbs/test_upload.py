from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline_cli.deployment import following
from pipeline_cli.output.errors import UsageError
from pipeline_cli.verbs import upload
from pipeline_cli.verbs.sample import generate
from pipeline_cli.verbs.upload import plan, recognise

from scripts.tests.support import Run, Stack

DAY = "20220131"
SUMMARY = {
    "state": "READY",
    "customers": 2,
    "orders": 3,
    "items": 4,
    "errors": 1,
    "files": {"items": {"read": 5, "refused": 1}},
}


@pytest.fixture
def day(tmp_path: Path) -> Path:
    generate(tmp_path / "day", DAY, records=3)
    return tmp_path / "day"


def now() -> datetime:
    return datetime.now(UTC)


def run_batch(stack: Stack, state: BatchState = BatchState.COMPLETED, cause: str | None = None) -> Ledger:
    """Process the set in the bucket as the pipeline does."""
    files = stack.bucket.find_set(DAY)

    def change(entry: Ledger) -> Ledger:
        claimed = ledger.claim(entry, files, now())
        if claimed.state is not BatchState.QUEUED:
            return claimed
        begun = ledger.begin(claimed, str(claimed.execution), now())
        return ledger.finish(begun, str(begun.execution), state, now(), summary=SUMMARY, cause=cause)

    return stack.table.update_ledger(DAY, change)


def keys(stack: Stack) -> list[str]:
    return sorted(stack.bucket.keys("incoming/"))


@pytest.mark.parametrize(
    ("state", "cause", "code"),
    [(BatchState.COMPLETED, None, 0), (BatchState.FAILED, "no header", 1), (BatchState.HELD, "too many", 1)],
)
def test_a_day_is_sent_and_its_end_is_waited_for(
    stack: Stack, run: Run, day: Path, state: BatchState, cause: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "sleep", lambda _: run_batch(stack, state, cause))

    result = run("upload", str(day))

    assert result.exit_code == code, result.output
    assert keys(stack) == [f"incoming/{kind}_{DAY}.csv" for kind in sorted(MODEL.kinds)]
    for kind in MODEL.kinds:
        stored = stack.client("s3").get_object(Bucket=stack.bucket.name, Key=f"incoming/{kind}_{DAY}.csv")
        assert stored["Body"].read() == (day / f"{kind}_{DAY}.csv").read_bytes()
    assert f"Batch 20220131 {state}" in result.stdout
    assert (cause or "2 customers, 3 orders, 4 items; 1 of 5 records refused") in result.stdout
    assert "Target: the local AWS" in result.stderr
    see = f"Error: Batch 20220131 {state}. See: .venv/bin/pipeline errors 20220131"
    assert (see in result.stderr) is bool(code)


def test_the_same_set_again_is_reported_as_not_processed_again(stack: Stack, run: Run, day: Path) -> None:
    sent = run("upload", str(day), "--no-wait")
    assert "Sent. Follow it with: .venv/bin/pipeline status 20220131" in sent.stdout
    run_batch(stack)
    result = run("upload", str(day))
    assert result.exit_code == 0
    assert "the set is the same, so nothing runs again" in result.stdout


def test_an_incomplete_set_says_what_is_missing_and_does_not_wait(stack: Stack, run: Run, day: Path) -> None:
    result = run("upload", str(day / f"orders_{DAY}.csv"))
    assert (result.exit_code, f"{DAY}: waits for customers and items" in result.stdout) == (0, True)


def test_a_file_is_renamed_and_the_new_name_is_shown(stack: Stack, run: Run, day: Path) -> None:
    file = (day / f"items_{DAY}.csv").rename(day / "[neu] export.csv")
    result = run("upload", str(file), "--date", "20220201")
    assert result.exit_code == 0
    assert keys(stack) == ["incoming/items_20220201.csv"]
    assert "[neu] export.csv is sent as items_20220201.csv" in result.stderr


def test_a_refused_file_stops_everything(stack: Stack, run: Run, day: Path) -> None:
    (day / "notes.txt").write_text("hello")
    result = run("upload", str(day / f"items_{DAY}.csv"), str(day / "notes.txt"))
    assert result.exit_code == 2
    assert "notes.txt: its first line is not the header" in result.stderr
    assert keys(stack) == []


def test_waiting_ends_with_a_hint(stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "FOLLOW_SECONDS", 0.0)
    result = run("upload", str(day))
    assert result.exit_code == 1
    assert "Batch 20220131 takes longer than 0 ms. It continues; look again with: " in result.stderr


def test_an_interrupted_upload_says_what_was_sent(
    stack: Stack, run: Run, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = stack.client("s3")
    upload_file, client = s3.upload_file, type(stack.target).client

    def stop_at_the_second(path: str, *arguments: object, **options: object) -> None:
        if "items" in path:
            raise KeyboardInterrupt
        upload_file(path, *arguments, **options)

    monkeypatch.setattr(s3, "upload_file", stop_at_the_second)
    monkeypatch.setattr(type(stack.target), "client", lambda self, name: s3 if name == "s3" else client(self, name))
    result = run("upload", str(day))
    assert result.exit_code == 130
    assert f"Sent: customers_{DAY}.csv. Not sent: items_{DAY}.csv and orders_{DAY}.csv." in result.stderr
    assert result.stderr.splitlines()[-1] == "Stopped."


# --- what a file is ------------------------------------------------------------------------------------------------

HEADERS = {kind: ",".join(column.name for column in kind.required) for kind in MODEL.kinds}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("kind", "delimiter"), [*zip((*MODEL.kinds, MODEL.root), ",;\t|", strict=True)])
def test_a_header_gives_the_kind_with_every_delimiter(tmp_path: Path, kind: RecordKind, delimiter: str) -> None:
    file = write(tmp_path / "export.txt", HEADERS[kind].replace(",", delimiter) + "\n1\n")
    assert recognise(file, DAY).name == f"{kind}_{DAY}.csv"


@pytest.mark.parametrize(
    "header",
    [
        "\ufeffCustomer_Reference, first_name ,LAST_NAME,status\r\n",
        '"customer_reference","first_name","last_name","status"\n',
        "\n\n  \nid,status,customer_reference,extra,last_name,first_name\n",
        "sep=;\ncustomer_reference;first_name;last_name;status",
        "customer_reference,first_name,last_name,status\rA,b,c,d\r",
    ],
    ids=["bom-case-blanks", "quoted", "blank-lines-first", "excel", "cr"],
)
def test_a_header_is_read_the_way_the_pipeline_reads_it(tmp_path: Path, header: str) -> None:
    assert recognise(write(tmp_path / "export.csv", header), DAY).name == f"customers_{DAY}.csv"
    packed = recognise(write(tmp_path / "export", gzip.compress(header.encode())), DAY)
    assert packed.name == f"customers_{DAY}.csv.gz"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        ("<html></html>\n", "not the header of a customers, orders or items file"),
        ("customer_reference,first_name,last_name\n", "for customers, the header has no column status"),
        ("a,b\n".encode("utf-16"), "not the header of"),
        (gzip.compress(b"x" * 100)[:-20], "broken gzip"),
        (
            f"{HEADERS[data_model.CUSTOMERS]},{HEADERS[data_model.ITEMS]}",
            "more than one kind (customers and items)",
        ),
    ],
)
def test_a_file_that_cannot_be_recognised_is_refused_with_the_reason(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    file = write(tmp_path / "export.csv", content)
    with pytest.raises(UsageError, match="Nothing was uploaded") as failure:
        plan([file], DAY)
    assert reason in str(failure.value)
    assert str(file) in str(failure.value)


def test_a_folder_means_its_files_and_unusable_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to upload"):
        plan([tmp_path], DAY)
    for kind, header in HEADERS.items():
        write(tmp_path / f"{kind}-export.csv", header)
    write(tmp_path / "notes.txt", "hello")
    write(tmp_path / ".hidden", "hello")
    (tmp_path / "sub").mkdir()

    uploads, (left_out,) = plan([tmp_path], DAY)

    assert [upload.name for upload in uploads] == sorted(f"{kind}_{DAY}.csv" for kind in MODEL.kinds)
    assert "notes.txt" in left_out


@pytest.mark.parametrize(
    ("names", "date", "reason"),
    [
        (["customers_20220131.csv", "export.csv"], DAY, "would both be the customers file of 20220131"),
        (["none"], DAY, "does not exist"),
        (["export.csv"], "20220231", "no day from 2000"),
    ],
)
def test_what_can_not_be_sent_is_refused(tmp_path: Path, names: list[str], date: str, reason: str) -> None:
    for name in {*names} - {"none"}:
        write(tmp_path / name, HEADERS[data_model.CUSTOMERS])
    with pytest.raises(UsageError, match=reason):
        plan([tmp_path / name for name in names], date)
