"""Realised figures of a few answers, computed by hand."""

import numpy as np
import pytest

from monitoring.quality.figures import METRICS, Said, Shown, expected, ndcg, of_intents, of_lists

THREE = Said(
    user=np.array([0, 1, 2]),
    probability=np.array([[0.9, 0.2], [0.6, 0.7], [0.1, 0.1]]),
    label=np.array([[1, 0], [0, 1], [0, 1]], dtype=np.uint8),
    threshold=np.array([0.5, 0.5]),
    weight=np.ones(3),
)


def test_precision_recall_and_average_precision_of_three_answers() -> None:
    """Said: two right of three; true: three. Ranks: the first target 1, the second's positives at places 1 and 3."""
    found = of_intents(THREE)
    assert found["precision"].value == pytest.approx(2 / 3)
    assert found["recall"].value == pytest.approx(2 / 3)
    assert found["map"].value == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    assert found["came"].value == pytest.approx(3 / THREE.probability.sum())
    low, high = found["precision"].low, found["precision"].high
    assert low is not None
    assert high is not None
    assert low < 2 / 3 < high


def test_an_answer_of_a_sample_counts_for_those_that_were_not_kept() -> None:
    more = Said(THREE.user, THREE.probability, THREE.label, THREE.threshold, np.array([1.0, 3.0, 1.0]))
    found = of_intents(more)
    assert found["precision"].value == pytest.approx((1 + 3) / (1 + 3 * 2))
    assert found["recall"].value == pytest.approx((1 + 3) / (1 + 3 + 1))


def test_calibration_is_the_gap_between_what_was_said_and_what_happened() -> None:
    said = Said(
        np.arange(4), np.full((4, 1), 0.75), np.array([[1], [1], [1], [0]], np.uint8), np.array([0.5]), np.ones(4)
    )
    assert of_intents(said)["ece"].value == pytest.approx(0.0, abs=1e-6)
    wrong = Said(said.user, said.probability, np.zeros((4, 1), np.uint8), said.threshold, said.weight)
    assert of_intents(wrong)["ece"].value == pytest.approx(0.75, abs=1e-6)
    assert "map" not in of_intents(wrong)  # nothing came true, so nothing could be ranked


def test_lists_are_judged_in_their_order_and_by_all_that_was_chosen() -> None:
    relevant = np.zeros((3, 10), bool)
    relevant[0, 0] = relevant[1, 1] = True
    acted = np.zeros((3, 10), bool)
    acted[0, :2] = True
    shown = Shown(
        user=np.array([0, 1, 2]),
        relevant=relevant,
        chosen=np.array([1, 2, 0]),
        acted=acted,
        places=np.array([10, 5, 5]),
        weight=np.ones(3),
    )
    found = of_lists(shown)
    second = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert found["ndcg_at_10"].value == pytest.approx((1 + second) / 2)  # the third chose nothing, which says nothing
    assert found["ctr"].value == pytest.approx(2 / 20)
    assert ndcg(relevant, shown.chosen).tolist() == pytest.approx([1.0, second, 0.0])


def test_what_is_promised_needs_no_label() -> None:
    blind = Said(THREE.user, THREE.probability, np.zeros_like(THREE.label), THREE.threshold, THREE.weight)
    found = expected(blind)
    assert found == expected(THREE)
    assert found["precision"] == pytest.approx((0.9 + 0.6 + 0.7) / 3)
    assert found["recall"] == pytest.approx(2.2 / 2.6)
    first = (0.9 + 0.6 * 1.9 / 2 + 0.1 * 2.5 / 3) / 1.6
    second = (0.7 + 0.2 * 1.7 / 2 + 0.1 * 1.9 / 3) / 1.0
    assert found["map"] == pytest.approx((first + second) / 2)


def test_a_promise_of_a_sample_counts_for_those_that_were_not_kept() -> None:
    more = Said(THREE.user, THREE.probability, THREE.label, THREE.threshold, np.array([1.0, 3.0, 1.0]))
    said, all_ = 0.9 + 3 * (0.6 + 0.7), (0.9 + 0.2) + 3 * (0.6 + 0.7) + (0.1 + 0.1)
    assert expected(more)["precision"] == pytest.approx(said / (1 + 3 * 2))
    assert expected(more)["recall"] == pytest.approx(said / all_)


def test_promises_that_are_calibrated_come_true() -> None:
    """A world that draws its labels from the probabilities: realised figures are near the estimate."""
    rng = np.random.default_rng(0)
    p = rng.beta(1, 3, (4000, 3))
    said = Said(np.arange(4000), p, (rng.random(p.shape) < p).astype(np.uint8), np.full(3, 0.4), np.ones(4000))
    realised, promised = of_intents(said), expected(said)
    for name in ("precision", "recall", "map"):
        assert realised[name].value == pytest.approx(promised[name], abs=0.02)
    assert realised["ece"].value < 0.02


def test_one_user_has_no_interval_and_none_has_no_figure() -> None:
    one = Said(np.zeros(3, int), THREE.probability, THREE.label, THREE.threshold, THREE.weight)
    assert (of_intents(one)["map"].low, of_intents(one)["map"].high) == (None, None)
    none = Said(np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 2), np.uint8), np.zeros(2), np.zeros(0))
    assert of_intents(none) == expected(none) == {}
    assert set(of_intents(THREE)) | {"ndcg_at_10", "ctr"} == set(METRICS)
