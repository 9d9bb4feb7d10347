"""The rows that judge, in a twin's vocabulary: in the candidate's own they are the candidate's own, cell by cell."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components import conditions, twins
from components.profiles import steps
from components.twins import Twin
from feature_repo import fallback, files, release_folder
from feature_repo.calendar import Calendar
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.conftest import PROFILES, RANKING, SPLIT, Made

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
        "ranking": {"event": None, "min_item_sessions": 2, "min_item_users": 1, **json.loads(RANKING)},
        "intents": [intent | {"level": intent["column"]} for intent in worlds.VOCABULARY["intents"]],
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


def test_of_a_twin_that_has_learnt_from_them_all_rows_are_made_anew(made: Made, tmp_path: Path) -> None:
    """Labels of a week are known at its end: one that learnt until the first test week's start has not seen it."""
    start = Calendar(**files.read_json(made.clean / "snapshot.json")["calendar"]).start(15)
    assert not Twin("3", start.isoformat()).learnt_from(start)
    later = Twin("3", (start + dt.timedelta(days=7)).isoformat())
    rows = _rows(made, _twin(tmp_path / "twin", made, later), tmp_path / "rows")
    assert twins.read(rows) == later.anew()
    for name in ("intent", "ranking"):  # of the same spec on the same data they are the candidate's own, whole
        mine, theirs = (pq.read_table(folder / f"{name}.parquet") for folder in (rows, made.rows))
        assert mine.to_pydict() == theirs.to_pydict()
    assert files.read_json(rows / "split.json")["train"] == files.read_json(made.rows / "split.json")["train"]


def test_its_lists_that_judge_are_the_candidates_and_those_it_learns_from_its_own(made: Made, tmp_path: Path) -> None:
    fewer, judged = tmp_path / "fewer", pq.read_table(made.rows / "ranking.parquet")
    shutil.copytree(made.rows, fewer)
    few = judged.filter(pc.or_(pc.less(judged["week"], 15), pc.equal(judged["user_id"], judged["user_id"][-1])))
    pq.write_table(few, fewer / "ranking.parquet")
    later = Twin("3", "2999-01-01T00:00:00+00:00")
    rows = tmp_path / "rows"
    steps.run_twin_rows(
        SPLIT, clean=made.clean, rows=fewer, twin=_twin(tmp_path / "twin", made, later), destination=rows
    )
    mine = pq.read_table(rows / "ranking.parquet", columns=["user_id", "week"]).to_pylist()
    assert mine == few.select(["user_id", "week"]).to_pylist()
    assert len(mine) < judged.num_rows


def test_a_twin_of_the_same_data_is_asked_only_where_the_weeks_differ(made: Made, tmp_path: Path) -> None:
    weeks = {k: v for k, v in files.read_json(made.rows / "split.json").items() if isinstance(v, list)}
    until = worlds.FIRST_DAY + "T00:00:00+00:00"
    same = Twin("1", until, split=conditions.digests(split=weeks)["split"])
    rows = _rows(made, _twin(tmp_path / "same", made, same), tmp_path / "rows")
    assert twins.read(rows).why == twins.SAME_DATA
    assert [path.name for path in rows.iterdir()] == [twins.FILE]
    other = Twin("1", until, split=conditions.digests(split=weeks | {"test": [16]})["split"])
    rows = _rows(made, _twin(tmp_path / "other", made, other), tmp_path / "others")
    assert not twins.read(rows).why
    assert (rows / "intent.parquet").is_file()


def test_without_a_champion_nothing_is_built(made: Made, tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    twins.write(Twin(why="there is no champion yet"), tmp_path / "twin")
    rows = _rows(made, tmp_path / "twin", tmp_path / "rows")
    assert [path.name for path in rows.iterdir()] == [twins.FILE]
    assert twins.read(rows).why == "there is no champion yet"
