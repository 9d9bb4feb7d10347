"""Signals of the users' rows, of scores, of labels and of answers, by value."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from monitoring.drift import frame_signals, model_signals, request_signals
from monitoring.drift.observed import ItemTexts, ItemValues, Labels, Observed
from monitoring.drift.reasons import reason_of
from monitoring.drift.signals import Measured, kind_of

NAN = float("nan")
NOTHING = pd.DataFrame({"user": []})


def made(**more) -> Observed:
    return Observed(**{"period": 5, "days": 7, "events": NOTHING, **more})


def values(found) -> dict[str, float]:
    return {name: one.value for name, one in found.items()}


def test_a_feature_by_value() -> None:
    frame = pd.DataFrame({"sessions_7d": [0.0, np.e - 1, NAN, NAN], "recency_days": [1.0, 3.0, 1.0, 3.0]})
    found = frame_signals.measure(made(frame=frame), [])
    assert found["features.mean.sessions_7d"] == Measured(0.5, 2, 0.5)  # of log(1 + x): 0 and 1
    assert found["features.spread.sessions_7d"].value == 0.5
    assert found["features.null.sessions_7d"] == Measured(0.5, 4)
    assert found["features.mean.recency_days"].value == 2.0


def test_a_total_that_grows_by_itself_is_judged_by_its_nulls_alone() -> None:
    found = frame_signals.measure(made(frame=pd.DataFrame({"value_total": [1.0, 2.0]})), [])
    assert list(found) == ["features.null.value_total"]


def test_a_row_counts_for_those_that_it_stands_for() -> None:
    frame = pd.DataFrame({"sessions_7d": [0.0, np.e - 1, NAN]})
    found = frame_signals.measure(made(frame=frame, weight=np.array([3.0, 1.0, 4.0])), [])
    assert found["features.mean.sessions_7d"].value == pytest.approx(0.25)
    assert found["features.null.sessions_7d"].value == pytest.approx(0.5)


def test_a_stuck_feature_has_no_spread_and_no_mean() -> None:
    found = frame_signals.measure(made(frame=pd.DataFrame({"sessions_7d": [2.0, 2.0]})), [])
    assert found["features.spread.sessions_7d"].value == 0.0
    assert "features.mean.sessions_7d" not in found


def test_features_agree_with_the_events_that_they_are_made_of() -> None:
    before = [{"events.total.sessions": Measured(n, 9)} for n in (2.0, 3.0, 4.0, 5.0, 6.0)]
    frame = pd.DataFrame({"sessions_7d": [2.0, 4.0], "sessions_28d": [9.0, 9.0], "value_28d": [1.0, 1.0]})
    found = values(frame_signals.measure(made(frame=frame), before))
    assert found["features.agree.sessions_7d"] == 1.0  # 6 of 6
    assert found["features.agree.sessions_28d"] == 1.0  # 18 of 3 + 4 + 5 + 6
    assert "features.agree.value_28d" not in found, "nobody counted"
    few = values(frame_signals.measure(made(frame=frame), before[-3:]))
    assert "features.agree.sessions_28d" not in few, "four weeks are not three"
    young = values(frame_signals.measure(made(frame=frame, age=3), before[-3:]))
    assert young["features.agree.sessions_28d"] == 18 / 15, "before the data began there was nothing to count"
    assert "features.agree.sessions_28d" not in values(frame_signals.measure(made(frame=frame, age=4), before[-3:]))


def test_the_spread_of_a_column_that_few_have_something_of_is_known_by_those_few() -> None:
    frame = pd.DataFrame({"sessions_7d": [np.e - 1] * 4 + [0.0] * 396, "value_7d": [np.e - 1, 0.0] * 200})
    found = frame_signals.measure(made(frame=frame), [])
    kurtosis = 1 / (0.01 * 0.99) - 3  # of one in a hundred
    assert found["features.spread.sessions_7d"].spread == pytest.approx(np.sqrt((kurtosis - 1) / 1600))
    assert found["features.spread.value_7d"].spread == pytest.approx(np.sqrt(6 / 1600)), "no less than a normal one's"


def test_scores_by_value() -> None:
    scores = pd.DataFrame({"buy": [1.0, 3.0, 3.0, 1.0], "visit": [0.5, 0.5, 0.5, 0.5]})
    found = model_signals.measure(made(scores=scores))
    assert found["scores.mean.buy"] == Measured(2.0, 4, 1.0)
    assert found["scores.spread.visit"].value == 0.0
    assert found["scores.distinct"].value == 0.5
    assert "served.distinct" not in found
    assert model_signals.measure(made(served=scores))["served.mean.buy"].value == 2.0


def test_labels_by_value() -> None:
    done, expected = np.array([[2.0], [0.0], [1.0]]), np.array([[1.0], [0.5], [0.5]])
    found = model_signals.measure(
        made(labels=Labels(("buy",), done, np.array([1.0, 1.0, 2.0]), expected, np.arange(3)))
    )
    assert found["labels.count.buy"] == Measured(1.0, 2)  # 2 + 2 of 4
    assert found["labels.ratio.buy"].value == pytest.approx(4 / 2.5)
    some = model_signals.measure(made(labels=Labels(("buy",), done, np.ones(3), expected[:1], np.array([2]))))
    assert some["labels.ratio.buy"] == Measured(1.0, 1), "one of the three was scored"
    unscored = model_signals.measure(made(labels=Labels(("buy",), done, np.ones(3))))
    assert list(unscored) == ["labels.count.buy"]


def test_answers_by_value() -> None:
    answers = pd.DataFrame(
        {
            "user": ["a", "a", "b", "c"],
            "rung": ["fresh", "stale", "segment", "popular"],
            "degraded": [False, False, True, False],
            "latency_ms": [1.0, 2.0, 3.0, 10.0],
            "stands_for": [1.0, 1.0, 1.0, 2.0],  # one of them is of a sample of a half
        }
    )
    shown = pd.DataFrame(
        {
            "answer": [0, 0, 1, 1],
            "user": [0, 0, 0, 0],
            "item": [0, 1, 0, -1],
            "source": ["history", "popular", "history", "history"],
            "acted": [1.0, 0.0, 0.0, 0.0],
        }
    )
    held = ItemValues(("category.A",), csr_matrix(np.array([[1], [0]])))
    found = values(request_signals.measure(made(answers=answers, shown=shown, values=held)))
    assert (found["requests.volume"], found["requests.users"]) == (5, 3)
    assert (found["requests.modelled"], found["requests.degraded"]) == (0.5, 0.25)
    assert found["requests.latency.p50"] == 2.5
    assert (found["shown.items"], found["shown.top"]) == (3, 1.0)
    assert found["shown.source.history"] == 0.75
    assert found["shown.share.category.A"] == 0.5
    assert found["rewards.rate"] == 0.5
    assert request_signals.measure(made()) == {}
    seen = np.array([[0.5, 1.0], [0.1, 1.0]], dtype=np.float32)
    told = request_signals.measure(made(answers=answers, shown=shown, texts=ItemTexts(("ab.1", "ab.2"), seen)))
    about = {name: one for name, one in told.items() if name.startswith("shown.text.")}
    assert list(about) == ["shown.text.ab.1"], "what is the same of all says nothing"
    one = about["shown.text.ab.1"]
    assert (one.value, one.n) == (pytest.approx(1.1 / 3), 2)  # of three items with a text, in two answers
    assert one.spread == pytest.approx(np.std([0.5, 0.1, 0.5]))
    half = ItemTexts(("ab.1",), np.array([[0.5], [np.nan]], dtype=np.float32)[:, :1])
    unread = shown.assign(item=[1, 1, 0, -1])
    assert not [n for n in request_signals.measure(made(shown=unread, texts=half)) if n.startswith("shown.text")]


def test_a_window_of_many_periods_is_told_by_its_collapse_alone() -> None:
    frame = pd.DataFrame({"sessions_28d": [0.0, 1.0], "sessions_35d": [0.0, 1.0]})
    found = frame_signals.measure(made(frame=frame), [])
    assert "features.mean.sessions_28d" in found
    assert "features.mean.sessions_35d" not in found
    assert (found["features.spread.sessions_28d"].spread, found["features.spread.sessions_35d"].spread) == (
        pytest.approx(0.75**0.5),  # sqrt(6 / 8): of two rows, as of a normal one
        0.5,
    )


def test_forecasts_by_value() -> None:
    said = pd.DataFrame({"spend": [10.0, 30.0], "next.SOUP": [0.5, 0.5]})
    found = model_signals.measure(made(forecasts=said))
    assert found["forecasts.mean.spend"] == Measured(20.0, 2, 10.0)
    assert found["forecasts.spread.next.SOUP"].value == 0.0
    assert found["forecasts.distinct"].value == 1.0
    assert kind_of("forecasts.mean.next.SOUP") == "mean"
    assert reason_of("forecasts.spread.spend", kind_of("forecasts.spread.spend"), 0.0, 8.0, large=True) == "data_fault"
