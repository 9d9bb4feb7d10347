"""The clock in a spec: what is taken, what older forms mean, and what is refused with one line."""

import json
import math
from typing import Any

import pytest

from components.data.spec import HORIZON, Data
from components.intent.spec import Intent
from components.profiles.spec import Profiles
from feature_repo.clock import Pace
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import parameters

CSV = {"type": "csv", "events": {"path": "e.csv"}}


def document(*intents: dict[str, Any], **data: Any) -> dict[str, Any]:
    """Return a spec of some intents with a data slice of its own."""
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": CSV} | data,
        "intents": list(intents) or [{"name": "visit"}],
    }


def refused(text: dict[str, Any]) -> str:
    """Return the line that a document is refused with."""
    with pytest.raises(SpecError) as caught:
        spec.parse(text, place="shop.yaml")
    return str(caught.value).removeprefix("shop.yaml: ")


def test_a_spec_without_a_clock_is_dumped_as_before_there_was_one() -> None:
    plain = spec.parse(document(), place="test").model_dump(mode="json")
    assert plain["data"]["split"] == {"warmup_weeks": 4, "validate_weeks": 2, "test_weeks": 2}
    assert not {"step", "half_lives"} & {*plain["data"]}
    assert plain["intents"] == [{"name": "visit", "event": None, "level": None, "top": 100, "horizon_days": 7}]


@pytest.mark.parametrize(
    "text",
    [
        document(),
        document(step="day"),
        document({"name": "visit", "horizon": "1h"}, step="hour", split={"test_steps": 48}),
        document({"name": "visit", "horizon": "28d"}, split={"warmup_weeks": 9}),
        document(split={"test_steps": 5}),
        document(step="hour", half_lives={"fast": "6h"}),
    ],
)
def test_a_dump_reads_as_it_was_meant(text: dict[str, Any]) -> None:
    first = spec.parse(text, place="test")
    for dumped in (first.model_dump(mode="json"), parameters.form(first)["spec"]):
        again = spec.parse(dumped, place="test")
        assert again.digest == first.digest
        assert (again.data.pace, again.split_slice()) == (first.data.pace, first.split_slice())
    slices = parameters.spec_slices(first)
    for name in ("reading", "data"):
        dumped = json.loads(slices[name])
        assert dumped.pop(HORIZON, 1) in (1, first.split_slice().get("horizon"))  # ingest takes it out
        assert Data.model_validate(dumped).pace == first.data.pace


@pytest.mark.parametrize(
    ("intent", "step", "steps"),
    [
        ({}, "week", 1),
        ({"horizon_days": 7}, "week", 1),
        ({"horizon": "7d"}, "week", 1),
        ({"horizon": "28d"}, "week", 4),
        ({"horizon": "168h"}, "week", 1),
        ({}, "day", 7),
        ({"horizon": "24h"}, "day", 1),
        ({"horizon": "28d"}, "day", 28),
        ({"horizon": "1h"}, "hour", 1),
        ({"horizon_days": 1}, "hour", 24),
    ],
)
def test_a_horizon_is_so_many_steps(intent: dict[str, Any], step: Any, steps: int) -> None:
    assert Intent.model_validate({"name": "visit"} | intent).steps(Pace(step)) == steps


def test_the_longest_horizon_purges_and_each_intent_keeps_its_own() -> None:
    made = spec.parse(
        document({"name": "soon", "horizon": "24h"}, {"name": "month", "horizon": "28d"}, step="day"), place="test"
    )
    assert made.split_slice() == {"warmup_weeks": 4, "validate_weeks": 2, "test_weeks": 2, "horizon": 28}
    assert [intent.get("horizon", 1) for intent in made.vocabulary_rule()["intents"]] == [1, 28]
    assert json.loads(parameters.spec_slices(made)["reading"])["horizon"] == 28  # ingest counts it too
    one = spec.parse(document({"name": "soon", "horizon": "24h"}, step="day"), place="test")
    assert "horizon" not in json.loads(parameters.spec_slices(one)["reading"])  # as it was before horizons


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            document({"name": "visit", "horizon": "24h"}),
            "intents.visit: horizon 24h is below data.step: week; use 7d or a multiple, or a finer data.step",
        ),
        (
            document({"name": "visit", "horizon": "10d"}),
            "intents.visit: horizon 10d is no whole number of weeks; use 7d or a multiple, or a finer data.step",
        ),
        (
            document({"name": "visit", "horizon": "36h"}, step="day"),
            "intents.visit: horizon 36h is no whole number of days; use 1d or a multiple, or a finer data.step",
        ),
        (
            document({"name": "visit", "horizon": "7d", "horizon_days": 7}),
            "intents[0]: horizon and horizon_days are both given; keep `horizon: 7d`",
        ),
        (document(step="month"), "data.step: 'month' is not allowed; use 'hour', 'day' or 'week'"),
        (
            document(step="day", split={"test_weeks": 2}),
            "data: split.test_weeks: data.step is day, so a split counts days; use test_steps",
        ),
        (
            document(split={"test_weeks": 2, "test_steps": 2}),
            "data.split: test_weeks and test_steps are both given; keep one",
        ),
        (
            document(step="day", source=CSV | {"made_times": {"weeks": 12}}),
            "data: step: day is finer than the data's clock: the source's times are made up, by week; use week",
        ),
    ],
)
def test_what_no_clock_can_count_is_refused(text: dict[str, Any], line: str) -> None:
    assert refused(text) == line


