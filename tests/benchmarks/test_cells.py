"""Cells of a long benchmark outlive the run that measured them, and are never taken for those of another."""

from pathlib import Path

import pytest

from benchmarks import made_rows
from benchmarks.cells import Cells
from benchmarks.script import GROCERY
from feature_repo import files
from feature_repo.errors import SpecError

ABOUT = {"recommender": "grocery", "rows": 100}


def never() -> dict[str, float]:
    raise AssertionError("measured again")


def test_a_cell_is_measured_once_and_a_later_run_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cells.jsonl"
    first = Cells(path, ABOUT)
    assert first.kept("lstm, seed 0", lambda: {"map": 0.25}) == {"map": 0.25}
    assert first.kept("lstm, seed 0", never) == {"map": 0.25}
    again = Cells(path, ABOUT)
    assert again.kept("lstm, seed 0", never) == {"map": 0.25}
    assert again.kept("lstm, seed 1", lambda: {"map": 0.5}) == {"map": 0.5}


def test_half_a_line_of_a_killed_run_is_dropped_and_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    Cells(path, ABOUT).kept("gbdt, seed 0", lambda: {"map": 0.25})
    path.write_bytes(path.read_bytes() + b'{"name": "gbdt, seed 1", "cel')
    again = Cells(path, ABOUT)
    assert again.kept("gbdt, seed 0", never) == {"map": 0.25}
    assert again.kept("gbdt, seed 1", lambda: {"map": 0.125}) == {"map": 0.125}
    assert len(path.read_text().splitlines()) == 3


def test_cells_of_other_rows_or_none_at_all_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    Cells(path, ABOUT)
    with pytest.raises(SpecError, match=r"cells.jsonl has rows 100, and 101 is asked for now; name a new file"):
        Cells(path, ABOUT | {"rows": 101})
    path.write_text('{"map": 1}\n')
    with pytest.raises(SpecError, match="holds no cells of a benchmark"):
        Cells(path, ABOUT)
    path.write_text('{"name": "gbdt, seed 0", "cell": {}}\n')
    with pytest.raises(SpecError, match="does not say what it is of"):
        Cells(path, ABOUT)
    assert path.read_text() == '{"name": "gbdt, seed 0", "cell": {}}\n', "nothing is written over"


def test_without_a_file_cells_live_as_long_as_the_run() -> None:
    cells = Cells(None, ABOUT)
    assert cells.kept("cnn, seed 0", lambda: {"map": 0.5}) == cells.kept("cnn, seed 0", never)


def test_rows_of_another_spec_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    files.write_json(tmp_path / made_rows.MADE, {"name": "shop"})
    with pytest.raises(SpecError, match=r"holds rows of another spec than .*grocery\.yaml; name another folder"):
        made_rows.with_events(GROCERY, tmp_path)
