"""Every planted fault, in a shop that stands still: noticed in its class; and a shop that nothing is planted into."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import calibration
from monitoring.drift.calibration import _World
from monitoring.drift.observed import Observed
from monitoring.drift.plants import PLANTS, Plant, kept
from monitoring.spec import Floors, Monitoring, Occasion
from tests.monitoring.drift.made_periods import MadePeriods, day


@pytest.fixture(scope="module")
def shop() -> _World:
    periods = MadePeriods()
    observed = {number: periods.observed(number) for number in periods.numbers}
    return _World(periods, Monitoring(), observed, calibration._measured(observed))  # type: ignore[arg-type]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_planted_fault_is_noticed_in_its_class(shop: _World, plant: Plant) -> None:
    found = shop.noticed(plant, [16, 20, 23])
    assert found is not None
    assert (found.window, found.as_planted) == (1, 3), found
    assert found.surest < 1e-3, "of one signal alone, by chance"


def _events(**change) -> Plant:
    def changed(of: Observed, rng: np.random.Generator) -> Observed:
        return dataclasses.replace(of, events=of.events.assign(**{name: f(of.events) for name, f in change.items()}))

    return Plant("", "events", "data_fault", changed)


def _midnight(events: pd.DataFrame) -> pd.Series:
    return events["local_s"] // 86_400 * 86_400


@pytest.mark.parametrize(
    ("fault", "signal"),
    [
        (_events(value=lambda e: 2.0 * e["quantity"]), "events.same.price"),
        (_events(quantity=lambda e: 1.0, value=lambda e: e["value"] / e["quantity"]), "events.same.quantity"),
        (_events(discount=lambda e: 0.0), "events.discounted"),
        (
            _events(at=_midnight, local_s=_midnight),
            "events.null.time",
        ),
        (Plant("", "events", "data_fault", lambda of, rng: kept(of, np.zeros(len(of.events), bool))), "events.volume"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_gone_or_stands_still_is_noticed_though_it_leaves_nothing_to_measure(
    shop: _World, fault: Plant, signal: str
) -> None:
    found = shop.noticed(fault, [16, 20, 23])
    assert found is not None
    assert (found.window, found.as_planted, signal in found.signals) == (1, 3, True), found


def test_a_shop_that_stands_still_raises_no_alarm(shop: _World) -> None:
    assert [shop.verdicts(row) for row in shop.judged_rows() if any(v.alarm for v in shop.verdicts(row))] == []
    assert shop.judged_rows() == list(range(12, 26))


def test_a_segment_of_quite_another_size_is_not_the_one_that_is_lost(shop: _World) -> None:
    """Of users who come, .5, .24, .21 and .05: none is of a tenth within a factor of two."""
    lost = {plant.name: plant.change for plant in PLANTS if "segment" in plant.name}
    week = shop.observed[20]
    gone = {name: change(week, np.random.default_rng(0)) for name, change in lost.items()}
    assert {name: sorted({*week.segment} - {*of.segment}) for name, of in gone.items()} == {
        "a large segment lost": [2], "a small segment lost": [3],
    }  # fmt: skip
    two = dataclasses.replace(week, segment=np.minimum(week.segment, 1))  # .5 and .5
    assert [change(two, np.random.default_rng(0)) for change in lost.values()] == [None, None]


def test_a_plant_leaves_what_it_was_given(shop: _World) -> None:
    before = shop.observed[20].events.copy()
    for plant in PLANTS:
        plant.change(shop.observed[20], np.random.default_rng(0))
    assert shop.observed[20].events.equals(before)


def test_a_replay_counts_alarms_power_and_proposes_floors() -> None:
    periods = MadePeriods(users=200, weeks=20)
    lines: list[str] = []
    found = calibration.calibrate(periods, Monitoring(), say=lines.append, evidently=False)  # type: ignore[arg-type]
    told = found.document()
    assert (told["false_alarms"], told["windows"]) == (0, 8)
    assert told["power"]["values x 100"] == 1
    assert set(told["power"]) == {plant.name for plant in PLANTS}
    assert (told["shops"]["shops"], told["shops"]["windows"]) == (9, 72)
    assert told["shops"]["alarms"] <= 1, "the smallest of them has 24 users"
    assert 0 < told["least_effects"]["identity"] < 0.05
    assert Floors.model_validate(told["floors"]).volume <= 0.1
    assert told["later_windows"] == 20 - 14, "the first two thirds are what floors were taken from"
    assert lines[0] == "reading 20 periods"


def test_a_declared_occasion_is_no_ordinary_period(shop: _World) -> None:
    closed = Occasion(name="Closed", first=day(20), last=day(20))
    world = _World(shop.periods, Monitoring(calendar=[closed]), shop.observed, shop.clean)
    assert [shop.table.periods[row] for row in world.judged_rows() if world.occasion(row)] == [20]
