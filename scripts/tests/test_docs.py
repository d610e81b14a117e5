"""Everything that the documents name exists: targets, commands, flags, paths, variables, links."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from pipeline import settings
from pipeline.model.data_model import MODEL
from pipeline.stages.run import Run
from pipeline_cli.terraform.target import ROOT

from scripts.tests import command_docs

DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)
AUTOMATION = [
    ROOT / ".github/workflows/ci.yml",
    ROOT / ".github/workflows/deploy.yml",
    ROOT / "scripts/release.sh",
    ROOT / ".pre-commit-config.yaml",
    ROOT / ".ci/run",
]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):.*##", MAKEFILE, re.MULTILINE))
COMMANDS = dict(command_docs.commands())
ELSEWHERE = {"AWS_PROFILE", "YYYYMMDD", "PIP_INDEX_URL"}
"""Names in capitals that belong to another program, or are placeholders."""

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code(document: Path) -> Iterator[str]:
    """Every piece of code: the lines of shell blocks, without comments, and what stands in backticks."""
    text = document.read_text()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language == "sh":
            yield from (line.partition(" #")[0].strip() for line in block.splitlines() if not line.startswith("#"))
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def words(line: str) -> list[str]:
    """The words of a command line; an ellipsis or a placeholder is one, too."""
    return shlex.split(line.replace("'", "").replace("`", ""))


def makes(line: str) -> Iterator[tuple[list[str], list[str]]]:
    """The targets and the variables of each `make` in a line."""
    for part in line.split("&&"):
        if found := re.match(r"(?:[A-Z_]+=\S+ )*make (.+)", part.strip()):
            rest = words(found[1])
            yield [w for w in rest if "=" not in w], [w.partition("=")[0] for w in rest if "=" in w]


@pytest.mark.parametrize("document", [*DOCUMENTS, *AUTOMATION], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_and_variable_exists(document: Path) -> None:
    lines = code(document)
    if document in AUTOMATION:
        lines = (
            line.partition("entry: ")[2] or line.strip()
            for line in document.read_text().splitlines()
            if "make " in line
        )
        lines = (line for line in lines if line.startswith("make "))
    for line in lines:
        for targets, variables in makes(line):
            assert set(targets) <= TARGETS, f"make has no target {set(targets) - TARGETS}: {line}"
            for variable in variables:
                known = re.search(rf"\$[({{]?\(?{variable}\b|\$\${variable}\b|export .*\b{variable}\b", MAKEFILE)
                assert known, f"make reads no {variable}: {line}"


@documents
def test_every_command_and_flag_exists(document: Path) -> None:
    for line in code(document):
        found = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?pipeline (?=\w|-)(.*)", line)
        if not found:
            continue
        arguments = words(found[1].partition(">")[0])
        env = [word for word in arguments if word == "--env"]
        name = next((n for n in (" ".join(arguments[:2]), arguments[0]) if n in COMMANDS), None)
        assert name, f"there is no command {arguments[0]}: {line}"
        flags = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help", *env}
        unknown = {word for word in arguments if word.startswith("--")} - flags
        assert not unknown, f"pipeline {name} has no {unknown}: {line}"


def test_every_command_is_described_in_its_own_words() -> None:
    assert command_docs.FILE.read_text() == command_docs.text(), "write it anew: make command-docs"
    silent = [name for name, command in COMMANDS.items() if "Exit codes: " not in command.help]
    assert not silent, f"their help does not name their exit codes: {silent}"


@documents
def test_every_path_exists(document: Path) -> None:
    top = {path.name for path in ROOT.iterdir()} - {"build"}
    for piece in code(document):
        for word in re.split(r"[\s,:;'\"]+", piece):
            if "/" in word and word.split("/")[0] in top and not re.search(r"[<*…]", word):
                assert (ROOT / word).exists(), f"there is no {word}"


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in {
                slug(heading) for heading in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            }, link


def slug(heading: str) -> str:
    """The anchor that a Markdown viewer gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def known_variables() -> set[str]:
    """Every environment variable that make, the scripts or the functions read."""
    models = (
        model for model in vars(settings).values() if isinstance(model, type) and hasattr(model, "__dataclass_fields__")
    )
    lambdas = {setting.name.upper() for model in models for setting in fields(model)}
    workflow = (ROOT / ".github/workflows/deploy.yml").read_text()
    sources = [MAKEFILE, workflow, *(path.read_text() for path in (ROOT / "scripts" / "pipeline_cli").rglob("*.py"))]
    return lambdas | {name for text in sources for name in re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", text)}


@documents
def test_every_environment_variable_is_read_somewhere(document: Path) -> None:
    named = {
        name for piece in code(document) for name in re.findall(r"^([A-Z][A-Z0-9]*_[A-Z0-9_]+|[A-Z]{3,})=?$", piece)
    }
    unknown = named - known_variables() - ELSEWHERE - states()
    assert not unknown, f"nothing reads {unknown}"


def states() -> set[str]:
    from pipeline.ledger import BatchState

    return {state.value for state in BatchState}


def test_every_document_is_linked_from_another() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text())
    }
    alone = {path for path in DOCUMENTS if path.parent != ROOT and path.parent.name != "adr"} - linked
    assert not alone, f"nobody finds {alone}"


def test_the_runbook_restores_the_list_of_customers_where_the_code_reads_it() -> None:
    key = Run("<batch>", "", "", {}).delivered_key("<version>")
    assert key in (ROOT / "docs" / "runbook.md").read_text()
    assert key in (ROOT / "docs" / "adr" / "0001-exactly-once.md").read_text()


def test_the_ledgers_diagram_has_every_state_of_a_batch() -> None:
    diagram = (ROOT / "docs" / "architecture.md").read_text().partition("```mermaid")[2].partition("```")[0]
    assert set(re.findall(r"\b[A-Z]{4,}\b", diagram)) == states()


def test_the_partners_guide_names_every_required_column() -> None:
    text = (ROOT / "docs" / "partner.md").read_text()
    for kind in MODEL.kinds:
        assert f"| `{kind}_YYYYMMDD.csv` | {', '.join(column.name for column in kind.required)} |" in text


def test_continuous_integration_runs_the_make_targets() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"^\s*- run: (.+)$", workflow, re.MULTILINE) == [".ci/run"]
    commands = re.findall(r"^make (\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert commands[:2] == ["lint", "test"]
    assert set(commands) <= TARGETS


def test_a_release_builds_what_the_changelog_describes() -> None:
    workflow = (ROOT / ".github/workflows/release.yml").read_text()
    assert re.findall(r"^\s*- run: (\S+)", workflow, re.MULTILINE) == ["scripts/release.sh", ".ci/run", "gh"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b.*\n\n\* ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    wrong = subprocess.run([ROOT / "scripts/release.sh", "v0.0.0"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (1, f"The tag is v0.0.0, but pyproject.toml has version {version}.\n")


def test_the_commit_hooks_are_the_parts_of_lint() -> None:
    hooks = set(re.findall(r"entry: make (\S+)", (ROOT / ".pre-commit-config.yaml").read_text()))
    parts = re.search(r"^lint: (.*?) ##", MAKEFILE, re.MULTILINE)
    assert parts is not None
    assert hooks == set(parts[1].split())
