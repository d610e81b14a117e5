"""What a folder holds for a day: the files that the pipeline would take, and those that it would answer with errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.events import ObjectCreated, foreign_file_error, missing_file_error
from pipeline.model.data_model import INCOMING_PREFIX, Kind, parse_file_name
from pipeline.model.messages import message_for

from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.options import check_day


@dataclass(frozen=True, slots=True)
class DayFolder:
    """The files of one day in a folder.

    `batch` is None where no file names a day. `replaced` has each file that another one of the same kind stands for,
    with that other; `foreign` those whose name is no batch file's.
    """

    batch: str | None
    files: Mapping[Kind, Path]
    replaced: Sequence[tuple[Path, Path]]
    foreign: Sequence[Path]

    @property
    def missing(self) -> list[Kind]:
        """The kinds of which there is no file."""
        return [kind for kind in Kind if kind not in self.files] if self.batch else []

    @property
    def is_sound(self) -> bool:
        """Whether there is each file once and nothing else."""
        return not (self.missing or self.replaced or self.foreign)

    def notices(self) -> list[str]:
        """Return the bodies of the error messages about files that are missing or foreign, by file name.

        They are those of the functions: for a missing file, once it is due.
        """
        items = [missing_file_error(self.batch, kind) for kind in self.missing] if self.batch else []
        items += [
            foreign_file_error(ObjectCreated(bucket="", key=INCOMING_PREFIX + path.name, etag=""))
            for path in self.foreign
        ]
        found = (message_for(item) for item in sorted(items, key=lambda item: str(item["file"])))
        return [message.body for message in found if message]

    def sentences(self) -> list[str]:
        """Say, for a person, what is not as it should be."""
        return [
            *(f"{kind}_{self.batch}.csv (or .csv.gz) is missing." for kind in self.missing),
            *(f"{path.name} is not a batch file's name." for path in self.foreign),
            *(
                f"{other.name} and {path.name} are the same file twice. The pipeline takes the one that is sent last; "
                f"the younger, {path.name}, is checked here. Remove the other."
                for other, path in self.replaced
            ),
        ]


def look(folder: Path, batch: str = "", ignored: Iterable[Path] = ()) -> DayFolder:
    """Look which files a folder holds for a batch; without a name, for the only batch that is there.

    Files whose names begin with a dot are left out, and those in `ignored`, which a command wrote itself.

    Raises
    ------
    UsageError
        The folder is none, `batch` is no day, or the folder holds no day or several where it must hold one.
    """
    if batch:
        check_day(batch, "--batch")
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.")
    own = {path.resolve() for path in ignored}
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve() not in own]
    known = {path: parse_file_name(path.name) for path in paths if not path.name.startswith(".")}
    batches = sorted({file.batch for file in known.values() if file})
    foreign = [path for path, file in known.items() if file is None]
    if not batch and len(batches) > 1:
        raise UsageError(f"{folder} holds several days: {', '.join(batches)}.", "Choose one with --batch.")
    if not batch and not batches and not foreign:
        raise UsageError(f"{folder} holds no file named like customers_YYYYMMDD.csv, orders_… or items_….")
    day = batch or next(iter(batches), None)
    files: dict[Kind, Path] = {}
    replaced = []
    # The later upload counts, and of two in the same moment the greater key, as where the pipeline looks for a set.
    for path in sorted(known, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        file = known[path]
        if file and file.batch == day:
            if file.kind in files:
                replaced.append((files[file.kind], path))
            files[file.kind] = path
    return DayFolder(day, {kind: files[kind] for kind in Kind if kind in files}, replaced, foreign)
