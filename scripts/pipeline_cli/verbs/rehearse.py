"""`pipeline rehearse`: what this checkout would make of the days of a deployment, without writing anything there.

Each day's exact object versions are transformed again, as a replay would, and compared with the ledger and the table.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import pipeline
import typer
from pipeline.aws.dynamodb import MAX_READ
from pipeline.errors import PipelineError, SourceChangedError
from pipeline.joining.chunks import Chunk, put_items
from pipeline.joining.customer_data_processor import Options, Previous, SourceFile, process
from pipeline.joining.gate import Gate
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.batch_files import file_kind
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import EXPIRES_AT, IDENTITY, REMOVED, batch_key
from pipeline.reading.decimal_marks import DecimalMark
from pipeline.settings import VerdictSettings, read_published
from pipeline.stages.run import Run
from pipeline.stages.transform import find_gate

from pipeline_cli.deployment.batches import find_batches
from pipeline_cli.output import options, terminal
from pipeline_cli.output.files import temporary_folder, write_whole
from pipeline_cli.output.program import JudgingCommand as Command  # noqa: F401 (what `app.load` makes of this module)
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import Target

EXAMPLES = 5
MEMORY_MB = 1024
_NOT_OF_THE_TRANSFORM = (ErrorCode.RUN_FAILED, ErrorCode.MISSING_FILE)
_Value = TypeVar("_Value")
_STATES = {"READY": "delivered", "HELD": "held", "REFUSED": "refused"}


@dataclass(frozen=True, slots=True)
class Day:
    """What the rehearsal of a day found.

    `reason` says why the day could not be compared; then nothing else is known. `differences` has pairs of what the
    ledger says and what this checkout finds, `results` how many results would be added, changed and removed.
    """

    batch: str
    reason: str = ""
    differences: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    results: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[str] = ()
    seconds: float = 0.0
    run_seconds: float | None = None
    peak_mb: int = 0

    @property
    def differs(self) -> bool:
        """Whether this checkout finds anything else than the ledger and the table say."""
        return bool(self.differences or self.results)


def command(
    days: Annotated[
        int, typer.Option("--days", min=1, metavar="N", help="How many days, counted from the newest.")
    ] = 30,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show what a release of this checkout would change about the last days, without writing anything there.

    Transforms the exact object versions of each day again, with the rules of this checkout and the settings of
    infra/env, and compares: held or delivered, refused records by code, totals, incomplete totals, each result in the
    table and each error. Its AWS credentials need only what examples/rehearsal/policy.json allows. Finished days are
    kept in build/ENV/rehearsal, so that an interrupted rehearsal goes on where it was.

    Example: pipeline rehearse --days 30 --env prod

    Exit codes: 0 no day differs, 1 days differ, 64 the command was called wrongly, 70 it could not be completed.
    """
    target = targets.chosen(env)
    settings = _settings(target.name)
    found = []
    with terminal.bar() as display:
        for entry in display.track(list(_entries(target, days)), description="Days"):
            found.append(_once(target, entry, settings))
    differing = [day for day in found if day.differs]
    if as_json:
        compared = sum(not day.reason for day in found)
        plain = [asdict(day) | {"differs": day.differs} for day in found]
        terminal.print_json({"compared": compared, "differ": len(differing), "days": plain})
    else:
        _show(found, differing)
    raise typer.Exit(int(bool(differing)))


def _settings(env: str) -> VerdictSettings:
    """Return the settings that a deployment of this checkout would have."""
    names = {setting.name for setting in fields(VerdictSettings)}
    return read_published({name: value for name, value in targets.variables(env).items() if name in names})


def _entries(target: Target, days: int) -> Iterator[Ledger]:
    """Yield the newest ledger entries that have a set of files, the newest first."""
    for batches in _blocks(find_batches(target)[0]):
        items = target.table.ledger_items(batches)
        for batch in batches:
            entry = Ledger.from_item(items[batch]) if batch in items else None
            if entry and entry.version and days:
                days -= 1
                yield entry


def _blocks(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """Yield the values in blocks for one call of BatchGetItem."""
    rest = iter(values)
    while block := list(islice(rest, MAX_READ)):
        yield block


def _once(target: Target, entry: Ledger, settings: VerdictSettings) -> Day:
    """Rehearse a day, or return what an interrupted rehearsal of the same found."""
    gate = find_gate(entry.batch, target.table, settings)
    digest = hashlib.sha256(repr((entry.revision, settings, gate.as_dict())).encode())
    for source in sorted(path for path in Path(pipeline.__file__).parent.rglob("*") if path.suffix in (".py", ".sql")):
        digest.update(source.read_bytes())
    kept = target.folder / "rehearsal" / f"{entry.batch}-{digest.hexdigest()[:16]}.json"
    with suppress(FileNotFoundError):
        return Day(**json.loads(kept.read_text(encoding="utf-8")))
    day = rehearse(target, entry, None if entry.released == entry.version else gate, settings)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, json.dumps(terminal.plain(asdict(day))))
    return day


