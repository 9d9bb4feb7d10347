"""A history joined with what was measured now: whose word counts for which period."""

import pytest

from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError
from monitoring.drift.model_signals import SERVED_BY
from monitoring.drift.signals import Measured
from monitoring.drift.watch_record import PeriodValues
from monitoring.drift.watching import joined, judged
from monitoring.spec import Monitoring
from tests.monitoring.drift.made_periods import MadePeriods

PERIODS = MadePeriods(users=1, weeks=1)
WEEKS = 20
USERS = 200.0
History = dict[int, dict[str, Measured]]


def weeks(last: int = WEEKS, **values: float) -> History:
    return {
        week: {name.replace("_", "."): Measured(value + week % 3 / 1000, USERS) for name, value in values.items()}
        for week in range(1, last + 1)
    }


def record(found: History) -> list[PeriodValues]:
    return [PeriodValues(PERIODS.starts(n), "1", 0, {k: v.line() for k, v in of.items()}, 7) for n, of in found.items()]


def said(found: History, known: list[PeriodValues]) -> list[tuple[str, str, str]]:
    history = joined(found, known, PERIODS)  # type: ignore[arg-type]
    verdict = judged("shop", history, PERIODS, Monitoring(), release="1", at=0)  # type: ignore[arg-type]
    return [(v.signal, v.direction, v.reason) for v in verdict.alarms]


def test_a_source_that_lost_the_weeks_that_it_had_is_at_fault() -> None:
    """An older copy of the source is quiet by itself: its newest week is as usual."""
    whole = weeks(events_volume=900.0)
    older = {week: whole[week] for week in range(1, WEEKS - 1)}
    assert said(older, []) == []
    assert said(older, record(whole)) == [("events.volume", "down", "data_fault")]


def test_too_short_a_history_is_undecided() -> None:
    found = judged("shop", weeks(5, events_volume=900.0), PERIODS, Monitoring(), release="1", at=0)  # type: ignore[arg-type]
    assert (found.reason, found.judged) == ("undecided", 0)
    assert found.why == "5 weeks are over, 7 are needed to tell what is ordinary"


def test_accepted_values_are_quiet_and_a_name_of_none_is_refused() -> None:
    found = weeks(events_volume=900.0)
    found[WEEKS] = {"events.volume": Measured(300.0, USERS)}

    def told(accepted: dict[str, str]) -> str:
        spec = Monitoring.model_validate({"signals": {"accepted": accepted}})
        return judged("shop", found, PERIODS, spec, release="1", at=0).reason  # type: ignore[arg-type]

    assert told({}) == "data_fault"
    assert told({"events.volume": PERIODS.starts(WEEKS)[:10]}) == "undecided", "six such weeks are a reference"
    with pytest.raises(SpecError, match=r"'event.volume' is no signal .*near it: events.volume"):
        told({"event.volume": "2024-01-01"})


def test_another_champion_is_no_drift_of_its_scores() -> None:
    before, now = weeks(scores_spread_buy=0.4), weeks(scores_spread_buy=0.2)
    assert said(now, record(before)) == [], "the present champion says 0.2 of every week"
    before = weeks(WEEKS - 1, labels_ratio_buy=1.0)
    assert said(before | {WEEKS: {"labels.ratio.buy": Measured(0.5, USERS)}}, record(before)) == [
        ("labels.ratio.buy", "down", "performance")
    ]


def test_what_another_release_served_is_no_reference() -> None:
    def served(release: float, spread: float, some: range) -> History:
        return {n: {"served.spread.buy": Measured(spread, USERS), SERVED_BY: Measured(release, USERS)} for n in some}

    old = served(1.0, 0.4, range(1, WEEKS))
    assert said(served(1.0, 0.15, range(WEEKS, WEEKS + 1)), record(old)) == [("served.spread.buy", "down", "world")]
    assert said(served(2.0, 0.15, range(WEEKS, WEEKS + 1)), record(old)) == []


def test_the_first_day_of_a_week_is_that_of_the_wall() -> None:
    shanghai = MadePeriods(users=1, weeks=1)
    shanghai.calendar = Calendar("2024-04-01", "Asia/Shanghai")
    assert shanghai.starts(1) == "2024-04-01T00:00:00+08:00"
    line = PeriodValues("2024-03-31T16:00:00+00:00", "1", 0, {"events.volume": [5.0, 3.0]})
    assert joined({}, [line], shanghai) == {1: {"events.volume": Measured(0.0, 0.0)}}  # type: ignore[arg-type]
