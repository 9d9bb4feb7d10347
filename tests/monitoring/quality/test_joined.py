"""Answers joined with what their users then did, and the history that outlives the log, in a world of a few rows."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.vocabulary import Target, Vocabulary
from monitoring.drift import watch_record
from monitoring.quality import history, steps
from monitoring.quality.history import Line
from monitoring.quality.joined import Events, Reading, Rule, joined, period_of
from monitoring.spec import Quality

CALENDAR = Calendar("2024-01-01")
WEEK_S = 7 * 86_400
WORDS = Vocabulary(
    (Target("buy", "SOUP", "purchase", "category"), Target("visit", None, None, None)),
    pa.table({"item_index": [0, 1], "item_id": ["pea", "leek"]}),
    pa.table({"item_id": ["pea", "leek"], "target_id": [0, 0]}),
)
READING = Reading(WORDS, np.array([0.5, 0.5]), np.array([True, False]), event="purchase")
LONG = Rule(delay_s=0, reward_s=60, known_until=float(CALENDAR.start(60).timestamp()))


def at(week: int, *, hours: float = 0) -> int:
    return int(CALENDAR.start(week).timestamp() + hours * 3600)


def answer(
    user: str, now: int, *, p: float = 0.8, items: tuple[str, ...] = ("pea", "leek"), **more: Any
) -> dict[str, Any]:
    base = {"release": "r1", "user_id": user, "now": now, "probabilities": [p, 0.9], "rung": "fresh", "known": True}
    shown = [{"item_id": item, "position": place} for place, item in enumerate(items, 1)]
    asked = {"context": {"page": "home"}}
    rest = {"endpoint": "recommend", "items": shown, "asked": asked, "numbers": {"segment": 2.0}, "sample": 1.0}
    return base | rest | {"mirrored": False} | more


def group(answers: list[dict[str, Any]], events: list[tuple[str, float, str, str]], *, rule: Rule = LONG) -> Any:
    found = joined(answers, Events.of(events), {"r1": READING}.get, rule, calendar=CALENDAR, limit=100)
    return found[3, "r1"] if found else None


def test_a_label_counts_from_the_answer_to_the_end_of_the_horizon() -> None:
    now = at(3, hours=30)
    for happened, true in ((now - 1, 0), (now, 1), (now + WEEK_S - 1, 1), (now + WEEK_S, 0)):
        found = group([answer("u", now)], [("u", happened, "pea", "purchase")])
        assert found.said().label.tolist() == [[true]], happened
        assert found.shown().chosen.tolist() == [true], happened


def test_only_what_the_target_and_the_ranker_mean_counts() -> None:
    found = group([answer("u", at(3))], [("u", at(3) + 30, "pea", "view"), ("v", at(3), "pea", "purchase")])
    assert found.said().label.tolist() == [[0]]
    shown = found.shown()
    assert (shown.chosen.tolist(), shown.relevant[0].any()) == ([0], False)
    assert shown.acted[0].tolist() == [True] + [False] * 9  # a look at what was shown is an act


def test_an_act_counts_in_its_time_and_the_place_it_had() -> None:
    found = group([answer("u", at(3), items=("leek", "pea"))], [("u", at(3) + 61, "pea", "purchase")])
    shown = found.shown()
    assert (shown.acted[0].any(), shown.relevant[0].tolist()[:2], shown.places.tolist()) == (False, [False, True], [2])


def test_a_user_counts_once_in_a_period_and_a_list_each_time() -> None:
    found = group([answer("u", at(3)), answer("u", at(3, hours=1), p=0.1), answer("v", at(3))], [])
    assert found.said().probability.tolist() == [[0.8], [0.8]]
    assert len(found.shown().user) == 3


def test_what_nobody_saw_and_what_no_model_said_is_left_out() -> None:
    assert group([answer("u", at(3), mirrored=True)], []) is None
    found = group([answer("u", at(3), rung="popular")], [])
    assert (len(found.said().user), len(found.shown().user)) == (0, 1)
    assert group([answer("u", at(3), release="gone")], []) is None


@pytest.mark.parametrize(("delay_days", "known", "ripe"), [(0, 5, True), (0, 4, False), (1, 5, False), (1, 6, True)])
def test_labels_are_ripe_when_the_horizon_and_the_delay_have_passed(delay_days: int, known: int, ripe: bool) -> None:
    """The period ends where week 4 begins, and its last answer looks a week ahead."""
    rule = Rule(delay_days * 86_400, 60, float(at(known)))
    assert group([answer("u", at(3))], [], rule=rule).ripe is ripe


def test_a_click_is_not_missing_while_there_is_time_for_it() -> None:
    """A reward may take longer than the horizon: until then a list without one is not yet a list without one."""
    rule = Rule(0, 2.0 * WEEK_S, float(at(5)))
    assert group([answer("u", at(3))], [], rule=rule).ripe is False
    assert group([answer("u", at(3))], [], rule=Rule(0, 2.0 * WEEK_S, float(at(6)))).ripe is True


def test_a_day_of_an_hourly_clock_is_one_of_the_wall_also_after_the_clocks_change() -> None:
    berlin = Calendar("2024-03-30", "Europe/Berlin", "hour")
    late = dt.datetime(2024, 4, 1, 22, 30, tzinfo=dt.UTC)  # half past midnight on the second
    assert period_of(berlin, int(late.timestamp())) == (4, "2024-04-02T00:00:00+02:00")


def test_parts_are_cohorts_and_placements() -> None:
    told = [answer("u", at(3)), answer("v", at(3), asked={"placement": "basket"}, numbers={"segment": 0.0})]
    found = group(told, [])
    assert found.parts() == [("", ""), ("segment 0", ""), ("segment 2", ""), ("", "basket"), ("", "home")]
    assert len(found.said(cohort="segment 2").user) == len(found.shown(placement="basket").user) == 1


def test_a_period_of_an_hourly_clock_is_a_day() -> None:
    hours = Calendar("2024-01-01", step="hour")
    day = dt.datetime(2024, 1, 3, 17, tzinfo=dt.UTC)
    assert period_of(hours, int(day.timestamp())) == (3, "2024-01-03T00:00:00+00:00")


def year(
    weeks: int, *, fell_from: int = 99, users: int = 40
) -> tuple[list[dict[str, Any]], list[tuple[str, float, str, str]]]:
    """Half of the users are likely and buy; from a week on the others do."""
    answers, events = [], []
    for week in range(1, weeks + 1):
        for user in range(users):
            likely = user % 2 == 0
            answers.append(answer(f"u{user}", at(week), p=0.9 if likely else 0.1))
            buys = likely if week < fell_from else not likely
            if buys or user % 10 == week % 10:
                events.append((f"u{user}", at(week, hours=1), "pea", "purchase"))
    return answers, events


def looked(home: Path, answers: Any, events: Any, *, known: int = 60) -> dict[str, Any]:
    return steps.look(
        "shop",
        home,
        answers=answers,
        events=Events.of(events),
        reading_of={"r1": READING}.get,
        rule=Rule(0, 60, float(at(known))),
        spec=Quality(),
        calendar=CALENDAR,
        limit=1000,
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_world_that_stands_still_is_usual_and_one_whose_buyers_change_is_a_reason(home: Path) -> None:
    still = looked(home / "still", *year(9))
    assert (still["reason"], still["metrics"]["map"]) == ("none", "usual")
    fell = looked(home, *year(9, fell_from=8))
    assert (fell["reason"], fell["period"], fell["metrics"]["map"]) == ("performance", 9, "fell")
    assert fell["since"] == CALENDAR.start(8).isoformat()
    mark = files.read_json(home / "marks" / "quality.json")
    assert (mark["reason"], mark["since"], mark["delay_days"]) == ("performance", fell["since"], 0.0)
    assert mark["figures"] == {"quality.came": [pytest.approx(1.0), 40], "quality.ctr": [0.0, 40]}
    board = watch_record.history(home, days=7)
    assert [list(period.values["labels.realised.map"])[1] for period in board] == [40.0] * 9
    assert board[0].starts == CALENDAR.local_start(1).isoformat()


def test_the_estimate_does_not_see_the_fall_and_stands_beside_it(home: Path) -> None:
    looked(home, *year(9, fell_from=8))
    whole = [line for line in history.read(home) if not line.cohort and not line.placement]
    assert whole[0].estimate == whole[-1].estimate
    assert whole[-1].realised["map"]["value"] < whole[0].realised["map"]["value"] / 1.5  # type: ignore[operator]


def test_the_history_outlives_the_log_and_ripe_lines_stand(home: Path) -> None:
    answers, events = year(6)
    looked(home, answers, events, known=5)
    before = {line.key: line for line in history.read(home)}
    assert {line.period for line in before.values() if line.ripe} == {1, 2, 3}
    late = [one for one in answers if one["now"] >= at(4)]
    looked(home, late, [*events, *[("u1", at(1, hours=1), "pea", "purchase")]])
    after = {line.key: line for line in history.read(home)}
    assert set(after) == set(before)
    assert all(line == before[key] for key, line in after.items() if key[0] <= 3)
    assert all(line.ripe and line.estimate == before[key].estimate for key, line in after.items() if key[0] > 3)
    assert looked(home, [], [])["measured"] == 0
    assert len(history.read(home)) == len(after)


def test_small_groups_have_no_figures(home: Path) -> None:
    looked(home, *year(2, users=10))
    lines = history.read(home)
    assert [(line.cohort, line.placement) for line in lines] == [("", "")] * 2
    assert all(line.realised == {} and line.estimate == {} for line in lines)


def test_the_history_names_nobody(home: Path) -> None:
    looked(home, *year(3))
    assert "u1" not in (home / history.FILE).read_text().replace("true", "")


def test_a_broken_history_is_refused_and_a_kill_while_writing_leaves_the_old_one(home: Path) -> None:
    history.write(home, [Line(1, "2024-01-01", "r1")])
    with pytest.raises(ZeroDivisionError), files.written(home / history.FILE) as aside:
        aside.write_text(f"half a li{1 / 0}")
    assert history.read(home) == [Line(1, "2024-01-01", "r1")]
    (home / history.FILE).write_text("{broken")
    with pytest.raises(DataError, match=r"is no history of quality .* delete it to begin anew"):
        history.read(home)
