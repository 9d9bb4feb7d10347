"""Compression in training: the smaller model serves where it passes, the full one otherwise; the folder says why."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components import compression
from components.intent import compress, steps
from components.intent import refit as refits
from components.intent.examples import Examples
from components.intent.options import Compress
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from components.verdicts import Least
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

from .conftest import INTENTS, SPLIT

INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
SIZES = {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 4, "batch_size": 64, "learning_rate": 1e-2}
LENIENT = {"map": 0.9, "macro_auroc": 0.9, "bce": 1.0}
STRICT = {"map": 0.0, "macro_auroc": 0.0, "bce": 0.0}


def spec(**asked: Any) -> IntentModel:
    return IntentModel.model_validate(SIZES | {"compress": asked})


BOTH = {"prune": 0.5, "quantize": "int8", "epochs": 2}


@pytest.fixture(scope="module", autouse=True)
def few_are_enough() -> Iterator[None]:
    """A third of the checkerboard's users are 13."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compress, "LEAST", Least(rows=20, users=10))
        yield


@pytest.fixture(scope="module")
def small(examples: Examples) -> Trained:
    return train(examples, spec(**BOTH, tolerance=LENIENT), ranking_weeks=4, device="cpu")


@pytest.mark.world
def test_a_smaller_model_that_passes_serves_and_is_what_everything_is_scored_by(
    small: Trained, examples: Examples
) -> None:
    assert small.compression is not None
    assert small.compression.word == "passed"
    assert small.scorer is small.compression.serves
    assert small.scorer.shape.units == (8, 8, 4)
    assert small.compression.other.shape.units == (16, 16, 8)
    test = examples.part("test")
    scored = np.isin(small.out_of_time.week, SPLIT["test"])
    np.testing.assert_allclose(
        small.out_of_time.probabilities[scored], small.scorer.predict(examples.rows.take(test)), atol=1e-6
    )
    assert {epoch.stage for epoch in small.epochs} == {"early", "full", "pruned"}


@pytest.mark.world
def test_a_smaller_model_that_loses_more_than_it_may_is_refused_and_the_full_one_serves(examples: Examples) -> None:
    trained = train(examples, spec(prune=0.95, epochs=1, tolerance=STRICT), ranking_weeks=4, device="cpu")
    assert trained.compression is not None
    assert trained.compression.word != "passed"
    assert trained.scorer.shape.units == (16, 16, 8)
    assert "0.0% may be lost" in trained.compression.why


@pytest.mark.world
def test_the_full_network_is_the_one_that_is_trained_with_the_same_rows_to_stop_on(
    small: Trained, examples: Examples
) -> None:
    """Compression draws nothing before the full network is done."""
    other = train(examples, spec(quantize="int8", tolerance=STRICT), ranking_weeks=4, device="cpu")
    assert other.compression is not None
    full = other.compression.other if other.compression.word == "passed" else other.scorer
    for name, values in small.compression.other.net.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(values, full.net.state_dict()[name]), name


