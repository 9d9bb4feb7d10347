"""Forecasts on the checkerboard: what can be known is learnt, what cannot is said so, and nothing looks ahead."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.intent.examples import Examples
from components.intent.forecasts import labels
from components.intent.forecasts.kinds import KINDS
from components.intent.forecasts.learn import Learnt, labelled, learn
from components.intent.forecasts.score import ForecastScorer, held
from components.intent.forecasts.spec import ForecastRule
from feature_repo.errors import DataError
from tests.intent.conftest import CALENDAR, SPLIT
from tests.intent.forecasts.conftest import LITTLE, MUCH, NEXT, RULE, SPEND


def test_the_world_has_every_kind() -> None:
    assert {intent.kind for intent in RULE.intents} == set(KINDS)


def test_an_amount_is_told_by_who_the_user_is(learnt: Learnt, examples: Examples) -> None:
    test = examples.part("test")
    rows = examples.rows.take(test)
    said = dict(zip(learnt.scorer.names, learnt.scorer.predict(rows), strict=True))["spend"][:, 0]
    even = np.asarray([int(user[1:]) % 2 == 0 for user in rows.user_id])
    # Four weeks of five, nine purchases of ten, three categories.
    assert said[even].mean() == pytest.approx(0.8 * 0.9 * 3 * MUCH, rel=0.2)
    assert said[~even].mean() == pytest.approx(0.8 * 0.9 * 3 * LITTLE, rel=0.4)


def test_each_beats_what_knows_nobody(learnt: Learnt) -> None:
    test, others = learnt.evaluation.test, learnt.evaluation.baselines
    assert test["rmse:spend"] < 0.8 * others["mean"]["rmse:spend"]
    assert test["pinball:range"] < 0.8 * others["mean"]["pinball:range"]
    assert test["log_loss:next"] < 0.9 * others["majority"]["log_loss:next"]
    assert test["accuracy:next"] > others["majority"]["accuracy:next"]
    differences = learnt.evaluation.intents["spend"]["differences"]["rmse"]
    assert differences["mean"]["verdict"] == "passed"
    assert set(differences) == {"mean", "own_mean", "gbdt"}


def test_baselines_are_those_of_the_kind(learnt: Learnt) -> None:
    found = {name: {key.partition(":")[2] for key in numbers} for name, numbers in learnt.evaluation.baselines.items()}
    amounts, values = {"spend", "range"}, {"next"}
    assert found == dict.fromkeys(("mean", "own_mean", "gbdt"), amounts) | dict.fromkeys(
        ("majority", "last_value", "markov"), values
    )


def test_the_interval_holds_about_its_share(learnt: Learnt) -> None:
    assert learnt.evaluation.test["coverage_gap:range"] < 0.15


def test_the_same_seed_gives_the_same_weights_whatever_stands_beside(
    learnt: Learnt, events: pa.Table, items: pa.Table, examples: Examples
) -> None:
    again = learn(events, items, RULE.model_copy(update={"intents": (NEXT,)}), examples)
    one, other = learnt.scorer.fitted[2], again.scorer.fitted[0]
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


def test_saved_equals_loaded_and_one_row_equals_many(learnt: Learnt, examples: Examples, tmp_path: Path) -> None:
    learnt.scorer.save(tmp_path)
    assert held(tmp_path)
    loaded = ForecastScorer.load(
        tmp_path, context=examples.context, calendar=examples.calendar, targets=len(examples.vocabulary.targets)
    )
    rows = examples.rows.take(examples.part("test")[:9])
    whole = learnt.scorer.predict(rows)
    for one, other in zip(whole, loaded.predict(rows), strict=True):
        assert np.array_equal(one, other)
    for n in range(9):
        alone = loaded.said(rows.take(np.asarray([n])))
        assert alone[0]["value"] == pytest.approx(whole[0][n, 0], rel=1e-6)
        assert alone[2]["none"] == pytest.approx(whole[2][n, -1], abs=1e-9)
    assert [one["basis"] for one in loaded.said(None)] == ["usual"] * 3
    assert loaded.said(None)[0]["value"] == pytest.approx(learnt.scorer.fitted[0].usual[0, 0])


def test_a_folder_of_other_targets_or_format_is_refused(learnt: Learnt, examples: Examples, tmp_path: Path) -> None:
    learnt.scorer.save(tmp_path)
    given = {"context": examples.context, "calendar": examples.calendar}
    with pytest.raises(DataError, match="was trained beside 7 targets, and the intent model has 3"):
        ForecastScorer.load(tmp_path, targets=3, **given)  # type: ignore[arg-type]
    text = (tmp_path / "forecasts.json").read_text()
    (tmp_path / "forecasts.json").write_text(
        text.replace('"format": 1', '"format": 9').replace('"format":1', '"format":9')
    )
    with pytest.raises(DataError, match="format 9 of forecasts, this version reads 1"):
        ForecastScorer.load(tmp_path, targets=7, **given)  # type: ignore[arg-type]


def test_what_happens_after_a_cutoff_moves_its_label_and_nothing_that_is_known_of_it(
    events: pa.Table, items: pa.Table, examples: Examples
) -> None:
    """The future of the first test week is replaced: purchases of other items, a hundred times as dear."""
    week = SPLIT["test"][0]
    later = pc.greater_equal(events["timestamp"], pa.scalar(CALENDAR.start(week), pa.timestamp("us", tz="UTC")))
    value = pc.if_else(later, pc.multiply(events["value"], 100.0), events["value"])
    other = events.set_column(events.column_names.index("value"), "value", value)
    item = pc.if_else(later, "i0", events["item_id"])
    other = other.set_column(other.column_names.index("item_id"), "item_id", item)
    at = np.flatnonzero(examples.week <= week)
    rows = labels.Rows.of(examples.rows.user_id[at], examples.week[at])
    train = slice(0, int((examples.week[at] < SPLIT["validate"][0]).sum()))
    for intent in (SPEND, NEXT):
        one, two = (labelled(table, items, intent, examples, rows, train=train) for table in (events, other))
        before = rows.week < week
        assert np.array_equal(one.own, two.own)  # of the first test week too
        assert np.array_equal(one.y[before], two.y[before])
        assert not np.array_equal(one.y[~before], two.y[~before])
        assert one.values == two.values


def test_labels_that_reach_into_the_next_part_are_refused(
    events: pa.Table, items: pa.Table, examples: Examples
) -> None:
    far = ForecastRule(intents=(SPEND.model_copy(update={"steps": 3}),), model=RULE.model)
    with pytest.raises(
        DataError, match="labels of train week 16 look ahead 3 steps, past the first validate cutoff 17"
    ):
        learn(events, items, far, examples)


def test_a_week_that_the_data_cuts_judges_nothing(events: pa.Table, items: pa.Table, examples: Examples) -> None:
    cut = replace(examples, split=examples.split | {"incomplete": [20]})
    found = learn(events, items, RULE.model_copy(update={"intents": (SPEND,)}), cut)
    assert found.evaluation.test["rows"] == (examples.week[examples.part("test")] == 19).sum()
    only = replace(examples, split=examples.split | {"test": [20], "incomplete": [20]})
    with pytest.raises(DataError, match="the data ends within the only test week"):
        learn(events, items, RULE, only)


def test_what_is_watched_is_what_is_said_and_follows_another_calendar(learnt: Learnt, examples: Examples) -> None:
    rows = examples.rows.take(examples.part("test")[:5])
    found, said = learnt.scorer.watched(rows), learnt.scorer.predict(rows)
    np.testing.assert_array_equal(found["spend"], said[0][:, 0])
    np.testing.assert_array_equal(found["next.none"], said[2][:, -1])
    again = learnt.scorer.at(examples.context, examples.calendar).watched(rows)
    assert all(np.array_equal(again[name], found[name]) for name in found)
