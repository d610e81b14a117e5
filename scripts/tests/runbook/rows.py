"""The rows of docs/runbook.md, and the commands that they tell an operator to type."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping

from pipeline_cli.terraform.target import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
LOOKS = {"status", "errors", "logs", "feedback", "report", "messages", "check", "plan"}
"""Commands of the program that change nothing."""


def alarms() -> dict[str, str]:
    """What to do about each alarm, by the pattern of its name."""
    section = RUNBOOK.read_text().partition("## Alarms")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| .+ \| (.+) \|$", section, re.MULTILINE))


def sections() -> dict[str, str]:
    """The sections after the table of alarms, by title."""
    texts = RUNBOOK.read_text().partition("## Alarms")[2].split("\n## ")[1:]
    return {title: body for title, _, body in (text.partition("\n") for text in texts)}


def cases(title: str) -> dict[str, str]:
    """The cases of a section: each is an item of its list that begins with a bold sentence."""
    items = re.findall(r"^\* \*\*(.+?)\*\*((?:.|\n(?!\* |\n))*)", sections()[title], re.MULTILINE)
    return {lead.strip('".').replace("`", ""): f"**{lead}**{text}" for lead, text in items}


def introduction(title: str) -> str:
    """A section without its cases."""
    return re.sub(r"^\* (?:.|\n(?!\* |\n))*", "", sections()[title], flags=re.MULTILINE)


def titles(row: str) -> list[str]:
    """The sections in which a row goes on: those that an alarm's advice names, or the section itself."""
    return [row] if row in sections() else re.findall(r"\[([^]]+)\]\(#", alarms()[row])


def texts(row: str, case: str = "") -> Iterator[str]:
    """What an operator reads about a row: its advice, the introduction of the section that it names, the case there."""
    yield alarms().get(row, "")
    yield from map(introduction, titles(row))
    if case:
        (found,) = (cases(title)[case] for title in titles(row) if case in cases(title))
        yield found


def commands(row: str, case: str = "") -> list[str]:
    """The commands of a row, in order, each once, as they are written."""
    code = (piece for text in texts(row, case) for piece in re.findall(r"`([^`]+)`", text))
    typed = (piece for piece in code if re.match(r"make [a-z]|\.venv/bin/pipeline |aws [a-z]", piece))
    return list(dict.fromkeys(re.sub(r"\s+", " ", piece) for piece in typed))


def filled_in(command: str, values: Mapping[str, str]) -> str:
    """Replace what stands for something (`…`, `BATCH`, `<version>`) as an operator does."""
    for placeholder in sorted(values, key=len, reverse=True):
        bare = placeholder.isalpha()
        pattern = rf"(?<!\w){placeholder}(?![\w=])" if bare else re.escape(placeholder)
        command = re.sub(pattern, lambda _, value=values[placeholder]: value, command)  # type: ignore[misc]
    return command


@functools.cache
def arguments(command: str) -> list[list[str]]:
    """The arguments of each call of the program that a command makes; make itself says what a target calls."""
    words = shlex.split(command)
    if words[0] != "make":
        return [words[1:]]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = [
        r"PIPELINE=printf '\n'; printf '%s\n' --env $(ENV)",
        "--old-file=.venv/.ready",
        "--old-file=.venv/.ready-dev",
    ]
    done = subprocess.run(
        ["make", "--no-print-directory", *words[1:], *shown],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [call.split("\n") for call in done.stdout.strip("\n").split("\n\n")]


def first_commands() -> list[str]:
    """The commands with which the runbook begins."""
    block = RUNBOOK.read_text().partition("Start here:")[2].partition("```sh\n")[2].partition("```")[0]
    return [line.partition(" #")[0].strip() for line in block.splitlines()]


def only_looks(command: str) -> bool:
    """Return whether a command changes nothing."""
    words = shlex.split(command)
    if words[0] == "aws":
        return words[2].startswith("list-")
    if words[1] == "redrive":
        return "LIST=1" in words
    return words[1].removeprefix("tf-") in LOOKS
