"""The champion's twin is asked about a candidate's rows in its own vocabulary, and answers in the candidate's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components import resamples, twins
from components.intent import steps
from components.intent import twin as judged
from components.intent.context import TargetContext
from components.intent.examples import Examples
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.twins import Twin
from feature_repo import files, release_folder
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary

from .conftest import CATEGORIES, INTENTS, SPLIT, checkerboard, context, table, vocabulary, write_rows

INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=5, batch_size=64, learning_rate=1e-2)
OTHERS = [2, 0, 1, 5, 3, 4, 6]  # where the twin's vocabulary has the candidate's targets; the last is the visit
KEYS = ("target_ids", "recent_targets", "label_ids")


def _in_other_words(folder: Path) -> Path:
    """Write the checkerboard's rows as a vocabulary with other places of the same targets has them."""
    rows = write_rows(folder, checkerboard())
    had = pq.read_table(rows / "intent.parquet").to_pylist()
    pq.write_table(
        table([row | {key: [OTHERS[t] for t in row[key]] for key in KEYS} for row in had]), rows / "intent.parquet"
    )
    plain, shares = vocabulary(), context(checkerboard())
    back = [OTHERS.index(place) for place in range(len(OTHERS))]
    shutil.rmtree(rows / "vocabulary")
    Vocabulary(tuple(plain.targets[t] for t in back), plain.items, plain.item_targets).save(rows / "vocabulary")
    TargetContext(shares.weeks, shares.shares[:, back]).save(rows / "target_state.parquet")
    return rows


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give the folder of a twin's release, and its own rows."""
    at = tmp_path_factory.mktemp("twin")
    rows = _in_other_words(at / "rows")
    twins.write(Twin("1", "2024-01-01T00:00:00+00:00"), rows)
    steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows),
        intent=str(at / "twin" / twins.RELEASE / "intent"),
    )  # fmt: skip
    return at / "twin", rows


def test_its_answers_stand_in_the_candidates_order(twin: tuple[Path, Path], examples: Examples) -> None:
    asked, own = judged.asked(twin[0] / twins.RELEASE / "intent", twin[1], examples)
    rows = examples.rows.take(examples.part("test"))
    said = asked.predict(rows)
    even = np.array([int(user[1:]) % 2 == 0 for user in rows.user_id])
    for category in range(len(CATEGORIES)):
        mine, others = even == (category % 2 == 0), even == (category % 2 == 1)
        assert said[mine, category].min() > 2 * said[others, category].max()
    assert sorted({*own.week.tolist()}) == sorted(w for part in SPLIT.values() for w in part)


def test_it_is_judged_on_the_candidates_very_rows(
    twin: tuple[Path, Path], rows_folder: Path, examples: Examples, tmp_path: Path
) -> None:
    rows = shutil.copytree(twin[1], tmp_path / "rows")
    files.write_json(rows / "split.json", files.read_json(rows / "split.json") | {"train": []})  # as twin_rows does
    steps.run_judge_twin_intent(
        INTENTS_JSON,
        rows=str(rows_folder),
        twin=str(twin[0]),
        twin_rows=str(rows),
        evaluation=str(tmp_path / "said"),
    )
    metrics = files.read_json(tmp_path / "said" / "metrics.json")
    mine = resamples.digest(*(part[examples.part("test")] for part in (examples.rows.user_id, examples.week)))
    assert resamples.read(tmp_path / "said").rows_digest == mine
    assert metrics["test"]["map"] > metrics["baselines"]["global_rate"]["map"]
    assert twins.read(tmp_path / "said") == Twin("1", "2024-01-01T00:00:00+00:00")


