"""The files of a day in a local folder: those that the pipeline would process, and those that it would report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.events import ObjectCreated, foreign_file_error, missing_file_error
from pipeline.model.batch_files import INCOMING_PREFIX, parse_file_name
from pipeline.model.data_model import MODEL
from pipeline.model.messages import message_for
from pipeline.model.record_kinds import RecordKind

from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.options import check_day


@dataclass(frozen=True, slots=True)
class DayFolder:
    """The files of one day in a folder.

    `batch` is None if no file name contains a day. `replaced` has pairs of a file and the newer one of the same kind
    that is used instead. `foreign` has the files that are not named like batch files.
    """

    batch: str | None
    files: Mapping[RecordKind, Path]
    replaced: Sequence[tuple[Path, Path]]
    foreign: Sequence[Path]

    @property
    def missing(self) -> list[str]:
        """The kinds of files that are missing."""
        return [kind for kind in MODEL.kinds if kind not in self.files] if self.batch else []

    @property
    def is_sound(self) -> bool:
        """Whether each file is there exactly once, and nothing else is."""
        return not (self.missing or self.replaced or self.foreign)

    def notices(self) -> list[str]:
        """Return the bodies of the error messages about missing and foreign files, in order of file name.

        They are the messages that the functions would send, for a missing file once it is due.
        """
        items = [missing_file_error(self.batch, kind) for kind in self.missing] if self.batch else []
        items += [
            foreign_file_error(ObjectCreated(bucket="", key=INCOMING_PREFIX + path.name, etag=""))
            for path in self.foreign
        ]
        found = (message_for(item) for item in sorted(items, key=lambda item: str(item["file"])))
        return [message.body for message in found if message]

    def sentences(self) -> list[str]:
        """Return a sentence for each problem with the files, for a person to read."""
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
    """Find the files of a batch in a folder; if `batch` is empty, of the only batch in it.

    Hidden files and those in `ignored` (output of the command itself) are left out.

    Raises
    ------
    UsageError
        `folder` is not a folder, `batch` is not a date, or `batch` is empty and the folder has no batch or several.
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
    files: dict[RecordKind, Path] = {}
    replaced = []
    # The newer file wins; of two with the same time, the one with the greater name, as in Bucket.find_set.
    for path in sorted(known, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        file = known[path]
        if file and file.batch == day:
            if file.kind in files:
                replaced.append((files[file.kind], path))
            files[file.kind] = path
    return DayFolder(day, {kind: files[kind] for kind in MODEL.kinds if kind in files}, replaced, foreign)
