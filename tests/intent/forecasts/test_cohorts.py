"""Forecasts by cohort: figures by hand, a cohort that is behind is named, and few people are left out."""

import numpy as np
import pytest

from components.intent.forecasts import card, evaluate
from components.intent.forecasts.evaluate import Judged
from components.intent.forecasts.kinds.regression import Regression
from tests.intent.forecasts.conftest import SPEND

USERS, EACH = 60, 8


def judged() -> Judged:
    """Return amounts of 60 users: the model is right about the first half, and the mean about the others."""
    rng = np.random.default_rng(0)
    user = np.repeat([f"u{n:02}" for n in range(USERS)], EACH)
    new = np.repeat(np.arange(USERS) < USERS // 2, EACH)
    y = np.where(new, 10.0, 2.0) + rng.normal(0, 0.5, len(user))
    said = np.where(new, 10.0, 6.0)[:, None]
    others = {"mean": np.full((len(user), 1), 5.0), "own_mean": np.where(new, 16.0, 2.0)[:, None]}
    few = np.arange(len(user)) < 3 * EACH
    masks = {"tenure new": new, "tenure old": ~new, "segment 3": few}
    return Judged(Regression(SPEND, 5.0, 4.0, 0.0, (5.0,)), y, said, others, user, cohorts=masks)


def test_each_cohort_is_judged_beside_the_baseline_that_is_best_of_all() -> None:
    one = judged()
    found = evaluate.evaluate([one]).intents["spend"]["cohorts"]
    overall = {side: np.sqrt(((one.y - said[:, 0]) ** 2).mean()) for side, said in one.others.items()}
    assert (found["metric"], found["baseline"]) == ("rmse", min(overall, key=lambda side: overall[side]))
    assert set(found["by_name"]) == {"tenure new", "tenure old"}, "of three users nothing is told"
    for name, mask in (("tenure new", one.cohorts["tenure new"]), ("tenure old", one.cohorts["tenure old"])):
        told = found["by_name"][name]
        assert told["model"] == pytest.approx(np.sqrt(((one.y - one.said[:, 0])[mask] ** 2).mean()), abs=1e-6)
        other = one.others[found["baseline"]][:, 0]
        assert told[found["baseline"]] == pytest.approx(np.sqrt(((one.y - other)[mask] ** 2).mean()), abs=1e-6)
        assert (told["rows"], told["users"]) == (USERS // 2 * EACH, USERS // 2)
        assert told["interval"] is not None
    assert found["by_name"]["tenure new"]["verdict"] == "passed"
    assert found["by_name"]["tenure old"]["verdict"] == "refused"


def test_the_card_names_where_it_is_behind() -> None:
    text = card.write(evaluate.evaluate([judged()]), intents=(SPEND,), step="week", counts={})
    assert "| RMSE (EUR) by cohort | rows | model | mean | difference |" in text
    assert "Behind mean in: tenure old." in text


def test_without_cohorts_the_figures_are_as_before() -> None:
    one = judged()
    plain = Judged(one.head, one.y, one.said, one.others, one.user)
    found = evaluate.evaluate([plain])
    assert "cohorts" not in found.intents["spend"]
    assert found.test == evaluate.evaluate([one]).test
