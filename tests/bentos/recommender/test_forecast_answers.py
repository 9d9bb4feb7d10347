"""POST /intents with forecasts: in the answer, in the log, and marked as usual where no model answers."""

import json
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.intents import Intents, IntentsRequest
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from components.intent.forecasts import causes
from feature_repo.rows import UserRows
from tests.bentos.conftest import KEY, World, asked, fallback


class Told:
    """Knows two answers: of somebody, and of anyone."""

    broken = False

    def said(self, rows: UserRows | None) -> list[dict[str, Any]]:
        if rows is not None and self.broken:
            raise ArithmeticError("a forecast is no number")
        basis = "usual" if rows is None else "model"
        spend = {"value": 9.0 if rows is None else 31.5, "unit": "EUR", "low": None, "high": None}
        after = {"probabilities": {"FRUIT": 0.5, "SOUP": 0.25}, "other": 0.0, "none": 0.25}
        return [
            {"name": "spend", "kind": "regression", "basis": basis, **spend},
            {"name": "next", "kind": "multiclass", "basis": basis, **after},
        ]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def door(world: World, told: Told) -> Door:
    return Door(
        world.release(),
        world.scorer,
        world.ranker,
        world.profiles,  # type: ignore[arg-type]  # no memories are read here
        RequestLog(world.folder / "requests"),
        world.clock,
        events=EventLog(world.folder / "events"),
        fallback=fallback(),
        key=KEY,
        forecasts=told,
    )


def known(door: Door) -> None:
    from bentos.endpoints.events import EventsRequest
    from bentos.endpoints.schemas import Event

    asked(door, EventsRequest(events=[Event(user_id="ann", item_id="i0", event="view", session_id="s1")]))


def test_the_answer_holds_each_forecast_as_its_kind(door: Door) -> None:
    known(door)
    spend, after = asked(door, IntentsRequest(user_id="ann")).forecasts
    assert spend.model_dump() == {
        "name": "spend", "kind": "regression", "basis": "model", "value": 31.5, "unit": "EUR", "low": None,
        "high": None,
    }  # fmt: skip
    assert sum(after.probabilities.values()) + after.other + after.none == pytest.approx(1)


def test_of_a_user_whom_no_model_answers_the_usual_is_said_as_such(door: Door) -> None:
    spend, after = asked(door, IntentsRequest(user_id="nobody-knows")).forecasts
    assert (spend.basis, spend.value, after.basis) == ("usual", 9.0, "usual")


def test_heads_that_fail_leave_the_rest_of_the_answer_and_are_told(door: Door, told: Told) -> None:
    known(door)
    told.broken = True
    answer = asked(door, IntentsRequest(user_id="ann"))
    assert answer.profile.rung == "fresh"
    assert [one.basis for one in answer.forecasts] == ["usual", "usual"]


def test_a_release_without_forecasts_answers_as_before(world: World) -> None:
    answer = asked(world.door(), IntentsRequest(user_id="ann"))
    assert answer.forecasts is None
    assert [one.name for one in answer.intents] == ["buy:FRUIT", "buy:SOUP", "visit"]


def test_the_request_log_holds_them(door: Door, world: World) -> None:
    known(door)
    said = asked(door, IntentsRequest(user_id="ann")).forecasts
    door.close()
    (file,) = [path for path in (world.folder / "requests").rglob("*") if path.is_file() and "jsonl" in path.name]
    line = json.loads(file.read_text().splitlines()[-1])
    assert line["asked"]["forecasts"] == [one.model_dump() for one in said]


def test_the_clients_model_reads_either_kind() -> None:
    from bentos.endpoints.intents import CONTRACT

    found = Intents.model_validate(CONTRACT.example.answer)
    assert [type(one).__name__ for one in found.forecasts or ()] == ["AmountForecast", "NextValueForecast"]
    assert np.isfinite(found.forecasts[0].value)  # type: ignore[index, union-attr]


def test_parity_replays_them_and_names_what_differs(door: Door, world: World, told: Told) -> None:
    from bentos.recommender.logs import requestlog
    from pipelines.answers import parity

    known(door)
    asked(door, IntentsRequest(user_id="ann"))
    door.close()
    line = list(requestlog.read(world.folder / "requests"))[-1]
    assert list(parity.forecast_again(told, line)) == []  # type: ignore[arg-type]

    class Other(Told):
        def said(self, rows: UserRows | None) -> list[dict[str, Any]]:
            spend, after = super().said(rows)
            return [spend | {"value": 32.0}, after | {"probabilities": {"FRUIT": 0.5, "SOUP": 0.26}}]

    found = list(parity.forecast_again(Other(), line))  # type: ignore[arg-type]
    assert [(d.field, d.online, d.offline) for d in found] == [
        ("forecast spend: value", 31.5, 32.0),
        ("forecast next: probability of SOUP", 0.25, 0.26),
    ]


class Why:
    """Knows why, or fails to say it."""

    broken = False

    def __call__(self, rows: UserRows) -> list[causes.Explained]:
        if self.broken:
            raise ArithmeticError("no number")
        told = causes.Told("profile", "value_28d", "money in the last 28 days", 20.0)
        return [causes.Explained("spend", "EUR", 31.5, 9.0, (told,), 2.5, 0.0)]


@pytest.mark.parametrize("broken", [False, True])
def test_explain_says_why_a_forecast_is_what_it_is(door: Door, broken: bool) -> None:
    known(door)
    why = Why()
    why.broken, door._explains_forecasts = broken, why
    asks = ExplainRequest(user_id="ann", item_id="i0", causes=True)
    found = asked(door, asks).forecast_causes
    if broken:
        assert found is None
        return
    assert [one.model_dump() for one in found] == [
        {
            "intent": "spend", "of": "EUR", "said": 31.5, "nobody": 9.0, "others": 2.5, "unexplained": 0.0,
            "causes": [{"words": "money in the last 28 days", "effect": 20.0}],
        }
    ]  # fmt: skip
    assert asked(door, ExplainRequest(user_id="ann", item_id="i0")).forecast_causes is None
    assert asked(door, ExplainRequest(user_id="nobody-knows", item_id="i0", causes=True)).forecast_causes is None
