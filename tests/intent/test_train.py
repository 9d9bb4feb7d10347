"""The contract of every architecture, on a world whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components.intent import train as training
from components.intent.ensemble_train import train
from components.intent.examples import Examples
from components.intent.networks import TREES
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Trained
from feature_repo.rows import UserRows

from .conftest import ARCHITECTURES, CATEGORIES, SPLIT, VISIT, start, unknown_row, user_rows

Small = Callable[[str], IntentModel]


def asked(examples: Examples) -> UserRows:
    return examples.rows.take(examples.part("test"))


def test_even_users_are_expected_to_buy_even_categories(trained: Trained, examples: Examples) -> None:
    rows = asked(examples)
    probability = trained.scorer.predict(rows)
    even = np.array([int(user[1:]) % 2 == 0 for user in rows.user_id])
    # Trees go on from the latest weeks' rows in steps, which of so few pairs are high ones.
    near = 0.15 if trained.scorer.shape.architecture == TREES else 0.1
    for category in range(len(CATEGORIES)):
        mine, others = even == (category % 2 == 0), even == (category % 2 == 1)
        assert probability[mine, category].min() > 2 * probability[others, category].max()
        assert probability[mine, category].mean() == pytest.approx(0.8 * 0.9, abs=near)  # comes, and then buys
    assert probability[:, VISIT].mean() == pytest.approx(0.8, abs=0.1)


def test_a_saved_model_answers_as_before(trained: Trained, examples: Examples, tmp_path: Path) -> None:
    rows = asked(examples)
    trained.scorer.save(tmp_path / "intent")
    loaded = IntentScorer.load(tmp_path / "intent")
    np.testing.assert_array_equal(loaded.predict(rows), trained.scorer.predict(rows))
    assert loaded.names == trained.scorer.names == [f"buy:{name}" for name in CATEGORIES] + ["visit"]
    assert {p.suffix for p in (tmp_path / "intent").rglob("*") if p.is_file()} == {".safetensors", ".json", ".parquet"}


def test_a_user_scores_alike_alone_and_in_a_batch(trained: Trained, examples: Examples) -> None:
    rows = asked(examples)
    together = trained.scorer.predict(rows)
    alone = np.concatenate([trained.scorer.predict(rows.take(np.array([b]))) for b in range(len(rows))])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_a_cold_user_gets_what_everyone_gets(trained: Trained, examples: Examples) -> None:
    cold = trained.scorer.predict(user_rows([unknown_row("nobody", start(20))]))[0]
    assert np.isfinite(cold).all()
    usual = examples.labels[examples.part("train")].mean(axis=0)
    assert cold.mean() == pytest.approx(usual.mean(), abs=0.2)  # half buy a category; no history says which half


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_seeds_give_equal_scores_and_leave_the_global_generator_alone(
    architecture: str, examples: Examples, small: Small
) -> None:
    spec = small(architecture).model_copy(update={"epochs": 2})
    before = torch.random.get_rng_state()
    first, second = (train(examples, spec, ranking_weeks=4, device="cpu") for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_allclose(first.out_of_time.probabilities, second.out_of_time.probabilities, atol=1e-6)
    assert [e.validate_bce for e in first.epochs] == pytest.approx([e.validate_bce for e in second.epochs], abs=1e-6)
    other = train(examples, spec.model_copy(update={"seed": 1}), ranking_weeks=4, device="cpu")
    assert np.abs(other.out_of_time.probabilities - first.out_of_time.probabilities).max() > 1e-4


def test_out_of_time_scores_have_not_seen_the_labels_of_their_weeks(examples: Examples, small: Small) -> None:
    held = SPLIT["train"][-4:]
    forged = examples.labels.copy()
    forged[np.isin(examples.week, held)] = 1 - forged[np.isin(examples.week, held)]
    found = [
        train(world, small("cnn"), ranking_weeks=4, device="cpu").out_of_time
        for world in (examples, replace(examples, labels=forged))
    ]
    mine = np.isin(found[0].week, held)
    assert sorted(set(found[0].week.tolist())) == [*held, *SPLIT["validate"], *SPLIT["test"]]
    np.testing.assert_array_equal(found[0].probabilities[mine], found[1].probabilities[mine])
    assert np.abs(found[0].probabilities[~mine] - found[1].probabilities[~mine]).max() > 0.05


def test_an_untrained_network_says_the_personal_decayed_rate(examples: Examples, small: Small) -> None:
    whole = train(examples, small("cnn"), ranking_weeks=99, device="cpu")  # no week is left for the early stage
    assert {epoch.stage for epoch in whole.epochs} == {"full"}
    held = np.isin(whole.out_of_time.week, SPLIT["train"])
    rows = examples.rows.take(examples.part("train"))
    decayed = 1 / (1 + np.exp(-whole.scorer.encode(rows).frequency[:, :, 0]))
    np.testing.assert_allclose(whole.out_of_time.probabilities[held], decayed, atol=1e-6)


def test_training_stops_when_the_validation_weeks_say_so(examples: Examples, small: Small) -> None:
    noise = examples.labels.copy()
    validate = examples.part("validate")
    noise[validate] = 1 - noise[validate]  # the better it learns, the worse it validates
    spec = small("cnn").model_copy(update={"epochs": 50, "learning_rate": 3e-3})
    found = train(replace(examples, labels=noise), spec, ranking_weeks=4, device="cpu")
    assert len(found.epochs) < 10


def test_progress_goes_up_to_the_end(examples: Examples, small: Small) -> None:
    shares: list[float] = []
    spec = small("cnn").model_copy(update={"batch_size": 8, "epochs": 2})
    train(examples, spec, ranking_weeks=4, device="cpu", report=lambda share, note: shares.append(share))
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] <= 1.0


def test_memory_holds_frequencies_as_half_floats(examples: Examples) -> None:
    rows = training.encoded(examples, examples.part("train"))
    assert rows.encoded.frequency.dtype == np.float16
    assert rows.encoded.sequence.dtype == np.uint8