def rehearse(target: Target, entry: Ledger, gate: Gate | None, settings: VerdictSettings) -> Day:
    """Transform a day again, as a replay with this checkout would, and compare it with the ledger and the table."""
    if entry.state not in CLOSED:
        return Day(entry.batch, f"its newest run is not over: {entry.state.value}")
    if "state" not in entry.summary:
        return Day(entry.batch, f"its run failed without a result: {entry.cause}")
    unreadable = [source.key for source in entry.files.values() if source.unreadable]
    if unreadable:
        return Day(entry.batch, f"{terminal.listed(unreadable)} can't be read")
    run, table = Run(entry.batch, str(entry.version), str(entry.execution), entry.files), target.table
    lists = {name: run.delivered_key(name) for name in entry.delivered}
    errors = table.error_sort_keys(entry.batch)
    with temporary_folder("rehearse-") as folder:
        try:
            paths = target.bucket.download_all(dict(entry.files.items()), folder)
        except SourceChangedError as error:
            return Day(entry.batch, f"its raw files are gone: {error}")
        if lost := [key for key in lists.values() if target.bucket.size(key) is None]:
            return Day(entry.batch, f"{terminal.listed(lost)}, the list of what was delivered, is gone")
        delivered = [target.bucket.fetch(key, folder / f"{name}.parquet") for name, key in lists.items()]
        files = {str(kind): (Path(source.key).name, paths[kind]) for kind, source in entry.files.items()}
        chosen = Options(
            memory_mb=MEMORY_MB,
            threads=os.cpu_count() or 1,
            max_error_messages=settings.max_error_messages,
            gate=gate,
            decimal_mark=cast("DecimalMark", settings.decimal_mark),
        )
        try:
            # A process of its own shows its memory, and is all that ends where memory does not suffice.
            with ProcessPoolExecutor(1, _processes()) as pool:
                work = pool.submit(_transform, entry.batch, files, folder / "work", chosen, Previous(errors, delivered))
                summary, chunks, seconds, peak_mb = work.result()
        except (PipelineError, BrokenProcessPool) as error:
            return Day(entry.batch, f"it was not finished here: {error}")
        results, examples = Counter[str](), list[str]()
        if summary["state"] == "READY" and entry.state.value == "COMPLETED":
            results, examples = _compare_results(target, chunks)
        examples += _compare_errors(entry.batch, errors, chunks)
    return Day(
        entry.batch,
        differences=_differences(_facts(terminal.plain(entry.summary)), _facts(summary)),
        results=dict(results),
        examples=examples[:EXAMPLES],
        seconds=round(seconds, 2),
        run_seconds=_run_seconds(entry),
        peak_mb=peak_mb,
    )


