"""Fewer inputs end to end: chosen on training rows alone, the same in every encode, kept in the model's folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from components.intent import card, inputs
from components.intent.encoded_rows import encoded
from components.intent.evaluate import evaluate
from components.intent.examples import Examples, load
from components.intent.model import Batch, IntentNet
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.steps import run_train_intent, save
from components.intent.train import Trained, train
from feature_repo import files
from feature_repo.dropped_features import FILE, Asked, Reduction, Relevance
from feature_repo.errors import DataError

from .conftest import INTENTS, SPLIT, checkerboard, start, unknown_row, user_rows, write_rows

Small = Callable[[str], IntentModel]
HELD = 4  # weeks that are scored out of time
WAYS = {
    "top_k": Asked(relevance=Relevance(6, "mean")),
    "pca": Asked(reduction=Reduction(3)),
    "both": Asked(relevance=Relevance(6, "max"), reduction=Reduction(2)),
}


def with_number(examples: Examples, name: str, values: np.ndarray) -> Examples:
    """Put a stored number in the place of another."""
    return replace(examples, rows=replace(examples.rows, numbers=examples.rows.numbers | {name: values}))


@pytest.fixture(scope="module")
def told(examples: Examples) -> Examples:
    """Fill the profile with chance, so that a planted number has something to stand out of."""
    rng, rows = np.random.default_rng(3), len(examples.week)
    chance = {name: rng.exponential(5.0, rows) for name in examples.rows.numbers if name.endswith("d")}
    return replace(examples, rows=replace(examples.rows, numbers=examples.rows.numbers | chance))


def planted(examples: Examples, weeks: list[int]) -> Examples:
    """Let sessions_7d tell which categories follow, in some weeks alone; elsewhere it is chance."""
    rng = np.random.default_rng(4)
    there = np.isin(examples.week, weeks)
    truth = 10.0 * examples.labels[:, 0] + examples.labels[:, 1] * 3.0
    return with_number(examples, "sessions_7d", np.where(there, truth, rng.permutation(truth)))


@pytest.fixture(scope="module", params=list(WAYS))
def fewer(request: pytest.FixtureRequest, examples: Examples, small: Small) -> tuple[str, Trained]:
    """A model of the checkerboard for every way to have fewer inputs."""
    asked = replace(examples, asked=WAYS[request.param])
    return request.param, train(asked, small("cnn"), ranking_weeks=HELD, device="cpu")


def test_a_number_that_tells_in_training_weeks_is_chosen(told: Examples) -> None:
    asked = replace(planted(told, SPLIT["train"]), asked=Asked(relevance=Relevance(1, "mean")))
    found, document = inputs.selected(asked, asked.part("train"))
    assert inputs.names_of(found) == ("sessions_7d",)
    selection = document["selection"]
    assert (selection["rows"], selection["weeks"]) == (40 * 12, [5, 16])
    assert selection["importance"]["sessions_7d"]["joined"] > 0.1
    assert inputs.sentence(document) == "1 of 31 numbers"


@pytest.mark.parametrize("weeks", [SPLIT["test"], SPLIT["validate"], SPLIT["train"][-HELD:]])
def test_what_tells_only_in_weeks_that_are_judged_or_scored_later_is_not_chosen(
    told: Examples, small: Small, weeks: list[int]
) -> None:
    asked = replace(planted(told, weeks), asked=Asked(relevance=Relevance(3, "max")))
    spec = small("cnn").model_copy(update={"epochs": 1})
    trained = train(asked, spec, ranking_weeks=HELD, device="cpu")
    assert "sessions_7d" not in (trained.scorer.profile or ())
    assert trained.inputs["selection"]["importance"]["sessions_7d"]["joined"] < 0.02
    assert trained.inputs["selection"]["weeks"] == [5, 12]  # before those that are scored out of time


def test_forged_labels_of_weeks_scored_out_of_time_do_not_reach_the_choice(examples: Examples, small: Small) -> None:
    held = np.isin(examples.week, SPLIT["train"][-HELD:])
    forged = np.where(held[:, None], 1 - examples.labels, examples.labels)
    spec, asked = small("cnn").model_copy(update={"epochs": 1}), Asked(Relevance(5, "mean"), Reduction(2))
    found = [
        train(replace(world, asked=asked), spec, ranking_weeks=HELD, device="cpu")
        for world in (examples, replace(examples, labels=forged))
    ]
    assert found[0].inputs == found[1].inputs
    scored = np.isin(found[0].out_of_time.week, SPLIT["train"])
    np.testing.assert_array_equal(*(one.out_of_time.probabilities[scored] for one in found))


def test_many_rows_are_judged_by_an_even_part_of_them(told: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_ROWS", 200)
    asked = replace(planted(told, SPLIT["train"]), asked=Asked(relevance=Relevance(1, "mean")))
    found, document = inputs.selected(asked, asked.part("train"))
    assert document["selection"]["rows"] == 200
    assert document["selection"]["weeks"] == [5, 16]
    assert inputs.names_of(found) == ("sessions_7d",)


def test_the_network_sees_what_was_asked_for(fewer: tuple[str, Trained]) -> None:
    way, trained = fewer
    shape = trained.scorer.net.shape
    sizes = {"top_k": (6, None, 6), "pca": (31, 3, 3), "both": (6, 2, 2)}
    assert (shape.profile, shape.components, shape.user_inputs) == sizes[way]
    assert trained.scorer.net.user.in_features == sizes[way][2] + 8 + shape.width
    assert len(trained.scorer.profile or ()) == shape.profile
    if way != "pca":
        assert set(trained.inputs["selection"]["kept"]) == set(trained.scorer.profile or ())


def test_alone_in_a_batch_and_loaded_again_a_user_scores_alike(
    fewer: tuple[str, Trained], examples: Examples, small: Small, tmp_path: Path
) -> None:
    _, trained = fewer
    rows = examples.rows.take(examples.part("test"))
    together = trained.scorer.predict(rows)
    save(trained, small("cnn"), tmp_path / "intent", under={})
    loaded = IntentScorer.load(tmp_path / "intent")
    np.testing.assert_array_equal(loaded.predict(rows), together)
    alone = np.concatenate([loaded.predict(rows.take(np.array([b]))) for b in range(len(rows))])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.isfinite(loaded.predict(user_rows([unknown_row("nobody", start(20))]))).all()
    assert together.std() > 0.1
    assert inputs.read(tmp_path / "intent") == trained.inputs


def test_a_model_that_is_fitted_again_sees_what_it_saw(
    fewer: tuple[str, Trained], examples: Examples, small: Small, tmp_path: Path
) -> None:
    """Nothing is chosen anew: the numbers are the judged model's, and its weights, which hold the projection, fit."""
    way, trained = fewer
    save(trained, small("cnn"), tmp_path / "intent", under={})
    found = inputs.again(replace(examples, asked=WAYS[way]), inputs.read(tmp_path / "intent"))
    assert inputs.names_of(found) == trained.scorer.profile
    assert found.components == trained.scorer.net.shape.components
    assert inputs.selected(found, found.part("train")) == (found, {})
    part = encoded(found, found.part("validate"))
    with torch.inference_mode():
        assert torch.isfinite(trained.scorer.net(Batch.of(part.encoded))).all()


