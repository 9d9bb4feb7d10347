"""Metrics against scikit-learn, ties and weights included."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from components.intent import metrics

RNG = np.random.default_rng(5)
LABEL = (RNG.random(400) < 0.2).astype(np.uint8)
SCORE = np.round(LABEL * 0.2 + RNG.random(400), 1)  # rounding makes ties


def test_auroc_and_average_precision_are_those_of_scikit_learn() -> None:
    auroc, ap = metrics.ranking(LABEL, SCORE, np.ones((400, 1)))
    assert auroc[0] == pytest.approx(roc_auc_score(LABEL, SCORE))
    assert ap[0] == pytest.approx(average_precision_score(LABEL, SCORE))


def test_weights_count_rows_as_often_as_they_say() -> None:
    weight = np.stack([np.ones(400), RNG.integers(0, 4, 400)], axis=1).astype(np.float32)
    auroc, ap = metrics.ranking(LABEL, SCORE, weight)
    times = weight[:, 1].astype(int)
    assert auroc[1] == pytest.approx(roc_auc_score(np.repeat(LABEL, times), np.repeat(SCORE, times)), rel=1e-5)
    assert ap[1] == pytest.approx(average_precision_score(np.repeat(LABEL, times), np.repeat(SCORE, times)), rel=1e-5)
    assert auroc[0] == pytest.approx(roc_auc_score(LABEL, SCORE))


def test_a_target_without_positives_has_no_figures_and_is_left_out_of_means() -> None:
    label = np.stack([LABEL, np.zeros(400, np.uint8)], axis=1)
    score = np.stack([SCORE, SCORE], axis=1) / 2
    assert metrics.single(label[:, 1], score[:, 1])["auroc"] is None
    found = metrics.summary(label, score)
    assert found["macro_auroc"] == pytest.approx(roc_auc_score(LABEL, SCORE), abs=1e-6)
    assert found["positive_share"] == pytest.approx(LABEL.mean() / 2, abs=1e-6)


def test_summary_figures_are_those_of_scikit_learn() -> None:
    label = (RNG.random((300, 3)) < 0.3).astype(np.uint8)
    score = np.clip(label * 0.3 + RNG.random((300, 3)) * 0.6, 0.01, 0.99).astype(np.float32)
    found = metrics.summary(label, score) | metrics.pooled(label, score, threshold=0.5)
    assert found["micro_auroc"] == pytest.approx(roc_auc_score(label.ravel(), score.ravel()), abs=1e-6)
    assert found["map"] == pytest.approx(average_precision_score(label, score, average="macro"), abs=1e-6)
    assert found["micro_f1"] == pytest.approx(f1_score(label.ravel(), score.ravel() >= 0.5), abs=1e-6)


def test_the_best_threshold_takes_all_pairs_of_an_answer() -> None:
    """Trees give equal answers by the hundred: a cut in the midst of them is none that a threshold can make."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        score = np.round(rng.random(40), 1)
        label = (rng.random(40) < 0.3).astype(np.int64)
        f1 = {t: metrics.pooled(label[None], score[None], threshold=t)["micro_f1"] for t in np.unique(score)}
        best = metrics.best_threshold(label, score)
        assert f1[best] == max(f1.values())


def test_the_best_threshold_has_the_highest_f1() -> None:
    score = RNG.random(200)
    label = (score + RNG.normal(0, 0.3, 200) > 0.7).astype(np.uint8)
    best = metrics.best_threshold(label, score)
    highest = max(f1_score(label, score >= t) for t in score)
    assert f1_score(label, score >= best) == pytest.approx(highest)


def test_calibration_error_is_the_gap_between_said_and_happened() -> None:
    label = np.array([1, 1, 0, 0])
    assert metrics.calibration_error(label, np.full(4, 0.9)) == pytest.approx(0.4)


def test_users_are_resampled_whole() -> None:
    user = np.array([0, 0, 1, 2, 2])
    weight = metrics.user_weights(user, resamples=50)
    assert weight.shape == (5, 50)
    np.testing.assert_array_equal(weight[0], weight[1])
    np.testing.assert_array_equal(weight[[0, 2, 3]].sum(axis=0), 3)


def test_intervals_hold_the_estimate() -> None:
    label, score = LABEL[:, None], np.clip(SCORE, 0, 1)[:, None] * 0.5 + 0.1
    found = metrics.resampled(label, score, metrics.user_weights(np.arange(400)))
    low, high = metrics.interval(found["macro_auroc"])
    assert low < roc_auc_score(LABEL, score[:, 0]) < high
    assert high - low < 0.2


def test_resampled_figures_are_those_of_the_rows_as_often_as_they_were_drawn() -> None:
    label = np.stack([LABEL, (RNG.random(400) < 0.01).astype(np.uint8)], axis=1)  # the second is rare: some lack it
    score = np.clip(np.stack([SCORE, RNG.random(400)], axis=1) * 0.5 + 0.1, 0.01, 0.99).astype(np.float32)
    weight = np.stack([np.ones(400), RNG.integers(0, 3, 400)], axis=1).astype(np.float32)
    weight[label[:, 1] > 0, 1] = 0
    found = metrics.resampled(label, score, weight)
    for draw in range(2):
        rows = np.repeat(np.arange(400), weight[:, draw].astype(int))
        expected = metrics.summary(label[rows], score[rows])
        for name, values in found.items():
            assert values[draw] == pytest.approx(expected[name], rel=1e-4), name
    assert set(found) == {"macro_auroc", "map", "bce", "ece"}
    assert np.isnan(metrics.resampled(label[:, 1:] * 0, score[:, 1:], weight)["map"]).all()


def test_the_pooled_auroc_is_resampled_as_the_rows_are_drawn() -> None:
    label = np.stack([LABEL, (RNG.random(400) < 0.1).astype(np.uint8)], axis=1)
    score = np.clip(np.stack([SCORE, RNG.random(400)], axis=1) * 0.5 + 0.1, 0.01, 0.99).astype(np.float32)
    weight = metrics.user_weights(np.arange(400) // 2, resamples=20)
    found = metrics.resampled_micro_auroc(label, score, weight)
    for draw in range(20):
        rows = np.repeat(np.arange(400), weight[:, draw].astype(int))
        assert found[draw] == pytest.approx(roc_auc_score(label[rows].ravel(), score[rows].ravel()), abs=1e-3)
    assert np.isnan(metrics.resampled_micro_auroc(label * 0, score, weight)).all()
    tied = metrics.resampled_micro_auroc(label, np.full_like(score, 0.3), weight)
    np.testing.assert_allclose(tied, 0.5)


def test_rows_past_one_block_count_as_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    label, score = LABEL[:, None], np.clip(SCORE, 0, 1)[:, None]
    weight = metrics.user_weights(np.arange(400), resamples=5)
    whole = metrics.resampled_micro_auroc(label, score, weight)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    np.testing.assert_allclose(metrics.resampled_micro_auroc(label, score, weight), whole)


def test_the_roc_curve_goes_from_corner_to_corner() -> None:
    found = metrics.curve(LABEL, np.clip(SCORE, 0, 1), threshold=0.5)
    assert (found.fpr[0], found.tpr[0]) == (0, 0)
    assert (found.fpr[-1], found.tpr[-1]) == (1, 1)
    assert np.isfinite(found.thresholds).all()
    assert sum(map(sum, found.confusion)) == 400
    assert sum(found.confusion[1]) == LABEL.sum()
