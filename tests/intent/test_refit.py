"""The refit: the judged model's training once more with other weeks, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import conditions
from components.intent import refit as refits
from components.intent import steps
from components.intent.examples import Examples
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from feature_repo import files
from feature_repo.errors import DataError

from .conftest import CATEGORIES, INTENTS, SPLIT

INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=5, batch_size=64, learning_rate=1e-2)
FISH = CATEGORIES.index("FISH")  # an odd one
CHANGE = SPLIT["validate"][0]


@pytest.fixture(scope="module")
def judged(rows_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model folder of a judged model."""
    folder = tmp_path_factory.mktemp("judged") / "intent"
    steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows_folder), intent=str(folder), code="c0de"
    )
    return folder


def refitted(judged: Path, rows: Path, to: Path, *, model: IntentModel = MODEL, code: str = "c0de") -> Path:
    steps.run_refit_intent(
        INTENTS_JSON, model.model_dump_json(), ranking_weeks=4, code=code, refit=True,
        rows=str(rows), intent=str(judged), refitted=str(to),
    )  # fmt: skip
    return to


def test_on_the_judged_weeks_it_comes_to_the_judged_weights(judged: Path, examples: Examples) -> None:
    """So whatever a refit does otherwise follows from its weeks."""
    beginning = refits.load_beginning(judged / steps.BEGINNING)
    epochs = refits.epochs_of(files.read_json(judged / steps.TRAINING))
    made = refits.refit(examples, MODEL, beginning, weeks=SPLIT["train"], epochs=epochs, device="cpu")
    have, want = made.scorer.net.state_dict(), IntentScorer.load(judged).net.state_dict()
    assert all(torch.equal(have[name], want[name]) for name in want)
    assert made.epochs[-1].validate_bce is None


def test_what_changed_in_the_newest_weeks_is_learnt_by_the_refit_alone(judged: Path, examples: Examples) -> None:
    """From the first validation week on everyone buys fish, even users too, who never did."""
    labels = examples.labels.copy()
    labels[examples.week >= CHANGE, FISH] = 1
    world = replace(examples, labels=labels)
    beginning = refits.load_beginning(judged / steps.BEGINNING)
    made = refits.refit(world, MODEL, beginning, weeks=conditions.ripe(world.split), epochs=5, device="cpu")
    even = np.array([int(user[1:]) % 2 == 0 for user in examples.rows.user_id]) & (examples.week == CHANGE)
    asked = examples.rows.take(np.flatnonzero(even))
    assert IntentScorer.load(judged).predict(asked)[:, FISH].mean() < 0.08
    assert made.scorer.predict(asked)[:, FISH].mean() > 0.16  # 4 of 16 weeks


def test_the_step_learns_from_every_ripe_week_and_says_what_it_is_a_refit_of(
    judged: Path, rows_folder: Path, tmp_path: Path
) -> None:
    folder = refitted(judged, rows_folder, tmp_path / "refitted")
    said = files.read_json(folder / conditions.FILE)
    assert said["weeks"] == [*SPLIT["train"], *SPLIT["validate"], *SPLIT["test"]]
    assert said[conditions.JUDGED] == conditions.proof(judged, "")[conditions.JUDGED]
    assert said["epochs"] == refits.epochs_of(files.read_json(judged / steps.TRAINING))
    for mean, rate in said["means"].values():
        assert mean == pytest.approx(rate, abs=0.1)
    assert not (folder / steps.OUT_OF_TIME).exists()  # its own scores of these weeks are of weeks that it has seen
    assert IntentScorer.load(folder).vocabulary.digest == IntentScorer.load(judged).vocabulary.digest


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"model": MODEL.model_copy(update={"dropout": 0.3})}, "spec models.intent"),
        ({"code": "other"}, "code"),
    ],
)
def test_anything_else_that_differs_is_refused_by_name(
    given: dict[str, object], named: str, judged: Path, rows_folder: Path, tmp_path: Path
) -> None:
    words = rf"only the rows of a refit may differ from the judged model's, but so does {named} \([0-9a-f]+, now"
    with pytest.raises(DataError, match=words):
        refitted(judged, rows_folder, tmp_path / "refitted", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "refitted").exists()


def test_another_vocabulary_or_encode_is_refused(judged: Path, examples: Examples) -> None:
    theirs = files.read_json(judged / steps.TRAINING)[conditions.KEY]
    mine = conditions.digests(**refits.described(examples, refits.shape(examples, MODEL)))
    assert {name: theirs[name] for name in mine} == mine
    fewer = replace(examples, dropped=frozenset({"sessions_slow"}))
    other = conditions.digests(**refits.described(fewer, refits.shape(fewer, MODEL)))
    assert [name for name in mine if mine[name] != other[name]] == ["encode"]


def test_a_model_of_an_older_version_is_no_twin(judged: Path) -> None:
    training = files.read_json(judged / steps.TRAINING)
    del training[conditions.KEY]
    with pytest.raises(DataError, match="does not say under which conditions it was trained; run the pipeline again"):
        conditions.require_same(training, {}, of="refit of the intent model")


def test_where_none_is_asked_for_the_folder_says_so(judged: Path, rows_folder: Path, tmp_path: Path) -> None:
    steps.run_refit_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, code="c0de", refit=False,
        rows=str(rows_folder), intent=str(judged), refitted=str(tmp_path / "refitted"),
    )  # fmt: skip
    assert not conditions.asked(tmp_path / "refitted")
    assert [path.name for path in (tmp_path / "refitted").iterdir()] == [conditions.FILE]


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "are not finite"), (6.0, "mean probability of 'buy' is")])
def test_a_model_that_went_astray_is_refused(value: float, said: str, judged: Path, examples: Examples) -> None:
    scorer = IntentScorer.load(judged)
    with torch.no_grad():
        scorer.net.bias += value
    with pytest.raises(DataError, match=said):
        refits.sane(scorer, examples, examples.part("train"))