def test_equal_seeds_leave_equal_files(
    fewer: tuple[str, Trained], examples: Examples, small: Small, tmp_path: Path
) -> None:
    way, first = fewer
    second = train(replace(examples, asked=WAYS[way]), small("cnn"), ranking_weeks=HELD, device="cpu")
    for name, trained in (("first", first), ("second", second)):
        save(trained, small("cnn"), tmp_path / name, under={})
    for file in ("config.json", "weights.safetensors", inputs.FILE):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_the_network_multiplies_standardised_numbers_by_the_components(examples: Examples, small: Small) -> None:
    spec, asked = small("cnn").model_copy(update={"epochs": 1, "dropout": 0.0}), replace(examples, asked=WAYS["pca"])
    net = train(asked, spec, ranking_weeks=HELD, device="cpu").scorer.net
    part = encoded(asked, asked.part("train"))
    _, found, document = inputs.reduced(asked, part.encoded.profile, None)
    assert found is not None
    np.testing.assert_allclose(net.profile_matrix.numpy(), found.matrix, atol=1e-6)
    reduced = (part.encoded.profile - found.mean) * found.scale @ found.matrix  # [R, N]
    plain = IntentNet(replace(net.shape, profile=reduced.shape[1], components=None)).eval()
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("profile_")}
    plain.load_state_dict(state | {"profile_mean": torch.zeros(3), "profile_scale": torch.ones(3)})
    told = replace(part.encoded, profile=reduced.astype(np.float32))
    with torch.inference_mode():
        np.testing.assert_allclose(net(Batch.of(part.encoded)).numpy(), plain(Batch.of(told)).numpy(), atol=1e-4)
    assert document["reduction"]["components"][0]["loadings"].keys() <= set(inputs.names_of(asked))


