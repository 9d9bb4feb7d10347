"""Why a forecast is what it is: effects sum up, slopes are those of a difference, and what makes it so is named."""

import numpy as np
import pytest

from components.intent.examples import Examples
from components.intent.forecasts import causes
from components.intent.forecasts.kinds.regression import Regression
from components.intent.forecasts.learn import Learnt
from components.intent.forecasts.score import Fitted
from feature_repo.rows import UserRows
from tests.intent.forecasts.conftest import SPEND


def row_of(examples: Examples, *, even: bool) -> UserRows:
    """Return a test row of a user who spends much (even), or little."""
    test = examples.part("test")
    ids = examples.rows.user_id[test]
    place = next(n for n, user in enumerate(ids) if (int(user[1:]) % 2 == 0) == even)
    return examples.rows.take(test[[place]])


def test_slopes_are_those_of_small_differences(learnt: Learnt, examples: Examples) -> None:
    x = learnt.scorer.seen.scaled(row_of(examples, even=True)).astype(np.float64)
    for one in learnt.scorer.fitted:
        _, scalar = causes._scalar(one, one.outputs(x))
        found = causes.slopes(one, scalar, x)[0]
        for place in np.argsort(-np.abs(found))[:5]:
            step = np.zeros_like(x)
            step[0, place] = 1e-5
            by_hand = (scalar(one.outputs(x + step)) - scalar(one.outputs(x - step)))[0] / 2e-5
            assert found[place] == pytest.approx(by_hand, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("even", [True, False])
def test_effects_sum_up_to_what_is_said_less_nobodys(learnt: Learnt, examples: Examples, even: bool) -> None:
    rows = row_of(examples, even=even)
    names = examples.vocabulary.target_names
    said = dict(zip(learnt.scorer.names, learnt.scorer.said(rows), strict=True))
    for one in causes.explain(learnt.scorer, rows, names):
        total = sum(cause.effect for cause in one.causes) + one.others + one.unexplained
        assert total == pytest.approx(one.said - one.nobody, abs=1e-4)
        assert abs(one.unexplained) <= 0.05 * abs(one.said - one.nobody) + 1e-3
        if said[one.intent]["kind"] == "regression":
            assert one.said == pytest.approx(said[one.intent]["value"], rel=1e-6)
        assert len(one.causes) == causes.MOST
        assert list(one.causes) == sorted(one.causes, key=lambda c: -abs(c.effect))
        assert all(cause.words for cause in one.causes)


def test_units_and_values_are_named_and_who_spends_much_is_seen(learnt: Learnt, examples: Examples) -> None:
    found = {
        even: {
            one.intent: one
            for one in causes.explain(
                learnt.scorer, row_of(examples, even=even), examples.vocabulary.target_names, most=99
            )
        }
        for even in (True, False)
    }
    assert found[True]["spend"].of == "EUR"
    assert found[True]["next"].of.startswith("log odds of ")
    assert found[True]["spend"].said > 2 * found[False]["spend"].said
    much, little = (
        sum(cause.effect for cause in found[even]["spend"].causes if cause.kind in ("profile", "rate", "segment"))
        for even in (True, False)
    )
    assert much > little


def test_a_user_of_whom_nothing_is_known_has_no_causes(learnt: Learnt, examples: Examples) -> None:
    nobody = UserRows.unknown(["x"], now=int(row_of(examples, even=True).now[0]))
    for one in causes.explain(learnt.scorer, nobody, examples.vocabulary.target_names):
        assert (one.causes, one.others, one.said) == ((), 0, one.nobody)


def test_a_straight_line_is_told_exactly_and_a_bend_by_its_part() -> None:
    """By hand: 3 x0 straight, and 2 relu(x1 - 1), which begins halfway from 0 to 2."""
    arrays = {
        "first.weight": np.array([[0.0, 1.0]]), "first.bias": np.array([-1.0]), "second.weight": np.array([[1.0]]),
        "second.bias": np.array([0.0]), "out.weight": np.array([[2.0]]), "out.bias": np.array([0.0]),
        "skip.weight": np.array([[3.0, 0.0]]), "start": np.array([5.0]),
    }  # fmt: skip
    head = Regression(SPEND, mean=0.0, spread=1.0, lowest=-1.0, usual=(5.0,))
    one = Fitted(head, arrays)
    _, scalar = causes._scalar(one, np.array([[0.0]]))
    found = causes.integrated(one, scalar, np.zeros(2), np.array([2.0, 2.0]), pieces=64)
    assert found == pytest.approx([6.0, 2.0], abs=1e-9)
    assert float(scalar(one.outputs(np.array([[2.0, 2.0]])))[0]) == pytest.approx(5 + 6 + 2)
