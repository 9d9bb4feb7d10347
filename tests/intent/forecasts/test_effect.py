"""Uplift as a forecast: who got an offer and what came of it by hand, and worlds whose effect is known."""

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest

from bentos.endpoints import schemas
from components.intent.examples import Examples
from components.intent.forecasts import card, causes, effect, evaluate, kinds, labels, refit
from components.intent.forecasts.effect import Effects
from components.intent.forecasts.kinds.uplift import Uplift
from components.intent.forecasts.learn import Learnt, document, learn
from components.intent.forecasts.score import ForecastScorer
from components.intent.forecasts.spec import Forecast, ForecastModel, ForecastRule
from feature_repo.errors import DataError
from tests.intent.conftest import CALENDAR, WEEKS, noon

LIFT = Forecast(name="lift", kind="uplift", event="purchase", value="value", offer="coupon", steps=2, unit="EUR")
RULE = ForecastRule(intents=(LIFT,), model=ForecastModel(width=8, epochs=1))
EFFECT = 12.0
SHOPPERS = 300
Line = tuple[str, str, int, float | None]  # user, kind, second, value


def table(lines: list[Line]) -> pa.Table:
    users, kind, seconds, value = zip(*lines, strict=True)
    at = pa.array([dt.datetime.fromtimestamp(s, dt.UTC) for s in seconds], pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"user_id": list(users), "item_id": ["i0"] * len(lines), "event": list(kind), "timestamp": at,
         "created_at": at, "value": pa.array(value, pa.float64())}
    )  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """A made shop, as `effect` takes it."""

    events: pa.Table
    rows: labels.Rows
    x: np.ndarray  # [R, N]: whether the user's number is even, and noise
    test: np.ndarray
    examples: Any  # calendar, split and number of targets

    @property
    def learnt(self) -> Effects:
        return effect.effect(self.events, LIFT, self.examples, self.rows, self.x, test=self.test)


def shop(*, hidden: bool = False, users: int = SHOPPERS, seed: int = 4) -> Shop:
    """Spend some 20 a week; a coupon, by lot, brings even users 12 more in the week after it.

    With `hidden` no coupon brings anything: it goes to who is flush, which lasts some weeks and nobody measures.
    """
    rng = np.random.default_rng(seed)
    lines: list[Line] = []
    flush, had = np.zeros(users), np.zeros(users, dtype=bool)
    for week in range(1, WEEKS + 1):
        flush = 0.9 * flush + rng.normal(scale=5.0, size=users)
        spent = 20.0 + (flush if hidden else 0.0) + rng.normal(scale=2.0, size=users)
        spent += EFFECT * (had & (np.arange(users) % 2 == 0) & (not hidden))
        had = rng.random(users) < (np.where(flush > 0, 0.4, 0.1) if hidden else 0.3)
        for number in range(users):
            lines.append((f"u{number:02}", "purchase", noon(week), float(spent[number])))
            if had[number]:
                lines.append((f"u{number:02}", "coupon", noon(week) + 3600, None))
    weeks = np.repeat(range(5, WEEKS), users)  # of the last one nobody knows what followed
    ids = np.tile([f"u{number:02}" for number in range(users)], WEEKS - 5)
    even = np.tile(np.arange(users) % 2 == 0, WEEKS - 5)
    x = np.column_stack([even, rng.normal(size=len(weeks))]).astype(np.float32)
    split = {"train": [*range(5, 13)], "validate": [14], "test": [16, 17, 18, 19]}
    told = SimpleNamespace(calendar=CALENDAR, split=split, vocabulary=SimpleNamespace(targets=()))
    return Shop(table(lines), labels.Rows.of(ids, weeks), x, weeks >= 16, told)


@pytest.fixture(scope="module")
def made() -> Shop:
    return shop()


@pytest.fixture(scope="module")
def changed(made: Shop) -> Effects:
    return made.learnt


@pytest.fixture(scope="module")
def parted(examples: Examples) -> Examples:
    """Give the checkerboard's examples, with parts whose labels look two weeks ahead."""
    return replace(examples, split=examples.split | {"train": [*range(5, 13)], "validate": [14], "test": [16, 17, 18]})


@pytest.fixture(scope="module")
def learnt(made: Shop, parted: Examples) -> Learnt:
    return learn(made.events, None, RULE, parted)


def head_of(found: Effects) -> Uplift:
    head = found.fitted.head
    assert isinstance(head, Uplift)
    return head