def test_as_many_components_as_the_numbers_have_lose_nothing(examples: Examples, small: Small) -> None:
    """All numbers of the checkerboard follow from few: how many weeks the user came, and when."""
    profile = encoded(examples, examples.part("train")).encoded.profile
    asked = replace(examples, asked=Asked(reduction=Reduction(31)))
    _, found, document = inputs.reduced(asked, profile, None)
    assert found is not None
    assert document["reduction"]["share"] == 1.0
    assert document["reduction"]["notes"] == [
        f"components 31 is above the {found.matrix.shape[1]} that the numbers have; these stay"
    ]
    standard = (profile - found.mean) * found.scale
    np.testing.assert_allclose(standard @ found.matrix @ found.matrix.T, standard, atol=1e-3)
    whole = train(examples, small("cnn"), ranking_weeks=HELD, device="cpu")
    projected = train(asked, small("cnn"), ranking_weeks=HELD, device="cpu")
    lowest = [min(epoch.validate_bce for epoch in one.epochs) for one in (whole, projected)]
    assert lowest[1] == pytest.approx(lowest[0], abs=0.02)


def test_a_model_of_all_numbers_is_saved_as_ever(examples: Examples, small: Small, tmp_path: Path) -> None:
    spec = small("cnn").model_copy(update={"epochs": 1})
    trained = train(examples, spec, ranking_weeks=HELD, device="cpu")
    save(trained, spec, tmp_path / "intent", under={})
    assert not (tmp_path / "intent" / inputs.FILE).exists()
    network = files.read_json(tmp_path / "intent" / "config.json")["network"]
    assert sorted(network) == [
        "architecture", "dropout", "frequency", "layers", "profile", "segments", "targets", "weeks", "width",
    ]  # fmt: skip
    assert "profile_matrix" not in trained.scorer.net.state_dict()
    assert inputs.sentence(inputs.read(tmp_path / "intent")) == ""


def test_a_number_that_is_none_is_left_out_by_selection_and_stops_reduction(examples: Examples, small: Small) -> None:
    values = examples.rows.numbers["value_28d"].astype(float).copy()
    values[examples.part("train")[:2]] = np.nan
    broken = with_number(examples, "value_28d", values)
    spec = small("cnn").model_copy(update={"epochs": 1})
    selected = replace(broken, asked=Asked(relevance=Relevance(31, "mean")))
    trained = train(selected, spec, ranking_weeks=HELD, device="cpu")
    assert "value_28d" not in (trained.scorer.profile or ())
    assert "value_28d is not finite in 2 training rows and is left out" in inputs.sentence(trained.inputs)
    assert np.isfinite(trained.out_of_time.probabilities).all()
    with pytest.raises(DataError, match=r"^profiles\.reduce: value_28d is not finite in 2 of 480 training rows"):
        train(replace(broken, asked=WAYS["pca"]), spec, ranking_weeks=HELD, device="cpu")