@pytest.fixture(scope="module")
def folder(rows_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that the training step leaves."""
    made = tmp_path_factory.mktemp("small") / "intent"
    asked = spec(**BOTH, tolerance=LENIENT).model_dump_json()
    steps.run_train_intent(
        INTENTS_JSON, asked, ranking_weeks=4, rows=str(rows_folder), intent=str(made), code="c0de",
        curves=str(made.parent / "curves.html"),
    )  # fmt: skip
    return made


@pytest.mark.world
def test_the_folder_answers_as_the_trained_model_batch_or_single_and_says_what_was_saved(
    folder: Path, small: Trained, examples: Examples
) -> None:
    rows = examples.rows.take(examples.part("test"))
    served, want = IntentScorer.served(folder), small.scorer.predict(rows)
    assert served.served_form is not None
    np.testing.assert_allclose(served.predict(rows), want, atol=1e-5)
    alone = np.concatenate([served.predict(rows.take(np.array([b]))) for b in range(len(rows))])
    np.testing.assert_allclose(alone, want, atol=1e-5)
    told = compression.read(folder)
    assert told is not None
    assert (told["taken"], told["verdict"], set(told["metrics"])) == (
        "compressed", "passed", {"map", "macro_auroc", "bce", "bce_all"}
    )  # fmt: skip
    assert told["measured"]["compressed"]["size_bytes"] < told["measured"]["full"]["size_bytes"]
    assert set(told["measured"]["full"]["cpu_ms"]) == {"1", "64"}
    assert IntentScorer.load(folder / compression.OTHER).shape.units == (16, 16, 8)
    assert told["rows"] == len(examples.part("validate")) - 2 * 27  # a third of 40 users, two weeks of each


@pytest.mark.world
def test_pages_say_which_serves_and_why(folder: Path, rows_folder: Path, examples: Examples) -> None:
    _, card = steps.judge(folder, examples, folder.parent / "evaluation", report=lambda share, note: None)
    for words in ("## Compression", "The compressed intent model was taken (", "CPU-ms, batch 64", "interval"):
        assert words in card
    assert "the smaller model, after pruning" in (folder.parent / "curves.html").read_text()


@pytest.mark.world
def test_a_refit_is_pruned_anew_and_comes_to_the_judged_weights_on_the_judged_weeks(
    folder: Path, examples: Examples, rows_folder: Path, tmp_path: Path
) -> None:
    training = files.read_json(folder / steps.TRAINING)
    made = refits.refit(
        examples, spec(**BOTH, tolerance=LENIENT), refits.load_beginning(folder / steps.BEGINNING),
        weeks=SPLIT["train"], epochs=refits.epochs_of(training), smaller_epochs=refits.epochs_of(training, "pruned"),
        device="cpu",
    )  # fmt: skip
    want = IntentScorer.load(folder).net.state_dict()
    assert all(torch.equal(values, want[name]) for name, values in made.scorer.net.state_dict().items())
    steps.run_refit_intent(
        INTENTS_JSON, spec(**BOTH, tolerance=LENIENT).model_dump_json(), ranking_weeks=4, code="c0de", refit=True,
        rows=str(rows_folder), intent=str(folder), refitted=str(tmp_path / "refitted"),
    )  # fmt: skip
    assert IntentScorer.served(tmp_path / "refitted").shape.units == (8, 8, 4)


def predictions(*, better: float) -> tuple[np.ndarray, ...]:
    """Return labels [B, C], what the full model says, what a smaller one says, and users: 60 of four rows each."""
    rng = np.random.default_rng(0)
    labels = (rng.random((240, 3)) < 0.3).astype(np.uint8)
    full = np.clip(0.3 + 0.3 * (labels - 0.3) + rng.normal(0, 0.15, labels.shape), 0.01, 0.99)
    small = np.clip(
        full + better * (labels - 0.3) + (0.0 if better >= 0 else rng.normal(0, 0.1, labels.shape)), 0.01, 0.99
    )
    return labels, full, small, np.arange(240) // 4


@pytest.mark.parametrize(
    ("better", "tolerance", "word"),
    [(0.0, 0.0, "passed"), (0.05, 0.0, "passed"), (-0.2, 0.01, "refused"), (-0.2, 1.0, "passed")],
)
def test_what_is_lost_is_judged_by_paired_intervals(better: float, tolerance: float, word: str) -> None:
    labels, full, small, user = predictions(better=better)
    asked = Compress.model_validate(
        {"quantize": "int8", "tolerance": dict.fromkeys(("map", "macro_auroc", "bce"), tolerance)}
    )
    found = compress.compared(labels, full, small, user, asked)
    assert {loss.judged.word for loss in found.values()} == {word}
    for loss in found.values():
        assert loss.judged.interval is not None
        assert loss.judged.estimate == pytest.approx(loss.compressed - loss.full)  # type: ignore[operator]
        assert (loss.judged.rows, loss.judged.users) == (240, 60)
    if better == 0:
        assert found["map"].judged.interval == (0.0, 0.0)


@dataclass(frozen=True)
class Says:
    """A model that says these probabilities."""

    said: np.ndarray  # [B, C]

    def predict(self, rows: UserRows) -> np.ndarray:
        return self.said


@pytest.mark.parametrize(("single", "word"), [(0.0, "passed"), (-0.4, "refused")])
def test_an_intent_without_a_level_may_lose_no_more_than_the_others(
    single: float, word: str, examples: Examples
) -> None:
    """Headline figures are of the other targets alone, and would not see it."""
    rows = np.flatnonzero(np.isin(examples.week, SPLIT["validate"] + SPLIT["test"]))
    labels, alone = examples.labels[rows], [target.value is None for target in examples.vocabulary.targets]
    assert sum(alone) == 1
    full = np.where(labels > 0, 0.8, 0.2)
    small = np.where(alone, full + np.where(labels > 0, single, -single), full)
    asked = Compress.model_validate({"quantize": "int8", "tolerance": {"map": 0.02, "macro_auroc": 0.01, "bce": 0.02}})
    found = compress.chosen(Says(full), Says(small), examples, rows, asked)  # type: ignore[arg-type]
    each = {name: loss.judged.word for name, loss in found.losses.items()}
    assert each == {"map": "passed", "macro_auroc": "passed", "bce": "passed", "bce_all": word}
    assert (found.word, found.serves.said is small) == (word, word == "passed")  # type: ignore[attr-defined]
    theirs = np.mean(-np.log(np.where(labels > 0, full, 1 - full)))
    assert found.losses["bce_all"].full == pytest.approx(theirs, abs=1e-6)
    assert ("BCE of all intents" in found.why) or word == "passed"


def test_too_few_users_leave_it_undecided_and_the_full_one_serving() -> None:
    labels, full, small, user = predictions(better=0.0)
    some = slice(20)
    found = compress.compared(labels[some], full[some], small[some], user[some], Compress(quantize="int8"))
    assert {loss.judged.word for loss in found.values()} == {"undecided"}
    assert "5 users are behind it, fewer than 10" in compress._said("map", found["map"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"compress": {}}, "compress asks for nothing; give prune: 0.5, quantize: int8, or both, or drop compress"),
        ({"compress": {"prune": 0.99}}, "less than or equal to 0.95"),
        ({"compress": {"quantize": "int4"}}, "Input should be 'none' or 'int8'"),
        ({"compress": {"prune": 0.5}, "architecture": "gbdt"}, "compress: of networks, and architecture gbdt has none"),
    ],
)
def test_a_mistake_in_the_spec_is_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        IntentModel.model_validate(given)


def test_a_spec_that_asks_for_nothing_is_written_as_before() -> None:
    assert "compress" not in IntentModel().model_dump()
    assert spec(quantize="int8").model_dump()["compress"]["quantize"] == "int8"


def test_a_world_of_two_users_has_nobody_to_compare_on(examples: Examples) -> None:
    few = replace(examples, rows=replace(examples.rows, user_id=np.where(examples.users % 2, "a", "b").astype(object)))
    with pytest.raises(DataError, match=r"have no third of users to compare with; .* drop compress"):
        train(few, spec(quantize="int8"), ranking_weeks=4, device="cpu")


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    assert compression.read(tmp_path) is None
    assert compression.page(None) == ""
    files.write_json(tmp_path / compression.FILE, {"format": 9})
    with pytest.raises(DataError, match="of format 9, this code reads 1; run the pipeline again"):
        compression.read(tmp_path)