def test_who_got_it_and_what_came_of_it_by_hand() -> None:
    events = table(
        [
            ("a", "coupon", noon(5), None),
            ("a", "purchase", noon(5) + 60, 100.0),  # in the offer's own week: nobody's effect
            ("a", "purchase", noon(6), 7.0),
            ("b", "purchase", noon(6), 3.0),
            ("b", "coupon", noon(7), None),
            ("c", "purchase", noon(8), 4.0),
        ]
    )
    rows = labels.Rows.of(np.asarray(["a", "b", "c", "a"]), np.asarray([5, 5, 5, 6]))
    happened = labels.happened(events, None, LIFT, rows, CALENDAR)
    outcome = labels.amounts(happened, effect.later(rows, 1), LIFT.model_copy(update={"steps": 1}))
    given = labels.happened(events, None, LIFT.model_copy(update={"event": "coupon", "value": "count"}), rows, CALENDAR)
    found = effect.asked(given, outcome, rows, LIFT)
    assert found.row.tolist() == [0, 1, 2]  # in week 6 nobody got it, so nobody is compared there
    assert found.treated.tolist() == [True, False, False]
    assert found.outcome.tolist() == [7.0, 3.0, 0.0]
    # Nobody of weeks 5 and 6 had one but `a`; `b` got one in week 7, behind the outcome of week 6.
    placebo = effect.placebo_of(given, outcome, rows, LIFT, before=8)
    assert placebo.row.tolist() == [1, 2]
    assert placebo.treated.tolist() == [True, False]
    assert placebo.outcome.tolist() == [3.0, 0.0]
    assert not len(effect.placebo_of(given, outcome, rows, LIFT, before=7).row)  # that week is not to be read


def test_the_effect_is_found_and_told_of_whom_it_changes(made: Shop, changed: Effects) -> None:
    head = head_of(changed)
    value, low, high = head.mean
    assert low < EFFECT / 2 < high
    assert value == pytest.approx(EFFECT / 2, abs=0.5)
    assert (head.warning, head.believed) == ("", True)
    said = head.answer(changed.fitted.outputs(made.x[made.test]))
    even = made.x[made.test, 0] == 1
    assert said[even, 0].mean() == pytest.approx(EFFECT, abs=1)
    assert said[~even, 0].mean() == pytest.approx(0, abs=1)


def test_it_is_judged_on_rows_that_it_did_not_learn_from(changed: Effects) -> None:
    found = evaluate.evaluate([changed.judged])
    assert (
        found.test["dr_loss:lift"]
        < found.baselines["mean"]["dr_loss:lift"]
        < found.baselines["nothing"]["dr_loss:lift"]
    )
    assert found.intents["lift"]["differences"]["dr_loss"]["mean"]["verdict"] == "passed"
    assert found.test["effect:lift"] == pytest.approx(EFFECT / 2, abs=1)
    assert found.test["uncompared:lift"] < 0.1
    assert 0 < found.test["placebo:lift"] < 1.5
    assert "effect" not in found.intents["lift"]["differences"]  # neither more nor less is better


def test_what_nobody_measured_is_told_by_the_placebo() -> None:
    found = shop(hidden=True).learnt
    head = head_of(found)
    assert head.mean[1] > 0  # it looks like an effect, and there is none
    assert head.warning.startswith("a placebo shows +")
    said = head.spoken(head.answer(head.start[None])[0])
    assert (said["believed"], said["warning"]) == (False, head.warning)
    told = evaluate.evaluate([found.judged])
    assert told.test["placebo:lift"] > 2
    text = card.write(told, intents=RULE.intents, step="week", counts={"intents": {"lift": found.told}})
    assert "**Not to be believed: a placebo shows" in text


def test_it_is_served_as_it_was_saved_one_row_or_many(learnt: Learnt, parted: Examples, tmp_path: Path) -> None:
    learnt.scorer.save(tmp_path)
    loaded = ForecastScorer.load(
        tmp_path, context=parted.context, calendar=parted.calendar, targets=len(parted.vocabulary.targets)
    )
    head = loaded.fitted[0].head
    assert isinstance(head, Uplift)
    assert head == learnt.scorer.fitted[0].head
    assert head.mean == pytest.approx((EFFECT / 2, head.mean[1], head.mean[2]), abs=2.5)
    rows = parted.rows.take(parted.part("test")[:6])
    whole = loaded.predict(rows)[0]
    assert np.array_equal(whole, learnt.scorer.predict(rows)[0])
    for n in range(6):
        (said,) = loaded.said(rows.take(np.asarray([n])))
        assert (said["value"], said["group"]) == (whole[n, 0], whole[n, 3])
        assert (said["kind"], said["unit"], said["basis"]) == ("uplift", "EUR", "model")
        assert schemas.UpliftForecast.model_validate(said).believed is False  # forty users are too few for a placebo
    assert causes.explain(loaded, rows.take(np.asarray([0])), parted.vocabulary.target_names) == []
    (usual,) = loaded.said(None)
    assert (usual["value"], usual["group"], usual["basis"]) == (head.mean[0], None, "usual")
    assert usual["warning"].startswith("no placebo could be asked")


