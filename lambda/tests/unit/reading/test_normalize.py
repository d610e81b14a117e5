"""Rewriting by blocks, which is fast, writes the same as rewriting line by line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline.model import data_model
from pipeline.reading import normalize
from pipeline.reading.dialect import RefusedFileError, read_profile
from pipeline.reading.header import read_header
from pipeline.reading.normalize import rewrite

HEADER = "order_reference,item_name,quantity,total_price\n"
DOUBTFUL = ('"a,b,c,d\ne"', '"a,b,c\nd,e"', '"a,b\nc,d,e"', '"a\nb,c,d,e"')
"""As the first, second, third or fourth of four cells, each makes two lines that look like records of their own."""

cells = st.one_of(
    st.sampled_from(("O1", "", '5" pipe', " a", '"a"x', '"')),
    st.lists(st.sampled_from(("a", "\n", ",", '""', " ")), max_size=4).map(lambda pieces: f'"{"".join(pieces)}"'),
)
doubtful = st.integers(0, 3).map(lambda place: ["1"] * place + [DOUBTFUL[place]] + ["1"] * (3 - place))
records = st.lists(st.one_of(doubtful, st.lists(cells, min_size=3, max_size=5)).map(",".join), max_size=4)


def rewritten(data: str, folder: Path) -> object:
    path = folder / "items.csv"
    path.write_text(data, newline="")
    profile = read_profile(path, data_model.ITEMS, folder)
    try:
        found = rewrite(data_model.ITEMS, profile, read_header(path, data_model.ITEMS), folder / "records.csv")
    except RefusedFileError as error:
        return str(error)
    lists = [path and path.read_text() for path in (found.truncated_csv, found.quote_errors_csv)]
    return found.path.read_text(), lists, found.count, found.removed, found.has_refused


@given(records)
def test_blocks_and_single_lines_are_rewritten_alike(found: list[str]) -> None:
    data = HEADER + "".join(f"{record}\n" for record in found)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        by_block = rewritten(data, Path(folder))
        patch.setattr(normalize._Writer, "_write_block", lambda *_: False)
        assert by_block == rewritten(data, Path(folder))