@pytest.fixture(scope="module")
def asked_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkerboard's `rows` artifact of a spec that asks for both."""
    folder = write_rows(tmp_path_factory.mktemp("asked") / "rows", checkerboard())
    selection: dict[str, Any] = {"constant": "drop", "relevance": "top_k", "k": 6, "join": "mean"}
    document = {"selection": selection, "tables": {}, "reduce": {"method": "pca", "components": 2}}
    files.write_json(folder / FILE, document)
    return folder


def test_the_step_does_what_the_rows_ask_for_and_says_it_in_a_line(
    asked_rows: Path, small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    intents = json.dumps([intent.model_dump() for intent in INTENTS])
    with caplog.at_level("INFO"):
        run_train_intent(
            intents, small("cnn").model_dump_json(), ranking_weeks=HELD, rows=str(asked_rows),
            intent=str(tmp_path / "intent"),
        )  # fmt: skip
    line = next(json.loads(r.message) for r in caplog.records if '"train_intent"' in r.message)
    found = inputs.read(tmp_path / "intent")
    assert line["inputs"] == inputs.sentence(found)
    assert line["inputs"].startswith("6 of 31 numbers; 2 principal components of 6 numbers, ")
    scorer = IntentScorer.load(tmp_path / "intent")
    assert scorer.net.shape.user_inputs == 2
    stored = pq.read_table(tmp_path / "intent" / "out_of_time.parquet")
    examples = load(asked_rows, INTENTS)
    test = np.isin(stored["week"].to_numpy(), SPLIT["test"])
    said = np.array(stored["probabilities"].to_pylist(), dtype=np.float32)[test]
    np.testing.assert_allclose(scorer.predict(examples.rows.take(examples.part("test"))), said, atol=1e-6)


def test_the_card_tells_what_stays_and_what_components_are_made_of(
    fewer: tuple[str, Trained], examples: Examples
) -> None:
    way, trained = fewer
    training = {"spec": {"architecture": "cnn", "width": 16}, "rows": {"train": 1}, "epochs": []}
    found = evaluate(trained.scorer, examples)
    plain = card.write(found, training, examples.vocabulary)
    assert "## Numbers of the profile" not in plain
    text = card.write(found, training, examples.vocabulary, sees=trained.inputs)
    assert f"The model sees {inputs.sentence(trained.inputs)}." in text
    if way != "pca":
        best = trained.inputs["selection"]["kept"][0]
        assert f"| {best} | yes | " in text
        assert text.count(" | no | ") == 25
        assert "in the training weeks 5 to 12." in text
    if way != "top_k":
        assert "| 1 | " in text
        assert next(iter(trained.inputs["reduction"]["components"][0]["loadings"])) in text


def test_a_refit_sees_what_the_judged_model_saw(asked_rows: Path, small: Small, tmp_path: Path) -> None:
    """On the judged weeks it comes to the judged weights; nothing is chosen anew, and the folder says what it sees."""
    from components.intent import refit as refits
    from components.intent import steps

    intents, model = json.dumps([intent.model_dump() for intent in INTENTS]), small("cnn")
    judged, to = tmp_path / "intent", tmp_path / "refitted"
    told = {"ranking_weeks": HELD, "rows": str(asked_rows), "code": "c0de"}
    run_train_intent(intents, model.model_dump_json(), intent=str(judged), **told)  # type: ignore[arg-type]
    steps.run_refit_intent(
        intents, model.model_dump_json(), refit=True, intent=str(judged), refitted=str(to), **told  # type: ignore[arg-type]
    )  # fmt: skip
    first, second = IntentScorer.load(judged), IntentScorer.load(to)
    assert second.profile == first.profile
    assert torch.equal(second.net.profile_matrix, first.net.profile_matrix)
    assert inputs.read(to) == inputs.read(judged) != {}
    found = inputs.again(load(asked_rows, INTENTS), inputs.read(judged))
    epochs = refits.epochs_of(files.read_json(judged / steps.TRAINING))
    beginning = refits.load_beginning(judged / steps.BEGINNING)
    made = refits.refit(found, model, beginning, weeks=SPLIT["train"], epochs=epochs, device="cpu")
    want = first.net.state_dict()
    assert all(torch.equal(made.scorer.net.state_dict()[name], want[name]) for name in want)