def test_a_score_that_is_no_number_says_nothing(changed: Effects) -> None:
    assert np.isnan(head_of(changed).answer(np.asarray([[np.nan]]))).all()


def test_the_watch_is_given_each_users_effect(changed: Effects) -> None:
    head = head_of(changed)
    said = head.answer(np.asarray([[-np.inf], [np.inf]]))
    watched = {name: found.tolist() for name, found in head.watched(said).items()}
    assert watched == {head.intent.name: said[:, 0].tolist()}


def test_a_refit_keeps_the_effect_that_was_judged(made: Shop, learnt: Learnt, parted: Examples) -> None:
    again = refit.refit(made.events, None, RULE, parted, learnt.scorer, epochs=document(learnt.epochs))
    assert again.scorer.fitted == learnt.scorer.fitted
    assert again.losses == {}


def test_the_card_says_what_changed_and_what_speaks_against_it(changed: Effects) -> None:
    found = evaluate.evaluate([changed.judged])
    text = card.write(found, intents=RULE.intents, step="week", counts={"intents": {"lift": changed.told}})
    assert "What `coupon` within a step changes of the sum of `value` of purchase events in the step after it" in text
    assert "Nothing speaks against it." in text
    assert "By quarters of expected effect:" in text


def test_answers_by_hand() -> None:
    head = Uplift(LIFT, (1.0, 0.5, 1.5), (0.0, 2.0), ((-1.0, -2.0, 0.0), (1.0, 0.0, 2.0), (5.0, 4.0, 6.0)), "why")
    said = head.answer(np.asarray([[-3.0], [0.0], [9.0], [np.inf]]))
    assert said.tolist() == [[-1, -2, 0, 1], [1, 0, 2, 2], [5, 4, 6, 3], [1, 0.5, 1.5, 0]]
    found = head.figures(np.asarray([0.0, 3.0]), said[:2], np.ones((2, 1)))
    assert (found["dr_loss"][0], found["effect"][0]) == (pytest.approx(2.5), 1.5)
    assert kinds.read(head.document()) == head


def test_warnings_by_hand() -> None:
    from components.intent.uplift.effects import Effect

    nothing = Effect(0.0, -1.0, 1.0, 9, 9)
    assert effect.warning(nothing, 0.5, LIFT) == ""
    assert effect.warning(None, 0.9, LIFT).startswith("no placebo could be asked")
    both = effect.warning(Effect(-2.0, -3.0, -1.0, 9, 9), 0.4, LIFT)
    assert "shows -2 EUR [-3, -1]" in both
    assert both.endswith("only 40% of the rows have anybody to be compared with")


@pytest.mark.parametrize(
    ("offer", "line"),
    [
        ("coupn", "intents.lift.offer: no event is of the kind 'coupn'; have coupon, gift, purchase; did you mean"),
        ("gift", "intents.lift.offer: 3 of 900 rows got 'gift' in their step, fewer than 100: there is nothing to"),
    ],
)
def test_offers_that_tell_nothing_are_refused_with_one_line(offer: str, line: str, made: Shop) -> None:
    events = pa.concat_tables([made.events, table([("u00", "gift", noon(week), None) for week in (6, 7, 8)])])
    intent = LIFT.model_copy(update={"offer": offer})
    with pytest.raises(DataError) as caught:
        effect.effect(events, intent, made.examples, made.rows, made.x, test=made.test)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_an_outcome_that_is_the_same_everywhere_is_refused_as_a_column_that_the_source_lacks_is(made: Shop) -> None:
    """A column that nothing is mapped to is 0 in every event: an effect of exactly 0 would be answered as believed."""
    place = made.events.schema.get_field_index("value")
    zero = made.events.set_column(place, "value", pa.array(np.zeros(made.events.num_rows)))
    with pytest.raises(DataError) as caught:
        effect.effect(zero, LIFT, made.examples, made.rows, made.x, test=made.test)
    assert str(caught.value).startswith("intents.lift.value: 'value' of 'purchase' comes to 0 in each of ")
    assert "map the column" in str(caught.value)


def test_without_offers_in_the_test_steps_nothing_can_be_judged(made: Shop) -> None:
    late = pa.compute.greater_equal(made.events["timestamp"], pa.scalar(CALENDAR.start(16)))
    events = made.events.filter(
        pa.compute.invert(pa.compute.and_(late, pa.compute.equal(made.events["event"], "coupon")))
    )
    with pytest.raises(DataError, match=r"0 of 0 test rows got 'coupon' in their step, fewer than 20"):
        effect.effect(events, LIFT, made.examples, made.rows, made.x, test=made.test)