def _processes() -> BaseContext:
    """Return how new processes start: from a server that has imported what they need, and has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _transform(
    batch: str, files: Mapping[str, tuple[str, Path]], workdir: Path, chosen: Options, previous: Previous
) -> tuple[dict[str, Any], list[Chunk], float, int]:
    """Process a day; return the summary, the chunk files, the seconds, and the most memory that it took, in MB."""
    start = time.monotonic()
    sources = {file_kind(kind): SourceFile(name, path) for kind, (name, path) in files.items()}
    outcome = process(batch, sources, workdir, chosen, previous)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak >> (20 if sys.platform == "darwin" else 10)
    return outcome.summary.as_dict(), outcome.chunks, time.monotonic() - start, peak_mb


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is compared of a summary, by its name in words; what an older release did not count is not there."""
    facts: dict[str, Any] = {"the day would be": _STATES.get(summary["state"], summary["state"])}
    for kind, file in summary["files"].items():
        facts[f"{kind}: can't be used"] = file.get("file_error") or ""
        facts[f"{kind}: records read"] = file.get("read")
        facts[f"{kind}: held by"] = ", ".join(file["held_by"]) if "held_by" in file else None
        facts[f"{kind}: delimiter and decimal mark"] = f"{file.get('delimiter')} {file.get('decimal_mark')}"
        for code, count in file.get("refused_by_code", {}).items():
            facts[f"{kind}: refused as {code}"] = count
    reconciliations = {"": summary.get("reconciliation"), **summary.get("further_reconciliations", {})}
    for name, sides in reconciliations.items():
        facts |= {f"{name} {side}".strip().replace("_", " "): value for side, value in (sides or {}).items()}
    for name in (f"incomplete_{MODEL.root}", "unassigned_records"):
        facts[name.replace("_", " ")] = summary.get(name)
    facts["remarks"] = sorted(remark["code"] for remark in summary.get("remarks", ()))
    return facts


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the facts that differ; of a code that only one of both has, the other has 0."""
    differences: dict[str, Sequence[Any]] = {}
    for name in dict.fromkeys([*before, *after]):
        pair = before.get(name, 0), after.get(name, 0)
        if pair[0] != pair[1] and None not in pair:
            differences[name] = pair
    return differences


def _compare_results(target: Target, chunks: Sequence[Chunk]) -> tuple[Counter[str], list[str]]:
    """Count the results that would be added, changed or removed in the table, with the first of them as examples."""
    found, examples = Counter[str](), list[str]()
    results = (item for item in put_items(chunks) if IDENTITY in item and "code" not in item)
    for items in _blocks(results):
        read = target.table.items([{name: item[name] for name in ("pk", "sk")} for item in items])
        stored = {item["pk"]: {name: item[name] for name in item.keys() - {EXPIRES_AT}} for item in read}
        for item in items:
            old = stored.get(item["pk"])
            change = "removed" if REMOVED in item else "added" if old is None else "changed"
            if change == "changed" and old == item:
                continue
            found[change] += 1
            if len(examples) < EXAMPLES:
                examples.append(_described(change, old or {}, item))
    return found, examples


def _described(change: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    who = f"{MODEL.root.singular} {new[IDENTITY]}"
    if change == "removed":
        return f"{who} would be removed"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name) and name not in ("pk", "sk", IDENTITY)]
    return f"{who}: " + ", ".join(f"{name} {old.get(name, 'none')} → {new.get(name, 'none')}" for name in names)


def _compare_errors(batch: str, stored: frozenset[str], chunks: Sequence[Chunk]) -> list[str]:
    """Describe the errors that are new and those that are gone."""
    new = {item["sk"]: item["message"] for item in put_items(chunks) if item["pk"] == batch_key(batch)}
    old = {key for key in stored if key.rpartition("#")[2] not in _NOT_OF_THE_TRANSFORM}
    gone = (key.split("#") for key in sorted(old - new.keys()))
    return [
        *(f"new error: {message}" for key, message in sorted(new.items()) if key not in stored),
        *(f"no error any more: {kind} line {int(line)}: {code}" for _, kind, line, code in gone),
    ]


def _run_seconds(entry: Ledger) -> float | None:
    if not (entry.started_at and entry.finished_at):
        return None
    return (datetime.fromisoformat(entry.finished_at) - datetime.fromisoformat(entry.started_at)).total_seconds()


def _show(found: Sequence[Day], differing: Sequence[Day]) -> None:
    """Print the days that differ as a table, each with what differs and examples, and then all in numbers."""
    out = terminal.out()
    if differing:
        titles = "Day", "Facts", "Results added", "Changed", "Removed", "Took", "Run took", "Memory"
        table = terminal.table(*titles, numbers=titles[1:])
        for day in differing:
            counts = (day.results.get(name, 0) for name in ("added", "changed", "removed"))
            took = terminal.duration(day.run_seconds) if day.run_seconds is not None else ""
            numbers = (f"{count:,}" for count in (len(day.differences), *counts))
            table.add_row(day.batch, *numbers, terminal.duration(day.seconds), took, f"{day.peak_mb:,} MB")
        terminal.print_table(table)
    for day in differing:
        out.print(f"\n[bold]{day.batch}[/]")
        for name, (before, after) in day.differences.items():
            out.print(f"  {terminal.shown(name)}: {terminal.shown(before)} → {terminal.shown(after)}", soft_wrap=True)
        for example in day.examples:
            out.print(f"  [dim]{terminal.shown(example)}[/]", soft_wrap=True)
    for day in found:
        if day.reason:
            out.print(f"[yellow]Not compared:[/] {day.batch}, as {terminal.shown(day.reason)}.", soft_wrap=True)
    compared = [day for day in found if not day.reason]
    spent = f" in {terminal.duration(sum(day.seconds for day in compared))}, at most " if compared else ""
    memory = f"{max(day.peak_mb for day in compared):,} MB of memory" if compared else ""
    out.print(f"[bold]{len(differing)} of {terminal.counted(len(compared), 'day')} change[/]{spent}{memory}.")
