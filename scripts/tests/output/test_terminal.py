"""Text from partners on terminals: control characters are escaped and never interpreted."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pipeline import ledger
from pipeline.events import ObjectCreated, foreign_file_error
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_item
from pipeline.model.text import ESCAPES
from pipeline_cli.output import terminal
from pipeline_cli.output.files import open_whole, write_whole
from rich.progress import Progress

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_check import write
from scripts.tests.verbs.test_logs import write as write_log
from scripts.tests.verbs.test_upload import DAY, run_batch

HOSTILE = "\x1b[31m\x1b]0;owned\x07\x9b2J\x00\x7f\u202egpj.\u2066x\ry[/]\nforged line"
"""Colours, a window title, a C1 sequence that clears the screen, reordered letters, markup, a line of its own."""

PACKAGE = Path(terminal.__file__).parents[1]


def assert_harmless(text: str) -> None:
    assert [character for character in text if ord(character) in ESCAPES and character != "\n"] == []
    assert not any(line.startswith("forged") for line in text.splitlines())


def test_messages_show_what_a_reference_holds_and_machines_get_the_bodies_as_they_are(stack: Stack, run: Run) -> None:
    bodies: list[dict[str, Any]] = [
        {"type": "customer_removed", "customer_reference": HOSTILE},
        {"type": "error_message", "message": HOSTILE},
        {"type": HOSTILE},
    ]
    for number, body in enumerate(bodies):
        stack.send(body, group=str(number))

    result = run("messages")

    assert_harmless(result.output)
    assert result.stdout.count(r"\x1b[31m\x1b]0;owned\x07\x9b2J\x00\x7f\u202egpj.\u2066x\ry[/]\nforged line") == 2
    assert [json.loads(line) for line in run("messages", "--json").stdout.splitlines()] == bodies


def test_errors_and_status_show_keys_sentences_and_causes(stack: Stack, run: Run) -> None:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    stack.put("incoming/\x1b]0;x\x07\u202e.csv")
    run_batch(stack)
    stack.table.update_ledger(DAY, lambda entry: ledger.replace(entry, state=ledger.BatchState.FAILED, cause=HOSTILE))
    stack.table.put(error_item(DAY, data_model.ITEMS, f"items_{DAY}.csv", 2, "not_an_amount", HOSTILE))
    stack.table.put(foreign_file_error(ObjectCreated("files", f"incoming/{HOSTILE}", "e")))

    for arguments in (["status"], ["status", DAY], ["errors", DAY], ["errors", "unknown"]):
        result = run(*arguments)
        assert_harmless(result.output)
        assert arguments == ["status"] or r"\x1b[31m" in result.stdout
        assert_harmless(run(*arguments, "--json").output)


def test_logs_show_a_line_of_the_log_in_one_line(stack: Stack, run: Run) -> None:
    entry = {"level": "INFO", "message": HOSTILE, "key": HOSTILE, "exception_name": HOSTILE}
    write_log(stack, "intake", (1, entry), (2, HOSTILE))
    result = run("logs")
    assert_harmless(result.output)
    assert len(result.stdout.splitlines()) == 2


def test_check_shows_cells_and_header_names_and_keeps_references_in_the_messages(tmp_path: Path, run: Run) -> None:
    hostile = re.sub("[\0\r\n]", "", HOSTILE)  # NUL makes a file binary, a line end ends the record
    day = write(tmp_path / "day", customers=[f'"{hostile}",A,B,C'], items=[f"o1,Lamp,1,{hostile}"])
    items = day / f"items_{DAY}.csv"
    lines = items.read_text(encoding="utf-8").split("\n")
    items.write_text("\n".join([f"{lines[0]},{hostile}", *(f"{line}," for line in lines[1:-1]), ""]), encoding="utf-8")

    result = run("check", str(day), "--out", str(tmp_path / "out"))

    assert_harmless(result.output)
    visible = hostile.removeprefix("\x1b")  # what is invisible at an end is trimmed
    assert r"total_price '[31m\x1b]0;owned" in result.stdout
    bodies = [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
    assert visible in [body["customer_reference"] for body in bodies]
    assert_harmless("".join(body.get("message", "") for body in bodies))


def test_a_failure_escapes_the_name_of_its_file(tmp_path: Path, run: Run) -> None:
    result = run("check", str(tmp_path / HOSTILE.replace("\0", "")))
    assert result.exit_code == 64
    assert_harmless(result.output)
    assert r"\x1b[31m" in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_body_of_a_message_means_the_same_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"customer_reference": HOSTILE}, ensure_ascii=False)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    terminal.print_line(body)
    assert_harmless(screen.getvalue())
    assert json.loads(screen.getvalue()) == json.loads(body)


def test_a_console_escapes_what_a_command_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Widths may be wrong then, but nothing acts; line ends stay, as the layout makes them."""
    table = terminal.table("Name")
    table.add_row("\x1b[2J\u202e")
    terminal.out().print("a\x1b[2Jb", table, sep="\n")
    with Progress(console=terminal.err()) as progress:
        progress.add_task("\x9b2J")
    shown = capsys.readouterr()
    assert_harmless(shown.out + shown.err)
    assert r"a\x1b[2Jb" in shown.out


def test_a_file_is_written_whole_for_its_owner_alone_and_through_no_link(tmp_path: Path) -> None:
    other, file = tmp_path / "of somebody else", tmp_path / "page.html"
    other.write_text("kept")
    file.symlink_to(other)
    write_whole(file, "page")
    assert (file.read_text(), file.is_symlink(), other.read_text()) == ("page", False, "kept")
    assert file.stat().st_mode & 0o777 == 0o600
    with suppress(ZeroDivisionError), open_whole(file) as stream:
        stream.write(b"half")
        _ = 1 / 0
    assert (file.read_text(), sorted(path.name for path in tmp_path.iterdir())) == ("page", [other.name, file.name])


def modules() -> Iterator[tuple[str, str]]:
    for path in PACKAGE.rglob("*.py"):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def test_text_is_shown_in_one_place_only() -> None:
    """Commands print through `terminal`: its consoles, `print_json` and `print_line`."""
    elsewhere = [
        name
        for name, source in modules()
        if re.search(r"rich\.markup import|[^\w]Console\(|sys\.std(out|err)\.write", source)
    ]
    assert elsewhere == ["output/terminal.py"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0304, "30 ms"), (0.34, "340 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (4.24, "4.2 s"),
     (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_a_duration_below_a_second_is_shown_in_milliseconds(seconds: float, text: str) -> None:
    assert terminal.duration(seconds) == text
