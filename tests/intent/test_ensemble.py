"""The architecture ensemble: members that answer as one, saved as one version, refitted as one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components import conditions
from components.distributed.ranks import ALONE, Ranks
from components.intent import attribution, boosting, ensemble, ensemble_train, importance, inputs, steps
from components.intent import fit as fitting
from components.intent.card import _made
from components.intent.encode import profile_names, windows_of
from components.intent.ensemble import Ensemble
from components.intent.ensemble_train import train
from components.intent.examples import Examples
from components.intent.networks import ENSEMBLE, NETWORKS, TREES
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Trained
from components.training.checkpoints import Checkpoints
from feature_repo import files
from feature_repo.errors import DataError

from .conftest import INTENTS, SPLIT

INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
MODEL = IntentModel.model_validate(
    {"architecture": ENSEMBLE, "width": 16, "layers": 1, "epochs": 2, "batch_size": 64, "learning_rate": 1e-2,
     "trees": {"rounds": 20, "least": 40, "leaves": 8}}
)  # fmt: skip


class Killed(Exception):
    """Stands for SIGKILL."""


def dies(*arguments: Any, **named: Any) -> Any:
    raise Killed


def kept(folder: Path) -> Checkpoints:
    return Checkpoints(folder, 3, {"data": "one"}, False, ALONE)


@pytest.fixture(scope="module")
def together(examples: Examples) -> Trained:
    """Train an ensemble of a network and trees on the checkerboard, once."""
    return train(examples, MODEL, ranking_weeks=4, device="cpu")


def test_an_ensemble_says_the_weighted_mean_of_what_its_members_say_alone(
    together: Trained, examples: Examples
) -> None:
    rows = examples.rows.take(examples.part("test"))
    alone = {
        name: train(examples, MODEL.of_member(name), ranking_weeks=4, device="cpu").scorer.predict(rows)
        for name in MODEL.members
    }
    assert isinstance(together.scorer._model, Ensemble)
    weights = together.scorer._model.weights
    want = weights["transformer"] * alone["transformer"] + weights[TREES] * alone[TREES]
    np.testing.assert_allclose(together.scorer.predict(rows), want, atol=1e-6)
    assert sum(weights.values()) == pytest.approx(1)


def test_what_is_scored_out_of_time_is_the_mean_too_and_epochs_name_their_member(
    together: Trained, examples: Examples
) -> None:
    later = np.concatenate([examples.part("validate"), examples.part("test")])
    np.testing.assert_allclose(
        together.out_of_time.probabilities[-len(later) :],
        together.scorer.predict(examples.rows.take(later)),
        atol=1e-6,
    )
    rows = examples.part("validate")
    said, true = together.scorer.predict(examples.rows.take(rows)), examples.labels[rows]
    assert together.validate_bce == pytest.approx(-np.log(np.where(true, said, 1 - said)).mean(), abs=2e-6)
    stages = {epoch.stage for epoch in together.epochs}
    assert stages == {"early.transformer", "full.transformer", "early.gbdt", "full.gbdt"}


@pytest.mark.parametrize("members", [("transformer", TREES), ("cnn", "gru"), ("lstm", "rnn", TREES)])
def test_a_saved_ensemble_answers_as_it_was_trained_one_row_or_all_without_torch(
    members: tuple[str, ...], examples: Examples, training: Any, tmp_path: Path
) -> None:
    share = 1 / len(members)
    scorer = ensemble_train.joined({name: training(name).scorer for name in members}, dict.fromkeys(members, share))
    scorer.save(tmp_path / "model")
    rows = examples.rows.take(examples.part("test"))
    want = np.mean([training(name).scorer.predict(rows) for name in members], axis=0)
    for found in (IntentScorer.load(tmp_path / "model"), IntentScorer.served(tmp_path / "model")):
        np.testing.assert_allclose(found.predict(rows), want, atol=1e-5)
        singles = [found.predict(rows.take(np.array([row])))[0] for row in range(5)]
        np.testing.assert_allclose(singles, want[:5], atol=1e-5)
    form = IntentScorer.served(tmp_path / "model").served_form
    assert isinstance(form, Ensemble)
    np.testing.assert_allclose(form.of_target(scorer.encode(rows), 1), want[:, 1], atol=1e-5)
    held = {path.name for path in (tmp_path / "model" / "members").iterdir()}
    assert held == set(members), "a version bundles its members"


@pytest.mark.process
def test_a_door_asks_an_ensemble_without_torch(training: Any, tmp_path: Path) -> None:
    names = ("transformer", TREES)
    ensemble_train.joined({name: training(name).scorer for name in names}, dict.fromkeys(names, 0.5)).save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from components.intent.score import IntentScorer; "
        f"found = IntentScorer.served(Path({str(tmp_path)!r})); "
        "assert found.served_form is not None; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_member_that_is_another_than_it_was_saved_with_is_refused(training: Any, tmp_path: Path) -> None:
    names = ("cnn", TREES)
    ensemble_train.joined({name: training(name).scorer for name in names}, dict.fromkeys(names, 0.5)).save(tmp_path)
    (tmp_path / "members" / TREES / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match="its member 'gbdt' is not the one it was saved with; run the pipeline again"):
        IntentScorer.served(tmp_path)


def test_on_the_judged_weeks_the_refit_comes_to_the_judged_members(rows_folder: Path, tmp_path: Path) -> None:
    steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows_folder), intent=str(tmp_path / "judged"),
        curves=str(tmp_path / "curves.html"),
    )  # fmt: skip
    training = files.read_json(tmp_path / "judged" / steps.TRAINING)
    assert set(training["members"]) == {"transformer", TREES}
    page = (tmp_path / "curves.html").read_text()
    assert "transformer: Validation mAP" in page
    assert "gbdt: Validation loss (binary cross-entropy)" in page
    assert "gbdt: Validation mAP" not in page, "trees have figures of losses alone"
    assert "weighted mean of the probabilities of transformer (" in _made(training, "week")
    steps.run_refit_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, code="", refit=True,
        rows=str(rows_folder), intent=str(tmp_path / "judged"), refitted=str(tmp_path / "refit"),
    )  # fmt: skip
    said = files.read_json(tmp_path / "refit" / conditions.FILE)
    assert said["weeks"] == [*SPLIT["train"], *SPLIT["validate"], *SPLIT["test"]]
    assert said["epochs"] == sum(ensemble_train.epochs_of(training, MODEL.members).values())
    assert ensemble.weights_of(tmp_path / "refit") == ensemble.weights_of(tmp_path / "judged")
    assert IntentScorer.served(tmp_path / "refit").served_form is not None


def test_a_refit_on_the_training_weeks_alone_comes_to_the_judged_weights_killed_or_not(
    together: Trained, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = together.scorer._model, examples.rows.take(examples.part("test"))
    assert isinstance(model, Ensemble)
    epochs = ensemble_train.epochs_of({"epochs": [vars(one) for one in together.epochs]}, MODEL.members)

    def again() -> np.ndarray:
        made = ensemble_train.refitted(
            inputs.again(examples, together.inputs), MODEL, together.beginning, weights=model.weights,
            weeks=SPLIT["train"], epochs=epochs, report=lambda share, note: None, checkpoints=kept(tmp_path),
        )  # fmt: skip
        return made.scorer.predict(rows)

    refit = again()
    assert np.abs(together.scorer.predict(rows) - refit).mean() < 0.02
    monkeypatch.setattr(boosting, "grow", dies)  # as if it had been killed before it wrote the model
    np.testing.assert_array_equal(again(), refit)


def test_causes_of_an_ensemble_are_occlusions_of_steps_too(training: Any, examples: Examples, tmp_path: Path) -> None:
    scorer = ensemble_train.joined({n: training(n).scorer for n in ("cnn", TREES)}, {"cnn": 0.5, TREES: 0.5})
    scorer.save(tmp_path / "model")
    served = IntentScorer.served(tmp_path / "model")
    rows = examples.rows.take(examples.part("test")[:1])
    user, form = served.encode(rows), served.served_form
    assert form is not None
    nobody = served.encode(replace(rows, known=np.zeros(1, bool), lists={
        name: type(values)(values.values[:0], np.zeros(2, np.int64)) for name, values in rows.lists.items()
    }))  # fmt: skip
    found = attribution.attribute(
        form, user, nobody, 0, names=served.profile or profile_names(windows_of(rows), served.calendar.pace)
    )
    assert found.method == attribution.OCCLUSION
    kinds = {cause.kind for cause in found.causes}
    assert {attribution.NUMBER, attribution.STEP} <= kinds
    assert importance.measure(served, examples)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"members": ["lstm", "gbdt"]}, "members are of architecture ensemble, not of transformer; drop members"),
        ({"architecture": ENSEMBLE, "members": ["lstm", "lstm"]}, "members: lstm, lstm has one twice; list each once"),
        ({"architecture": ENSEMBLE, "members": ["lstm"]}, "at least 2 items"),
        ({"architecture": ENSEMBLE, "members": ["lstm", "text"]}, "Input should be 'transformer', 'lstm'"),
        ({"architecture": ENSEMBLE, "reads": "events"}, "members of an ensemble read steps; drop reads"),
        ({"architecture": ENSEMBLE, "calibrate": "isotonic"}, "calibrate: not of architecture ensemble"),
        ({"architecture": ENSEMBLE, "compress": {"prune": 0.5}}, "compress: not of architecture ensemble"),
        ({"architecture": ENSEMBLE, "privacy": {"epsilon": 3}}, "privacy: not of architecture ensemble"),
        ({"architecture": ENSEMBLE, "trainer": {"parallel": "fsdp"}}, "trainer.parallel: fsdp is of one network"),
        ({"architecture": ENSEMBLE, "members": ["lstm", "cnn"], "trees": {"rounds": 9}}, "trees are of architecture"),
        ({"architecture": ENSEMBLE, "search": {"space": {"width": [32, 64]}}}, "search: not of architecture ensemble"),
        ({"search": {"space": {"architecture": ["lstm", ENSEMBLE]}}}, "search: not of architecture ensemble"),
    ],
)
def test_what_members_do_not_share_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IntentModel.model_validate(asked)


def test_an_old_spec_is_written_as_before() -> None:
    assert "members" not in IntentModel().model_dump()
    assert "members" not in IntentModel().model_dump(mode="json")
    own = IntentModel(architecture=ENSEMBLE, members=("cnn", "rnn"))
    assert IntentModel.model_validate_json(own.model_dump_json()) == own
    assert set(NETWORKS) | {TREES} >= set(MODEL.members)


def test_a_killed_training_keeps_the_members_that_were_done_and_comes_to_the_same(
    together: Trained, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trees are killed first; the next time the network is not trained again, and then neither is."""

    def again() -> Trained:
        return train(examples, MODEL, ranking_weeks=4, device="cpu", checkpoints=kept(tmp_path))

    monkeypatch.setattr(boosting, "grow", dies)
    with pytest.raises(Killed):
        again()
    monkeypatch.undo()
    assert {path.name for path in (tmp_path / "transformer").iterdir()} == {"early.safetensors", "full.safetensors"}
    monkeypatch.setattr(fitting, "_step", dies)
    for undone in (True, False):
        if not undone:
            monkeypatch.setattr(boosting, "grow", dies)
        found = again()
        np.testing.assert_array_equal(found.out_of_time.probabilities, together.out_of_time.probabilities)
        assert [one.validate_bce for one in found.epochs] == [one.validate_bce for one in together.epochs]
        assert set(found.beginning.weights) == set(together.beginning.weights)


def test_checkpoints_of_a_member_are_another_s_to_no_member(examples: Examples, tmp_path: Path) -> None:
    one = ensemble_train._of_member(kept(tmp_path), "cnn", Ranks(1, 2))
    assert one is not None
    assert (one.folder, one.key, one.ranks) == (tmp_path / "cnn", {"data": "one", "member": "cnn"}, Ranks(1, 2))
    assert ensemble_train._of_member(None, "cnn", ALONE) is None


def test_what_ranks_train_together_is_compared_and_trees_are_not(together: Trained, training: Any) -> None:
    names = set(ensemble_train.networks_of(together.scorer))
    assert {name.partition("/")[0] for name in names} == {"transformer"}
    assert set(ensemble_train.networks_of(training("cnn").scorer)) == set(training("cnn").scorer.net.state_dict())