def test_of_one_that_has_learnt_from_them_the_like_is_trained_and_judged(
    twin: tuple[Path, Path], rows_folder: Path, tmp_path: Path
) -> None:
    """Its release holds no model that could be asked; its spec is all that counts."""
    release, rows = tmp_path / "twin" / twins.RELEASE, shutil.copytree(twin[1], tmp_path / "rows")
    release.mkdir(parents=True)
    slices = {"intents": json.loads(INTENTS_JSON), "ranking": {"train_weeks": 4}}
    files.write_json(release / "release.json", release_folder.identified({"serving": slices}))
    files.write_json(tmp_path / "twin" / twins.INTENT_MODEL, MODEL.model_dump())
    twins.write(Twin("1", "2999-01-01T00:00:00+00:00").anew(), rows)
    steps.run_judge_twin_intent(
        INTENTS_JSON, rows=str(rows_folder), twin=str(tmp_path / "twin"), twin_rows=str(rows),
        evaluation=str(tmp_path / "said"),
    )  # fmt: skip
    metrics = files.read_json(tmp_path / "said" / "metrics.json")
    assert metrics["test"]["map"] > metrics["baselines"]["global_rate"]["map"]
    assert twins.read(tmp_path / "said").retrained
    own = pq.read_table(tmp_path / "said" / steps.OUT_OF_TIME)
    trained = pq.read_table(twin[0] / twins.RELEASE / "intent" / steps.OUT_OF_TIME)  # of the same rows and spec
    assert own.select(["user_id", "week"]) == trained.select(["user_id", "week"])
    for mine, theirs in zip(own["probabilities"].to_pylist(), trained["probabilities"].to_pylist(), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_of_a_target_that_it_does_not_know_it_says_the_training_rate(examples: Examples) -> None:
    names = [name for name in examples.vocabulary.target_names if name != "buy:EGGS"]
    said = np.tile(np.arange(len(names), dtype=np.float32), (3, 1))
    found = judged.translated(said, names, examples)
    assert found[0].tolist() == pytest.approx([0, 1, 2, 3, examples.train_rate[4], 4, 5])


def test_rows_that_it_lacks_are_no_reason_to_fail_but_to_say_why(
    twin: tuple[Path, Path], rows_folder: Path, tmp_path: Path
) -> None:
    fewer = shutil.copytree(twin[1], tmp_path / "fewer")
    pq.write_table(pq.read_table(fewer / "intent.parquet").slice(0, 500), fewer / "intent.parquet")
    steps.run_judge_twin_intent(
        INTENTS_JSON, rows=str(rows_folder), twin=str(twin[0]), twin_rows=str(fewer), evaluation=str(tmp_path / "said")
    )
    assert "twin_rows: no row of user and instant" in twins.read(tmp_path / "said").why
    assert [path.name for path in (tmp_path / "said").iterdir()] == [twins.FILE]


def test_a_reason_of_an_earlier_step_is_handed_on(rows_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    twins.write(Twin(why="there is no champion yet"), tmp_path / "rows")
    steps.run_judge_twin_intent(
        INTENTS_JSON,
        rows=str(rows_folder),
        twin="",
        twin_rows=str(tmp_path / "rows"),
        evaluation=str(tmp_path / "said"),
    )
    assert twins.read(tmp_path / "said").why == "there is no champion yet"


def test_a_model_of_another_vocabulary_is_refused(
    twin: tuple[Path, Path], rows_folder: Path, examples: Examples
) -> None:
    with pytest.raises(DataError, match=r"twin_rows: vocabulary [0-9a-f]+, the model has"):
        judged.asked(twin[0] / twins.RELEASE / "intent", rows_folder, replace(examples))


def test_its_own_rows_score_as_it_does_by_itself(twin: tuple[Path, Path], examples: Examples) -> None:
    folder = twin[0] / twins.RELEASE / "intent"
    asked, own = judged.asked(folder, twin[1], examples)
    row = examples.rows.take(examples.part("test")[:1])
    place = twins.places(row)[(str(row.user_id[0]), int(row.now[0]))]
    assert place == 0
    said = own.probabilities[(own.user_id == row.user_id[0]) & (own.week == SPLIT["test"][0])][0]
    np.testing.assert_array_equal(asked.predict(row)[0], said[OTHERS])
    assert IntentScorer.load(folder).names != examples.vocabulary.target_names