@pytest.mark.parametrize("field", [("half_lives", {"slow": "1w"}), ("half_lives", {"fast": "0h"})])
def test_half_lives_are_durations(field: tuple[str, Any]) -> None:
    assert "is wrong: string should match pattern" in refused(document(**dict([field])))


def ranked(horizon: str, **ranking: Any) -> dict[str, Any]:
    return {"models": {"ranking": {"horizon": horizon, **ranking}}}


@pytest.mark.parametrize(
    ("said", "step", "steps"), [("7d", "week", 1), ("14d", "week", 2), ("3d", "day", 3), ("6h", "hour", 6)]
)
def test_the_ranker_has_a_horizon_of_its_own_and_the_split_is_purged_for_the_longest(
    said: str, step: str, steps: int
) -> None:
    intent = {"name": "visit", "horizon": {"week": "7d", "day": "24h", "hour": "2h"}[step]}
    found = spec.parse(document(intent, step=step, split={"test_steps": 5}) | ranked(said), place="test")
    longest = max(steps, 2 if step == "hour" else 1)
    assert found.split_slice().get("horizon", 1) == longest
    assert found.ranking_rows().get("labels_ahead", 1) == steps
    assert json.loads(json.dumps(found.model_dump(mode="json")))["models"]["ranking"]["horizon"] == said


def test_without_one_nothing_is_said_of_it() -> None:
    plain = spec.parse(document(), place="test")
    assert "horizon" not in plain.model_dump(mode="json")["models"]["ranking"]
    assert "labels_ahead" not in plain.ranking_rows()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            document() | ranked("3d"),
            "models.ranking.horizon: 3d is below data.step: week; use 7d or a multiple, or a finer",
        ),
        (document() | ranked("10d"), "models.ranking.horizon: 10d is no whole number of weeks; use 7d or a multiple"),
        (
            document() | ranked("14d", weight={"of": "quantity"}),
            "models.ranking.weight: weighs what one step holds, and models.ranking.horizon is 2 weeks; leave one",
        ),
    ],
)
def test_a_horizon_of_the_ranker_that_cannot_be_counted_is_one_line(text: dict[str, Any], line: str) -> None:
    assert line in refused(text)


def test_windows_of_hours_are_shares_of_a_day_and_whole_days_stay_whole() -> None:
    text = document({"name": "visit", "horizon": "1h"}, step="hour", split={"test_steps": 48})
    found = spec.parse(text | {"profiles": {"windows_days": ["6h", 1, "48h"]}}, place="test")
    assert found.profiles.windows_days == (0.25, 1, 2)
    assert found.profiles.model_dump(mode="json")["windows_days"] == [0.25, 1, 2]
    again = spec.parse(found.model_dump(mode="json"), place="test")
    assert again.digest == found.digest
    assert json.dumps(Profiles().model_dump(mode="json")["windows_days"]) == "[7, 28, 91]"


@pytest.mark.parametrize(
    ("windows", "line"),
    [
        (["6h"], "profiles.windows_days: 6h is no whole number of days, and data.step is week, which counts days; use"),
        ([0], "profiles.windows_days[0]: 0 is no window; write days, such as 7, or hours, such as 6h"),
        ([0.1], "profiles.windows_days[0]: 0.1 is no window; write days, such as 7, or hours, such as 6h"),
        (["six"], "profiles.windows_days[0]: 'six'"),
        ([math.inf], "profiles.windows_days[0]: inf is no window; write days, such as 7, or hours, such as 6h"),
        ([math.nan], "profiles.windows_days[0]: nan is no window; write days, such as 7, or hours, such as 6h"),
        ([36501], "profiles.windows_days[0]: 36501 is no window; write days, such as 7, or hours, such as 6h"),
        ([10**400], "profiles.windows_days[0]: 1000"),
        ([1e300], "profiles.windows_days[0]: 1e+300 is no window; write days, such as 7, or hours, such as 6h"),
        ([True], "profiles.windows_days[0]: true is no window; write days, such as 7, or hours, such as 6h"),
        ([1, "24h"], "profiles.windows_days: 1 and 24h are the same window; leave one of them out"),
        (["6h", 0.25], "profiles.windows_days: 6h and 0.25 are the same window; leave one of them out"),
        ([7, 28, 7], "profiles.windows_days: 7 and 7 are the same window; leave one of them out"),
    ],
)
def test_windows_that_cannot_be_counted_are_one_line(windows: list[Any], line: str) -> None:
    assert line in refused(document() | {"profiles": {"windows_days": windows}})
