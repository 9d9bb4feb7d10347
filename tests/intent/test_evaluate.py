"""Evaluation beside its baselines, and the card that tells of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import classification_report, precision_recall_fscore_support

from components.intent import baselines, card, decisions
from components.intent.decisions import Thresholds
from components.intent.evaluate import COMPARED, Evaluation, evaluate
from components.intent.examples import Examples
from components.intent.networks import TREES
from components.intent.train import Trained

from .conftest import CALENDAR, VISIT, known_row, user_rows

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def found(trained: Trained, examples: Examples) -> Evaluation:
    return evaluate(trained.scorer, examples)


def test_the_model_beats_the_decayed_rate_where_users_take_turns(found: Evaluation, trained: Trained) -> None:
    for name in ("macro_auroc", "map"):
        assert found.test[name] >= found.baselines["global_rate"][name] + 0.2  # type: ignore[operator]
    near = 0.02 if trained.scorer.shape.architecture == TREES else 0.0  # 3,360 pairs are few to grow trees on
    assert found.test["bce"] < found.baselines[COMPARED]["bce"] + near  # type: ignore[operator]
    low, high = found.gain["bce"]
    assert low < found.test["bce"] - found.baselines[COMPARED]["bce"] < high  # type: ignore[operator]
    low, high = found.intervals["macro_auroc"]
    assert low <= found.test["macro_auroc"] <= high  # type: ignore[operator]


def test_baselines_are_judged_on_the_same_rows(found: Evaluation, examples: Examples) -> None:
    rows = len(examples.part("test"))
    assert {numbers["rows"] for numbers in (found.test, *found.baselines.values())} == {rows}
    assert set(found.baselines) == set(baselines.NAMES)
    assert found.weeks == [19, 20]
    assert {"visit_auroc", "visit_brier"} <= found.test.keys()


def test_cohorts_part_the_rows(found: Evaluation, examples: Examples) -> None:
    for kind in ("segment", "tenure", "activity"):
        rows = [numbers["rows"] for name, numbers in found.cohorts.items() if name.startswith(kind)]
        assert sum(filter(None, rows)) == len(examples.part("test"))


def test_the_resamples_are_of_the_model_and_the_best_baselines(found: Evaluation, examples: Examples) -> None:
    lines = {(line.side, line.draws, line.cohort, line.metric): line for line in found.resamples}
    assert len(lines) == len(found.resamples)
    users = len(np.unique(examples.users[examples.part("test")]))
    for metric in ("map", "macro_auroc", "micro_auroc", "bce", "ece"):
        values = {name: figures[metric] for name, figures in found.baselines.items()}
        best = (min if metric in ("bce", "ece") else max)(values, key=lambda name: values[name])
        assert (best, "within", "", metric) in lines
        mine = lines["model", "within", "", metric]
        assert (mine.rows, mine.users) == (found.test["rows"], users)
        if metric != "ece":
            assert mine.resampled.mean() == pytest.approx(found.test[metric], abs=0.02)
        assert np.isfinite(lines["model", "across", "", metric].resampled).all()
    for cohort, figures in found.cohorts.items():
        assert lines["model", "within", cohort, "bce"].rows == figures["rows"]
        assert (COMPARED, "within", cohort, "map") in lines
    assert "ece" not in found.intervals


def test_the_document_is_json_without_nan(found: Evaluation) -> None:
    document = json.loads(json.dumps(found.metrics(), allow_nan=False))
    assert {"test", "validate", "baselines", "cohorts", "intervals", "gain"} <= document.keys()


def test_the_card_tells_figures_baselines_and_limits(found: Evaluation, examples: Examples) -> None:
    training = {"spec": {"architecture": "cnn", "width": 16}, "rows": {"train": 480}, "epochs": [{}, {}]}
    text = card.write(found, training, examples.vocabulary)
    for words in ("# Intent model", "decayed rate", "global rate", "Cohorts", "activity low", "visit", "95 %"):
        assert words in text
    assert f"**{found.test['map']:.4f}**" in text


def test_a_world_with_one_intent_and_no_level_is_judged_by_it(trained: Trained, examples: Examples) -> None:
    targets = tuple(replace(t, value=None, intent=f"t{i}") for i, t in enumerate(examples.vocabulary.targets))
    plain = replace(examples, vocabulary=replace(examples.vocabulary, targets=targets))
    found = evaluate(trained.scorer, plain)
    assert found.test["macro_auroc"] is not None
    assert "visit_auroc" not in found.test


def test_the_personal_rates_are_the_weeks_over_what_was_possible() -> None:
    row = known_row("u2", {2: [0, VISIT], 4: [0, VISIT]}, 6)
    found = baselines.predictions(
        np.full(VISIT + 1, 0.1), user_rows([row]), {"personal_rate": 2.0, "decayed_rate": 2.0}, calendar=CALENDAR
    )
    assert found["global_rate"][0].tolist() == pytest.approx([0.1] * (VISIT + 1))
    assert found["personal_rate"][0, 0] == pytest.approx((2 + 0.2) / (4 + 2))
    possible = sum(0.96**age for age in (1, 2, 3, 4))
    assert found["decayed_rate"][0, 0] == pytest.approx((0.96**2 + 0.96**4 + 0.2) / (possible + 2))
    assert found["decayed_rate"][0, 1] == pytest.approx(0.2 / (possible + 2))


def test_decisions_are_those_of_scikit_learns_report(found: Evaluation, trained: Trained, examples: Examples) -> None:
    test = examples.part("test")
    said = trained.scorer.predict(examples.rows.take(test))
    yes = said >= [numbers["threshold"] for numbers in found.targets.values()]
    labels = examples.labels[test]
    for c, numbers in enumerate(found.targets.values()):
        want = classification_report(labels[:, c], yes[:, c], output_dict=True, zero_division=0)["1"]
        for mine, theirs in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
            ("support", "support"),
        ):
            assert numbers[mine] == pytest.approx(want[theirs], abs=1e-6)
    head = slice(0, VISIT)
    precision, recall, f1, _ = precision_recall_fscore_support(labels[:, head], yes[:, head], average="macro")
    for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert found.test[f"macro_{name}"] == pytest.approx(value, abs=1e-6)
    pooled = (said[:, head] >= found.curve.threshold).ravel()
    precision, recall, f1, _ = precision_recall_fscore_support(labels[:, head].ravel(), pooled, average="binary")
    for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert found.test[f"micro_{name}"] == pytest.approx(value, abs=2e-6)
    assert found.test["brier"] == pytest.approx(((said[:, head] - labels[:, head]) ** 2).mean(), abs=1e-5)


def test_thresholds_come_from_validation_rows_and_travel_with_the_model(
    trained: Trained, examples: Examples, found: Evaluation
) -> None:
    validate = examples.part("validate")
    said = trained.scorer.predict(examples.rows.take(validate))
    chosen = decisions.choose(examples.labels[validate], said, examples.vocabulary)
    assert trained.thresholds is not None
    np.testing.assert_allclose(trained.thresholds.by_target, chosen.by_target, atol=1e-5)
    own = evaluate(
        trained.scorer, examples, thresholds=Thresholds(0.9, np.full(7, 0.999), np.ones(7, bool), apart=True)
    )
    assert own.curve.threshold == 0.9
    assert own.test["macro_recall"] < found.test["macro_recall"]  # type: ignore[operator]


def test_reliability_and_groups_of_targets_hold_all_pairs(found: Evaluation, examples: Examples) -> None:
    rows = len(examples.part("test"))
    assert {name: sum(cell["pairs"] for cell in bins) for name, bins in found.reliability.items()} == {
        "buy": rows * VISIT, "visit": rows
    }  # fmt: skip
    assert [values["targets"] for values in found.groups.values()] == [2, 2, 2]
    for values in (*found.groups.values(), *found.cohorts.values()):
        assert {"map", "bce", "decayed_rate_map", "bce_of_decayed_rate"} <= values.keys()


def test_the_card_names_cohorts_behind_the_rate(found: Evaluation, examples: Examples) -> None:
    training = {"spec": {"architecture": "cnn", "width": 16}, "rows": {"train": 480}, "epochs": [{}, {}]}
    name, values = next(iter(found.cohorts.items()))
    for decayed, words in (
        (0.0, "In none of these the model is behind"),
        (1.0, f"Behind the decayed rate: {name} (mAP)"),
    ):
        all_ = {n: v | {"decayed_rate_map": 0.0, "bce_of_decayed_rate": 9.0} for n, v in found.cohorts.items()}
        groups = {n: v | {"decayed_rate_map": 0.0, "bce_of_decayed_rate": 9.0} for n, v in found.groups.items()}
        judged = replace(found, cohorts=all_ | {name: all_[name] | {"decayed_rate_map": decayed}}, groups=groups)
        assert words in card.write(judged, training, examples.vocabulary)
    assert values["map"] is not None
