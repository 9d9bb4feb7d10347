"""The rows that judge, in a twin's vocabulary: in the candidate's own they are the candidate's own, cell by cell."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components import twins
from components.profiles import steps
from components.twins import Twin
from feature_repo import fallback, files, release_folder
from feature_repo.calendar import Calendar
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.conftest import PROFILES, SPLIT, Made

pytestmark = pytest.mark.world
JUDGING = [13, 14, 15, 16]


def _twin(folder: Path, made: Made, known: Twin) -> Path:
    """Write the folder that says which release the champion was judged as, a release of the world's own vocabulary."""
    ranking = folder / twins.RELEASE / "ranking"
    ranking.mkdir(parents=True)
    shutil.copytree(made.profiles / "vocabulary", ranking / "vocabulary")
    files.copied(made.profiles, ranking, [fallback.FILE])
    slices = {
        "profiles": json.loads(PROFILES),
        "ranking": {"event": None, "min_item_sessions": 2, "min_item_users": 1, "train_weeks": 3},
    }
    document = {"name": "shop", "vocabulary": Vocabulary.load(made.profiles / "vocabulary").digest, "serving": slices}
    files.write_json(folder / twins.RELEASE / "release.json", release_folder.identified(document))
    twins.write(known, folder)
    return folder


def _rows(made: Made, twin: Path, to: Path) -> Path:
    steps.run_twin_rows(SPLIT, clean=made.clean, rows=made.rows, twin=twin, destination=to)
    return to


def test_in_the_same_vocabulary_they_are_the_same_rows(made: Made, tmp_path: Path) -> None:
    until = worlds.FIRST_DAY + "T00:00:00+00:00"
    rows = _rows(made, _twin(tmp_path / "twin", made, Twin("1", until)), tmp_path / "rows")
    assert twins.read(rows) == Twin("1", until)
    for name, weeks in (("intent", JUDGING), ("ranking", [13, 14, 15])):  # every second test week has lists
        mine, theirs = (pq.read_table(folder / f"{name}.parquet") for folder in (rows, made.rows))
        judging = theirs.filter(pc.field("week").isin(weeks))
        assert mine.num_rows == judging.num_rows > 0
        for column in judging.column_names:
            assert mine[column].to_pylist() == judging[column].to_pylist(), column
    assert files.read_json(rows / "split.json")["train"] == []
    assert set(pq.read_table(rows / "item_state.parquet")["week"].to_pylist()) == {*JUDGING, 17}


def test_a_twin_that_has_learnt_from_them_is_not_asked(made: Made, tmp_path: Path) -> None:
    """Labels of a week are known at its end: one that learnt until the first test week's start has not seen it."""
    start = Calendar(**files.read_json(made.clean / "snapshot.json")["calendar"]).start(15)
    assert not Twin("3", start.isoformat()).learnt_from(start)
    later = Twin("3", (start + dt.timedelta(days=7)).isoformat())
    rows = _rows(made, _twin(tmp_path / "twin", made, later), tmp_path / "rows")
    assert twins.read(rows).why == "its judged twin, version 3, has learnt from the first of them"
    assert [path.name for path in rows.iterdir()] == [twins.FILE]


def test_without_a_champion_nothing_is_built(made: Made, tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    twins.write(Twin(why="there is no champion yet"), tmp_path / "twin")
    rows = _rows(made, tmp_path / "twin", tmp_path / "rows")
    assert [path.name for path in rows.iterdir()] == [twins.FILE]
    assert twins.read(rows).why == "there is no champion yet"
