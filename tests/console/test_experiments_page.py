"""The page of experiments: what the rollout's state machine kept of real steps, sorted, and the page that shows it."""

from dataclasses import replace
from typing import Any

import pytest

from bentos.console.ports import Ports
from bentos.console.ports.watch import Experiment
from components.registry import experiment_spec
from pipelines.console import experiments
from tests.console import watching
from tests.console.test_home_page import page, words
from tests.pipelines.rollout.test_experiments import DAY, RULES, Tried, tried

LATER = RULES.model_copy(update={"name": "later"})


def stands(world: Tried, waits: str = "") -> dict[str, Any]:
    """Return what `intentflow experiments status` says of a world."""
    document = world.state.document()
    return {"waits": waits, "running": document.get("experiment"), "last": dict(world.state.tried) or None}


def shown(world: Tried, *, rules: tuple[experiment_spec.Experiment, ...] = (RULES,), days: float = 8.5) -> Experiment:
    since = world.state.experiment.since if world.state.experiment else 0.0
    return experiments.of(stands(world), rules, since + days * DAY)[0]


def test_one_under_way_has_its_figures_its_day_and_what_it_may_still_find() -> None:
    found = shown(tried().saw((6000, 300), (4000, 205)))
    control, new = found.arms
    assert (found.name, found.state, found.phase, found.day, found.days) == ("try", "running", "running", 8.5, 10)
    assert (control.control, control.users, control.mean, control.difference) == (True, 6000, 0.05, None)
    assert (new.version, new.mean, new.word) == ("2", 0.05125, "undecided")
    assert new.difference == pytest.approx(0.00125)
    assert new.low is not None
    assert new.high is not None
    assert new.low < 0 < new.high
    assert new.power == pytest.approx(0.05, abs=0.05)  # a deviation of .0032 and an effect of .005
    assert new.least_effect is not None
    assert 0.2 < new.least_effect < 0.35
    assert found.shares.state == "as_declared"


def test_with_more_users_more_is_found() -> None:
    few, many = shown(tried().saw((6000, 300), (4000, 200))), shown(tried().saw((60000, 3000), (40000, 2000)))
    assert few.arms[1].power is not None
    assert many.arms[1].power is not None
    assert few.arms[1].power < 0.2 < 0.8 < many.arms[1].power


def test_a_planned_end_is_what_power_is_of() -> None:
    """At 20,000 users the deviation is .0031 and the effect .005: 1.6 of 2.13 standard errors; 40,000 do not come."""
    for users in (20_000, 40_000):
        planned = tried(RULES.model_copy(update={"users": users})).saw((6000, 300), (4000, 205))
        new = shown(planned).arms[1]
        assert new.least_effect is not None
        if users == 20_000:
            assert new.power == pytest.approx(0.29, abs=0.02)
        else:
            assert new.power is not None
            assert new.power < 0.1, "half of the plan is a look at which little of alpha is spent"


def test_before_an_interval_shares_tell_the_spread_and_before_users_are_judged_nothing_does() -> None:
    early = shown(tried().saw((90, 5), (60, 3)))  # fewer than min_users
    assert early.arms[1].low is None
    assert early.arms[1].power is not None
    assert early.arms[1].power < 0.05
    assert shown(tried().saw((6000, 300), (4000, 205)), days=6.0).arms[1].power is None  # a week is not over
    assert shown(tried()).arms[1].power is None


def test_a_sample_ratio_mismatch_is_said() -> None:
    found = experiments.of(stands(tried().saw((6000, 300), (3000, 400))), [RULES], 0.0)[0]
    assert (found.state, found.result, found.shares.state) == ("over", "broken", "broken")
    text = words(page(Ports(experiments=watching.Experiments((found,))), "/console/experiments"))
    assert "Result: broken: nothing may be concluded" in text
    assert "Sample-ratio mismatch: users do not fall to the arms as declared" in text
    assert "sample-ratio mismatch: users fell to old 6000" in text


def test_users_who_begin_to_fall_askew_are_a_warning_before_it_breaks() -> None:
    assert experiments.shares([6000, 3720], [0.6, 0.4]).state == "watch"
    assert experiments.shares([6000, 4000], [0.6, 0.4]).state == "as_declared"


def test_each_is_there_once_the_running_first() -> None:
    world = tried().saw((6000, 300), (4000, 205))
    world.now += 11 * DAY
    world.settle()
    found = experiments.of(stands(world, "later"), [RULES, LATER], 0.0)
    assert [(one.name, one.state) for one in found] == [("later", "waits"), ("try", "over")]
    assert found[1].result == "no difference"
    gone = experiments.of(stands(world), [LATER], 0.0)
    assert [(one.name, one.state) for one in gone] == [("try", "over"), ("later", "declared")]
    assert gone[0].shares.state == "unknown"  # the spec does not say any more what was declared
    assert "unknown" in words(page(Ports(experiments=watching.Experiments(gone)), "/console/experiments"))


def test_the_page_shows_arms_interval_verdict_shares_and_power() -> None:
    ports = Ports(experiments=watching.experiments(), links=watching.links())
    html = page(ports, "/console/experiments")
    text = words(html)
    assert "Day 12.5 of 28: its arms answer their users" in text
    assert "Users with a “purchase” within 168 h of their first answer; more is better." in text
    assert "+0.5 points (+0.18 points to +0.82 points) +10 % of the control's mean better" in text
    assert "Users fall to the arms as declared." in text
    assert "a difference of 10 % of the control's mean is found with a chance of at least 91 % by day 28" in text
    assert 'aria-label="explorer: difference +0.5 points, +0.18 points to +0.82 points"' in html
    assert "intentflow experiments SPEC start later" in text
    assert 'href="http://127.0.0.1:5000/#/models/shop-release/versions/3"' in html


def test_little_power_is_said() -> None:
    weak = replace(watching.RUNNING.arms[1], power=0.12, least_effect=0.4)
    found = replace(watching.RUNNING, arms=(watching.RUNNING.arms[0], weak))
    text = words(page(Ports(experiments=watching.Experiments((found,))), "/console/experiments"))
    assert "That is little: let more users in" in text


def test_every_state_has_a_page_in_both_languages_and_nothing_of_it_is_nan() -> None:
    worlds = [tried(), tried().saw((6000, 300), (4000, 205)), Tried()]
    for world in worlds:
        found = experiments.of(stands(world), [RULES, LATER], world.now)
        for language in ("en", "zh"):
            html = page(Ports(experiments=watching.Experiments(found)), f"/console/experiments?lang={language}")
            assert "nan" not in words(html).lower().split()
    assert "The spec declares no experiment." in page(
        Ports(experiments=watching.Experiments(())), "/console/experiments"
    )
