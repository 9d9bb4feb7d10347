"""Evaluation beside its baselines, and the card that tells of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from components.intent import baselines, card
from components.intent.evaluate import COMPARED, Evaluation, evaluate
from components.intent.examples import Examples
from components.intent.train import Trained

from .conftest import CALENDAR, VISIT, known_row, user_rows

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def found(trained: Trained, examples: Examples) -> Evaluation:
    return evaluate(trained.scorer, examples)


def test_the_model_beats_the_decayed_rate_where_users_take_turns(found: Evaluation) -> None:
    for name in ("macro_auroc", "map"):
        assert found.test[name] >= found.baselines["global_rate"][name] + 0.2  # type: ignore[operator]
    assert found.test["bce"] < found.baselines[COMPARED]["bce"]  # type: ignore[operator]
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
