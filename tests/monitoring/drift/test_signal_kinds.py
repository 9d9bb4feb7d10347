"""Signals by kind, by value: scales, errors, effects, floors, and what is large."""

import math

import numpy as np
import pytest

from monitoring.drift import signals
from monitoring.drift.signals import (
    effect_of,
    is_large,
    is_worth_a_word,
    kind_of,
    off_scale,
    onto_scale,
    sampling_error,
)
from monitoring.spec import Floors


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("events.volume", "volume"),
        ("events.users.segment.ab12.3", "volume"),
        ("events.each.session", "volume"),
        ("events.clock", "clock"),
        ("events.price.index", "index"),
        ("events.price.p50", "level"),
        ("events.total.value", "kept"),
        ("events.null.value", "null"),
        ("events.share.category.SOFT DRINKS", "share"),
        ("features.agree.sessions_28d", "identity"),
        ("features.mean.value_7d", "mean"),
        ("labels.ratio.buy", "level"),
        ("labels.realised.auc.new", "kept"),
        ("whatever", "level"),
    ],
)
def test_a_name_says_its_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_what_was_never_null_is_large_sooner() -> None:
    assert (signals.is_large("null", 0.02, 0.0), signals.is_large("null", 0.019, 0.0)) == (True, False)
    assert (signals.is_large("null", 0.031, 0.001), signals.is_large("null", 0.041, 0.001)) == (False, True)


def test_a_fifth_is_large_of_prices_beside_their_own_and_not_of_what_is_sold() -> None:
    assert [signals.is_large(kind, 1.16, 1.0) for kind in ("index", "level")] == [True, False]
    assert not signals.is_large("index", 1.14, 1.0)
    assert not is_worth_a_word("index", 1.04, 1.0, Floors())


def test_an_hour_is_worth_a_word_and_two_are_large() -> None:
    told = [signals.is_worth_a_word("clock", hour, 0.0, Floors()) for hour in (0.7, 1.0, 23.0)]
    assert (told, signals.is_large("clock", 1.9, 0.0), signals.is_large("clock", 22.0, 0.0)) == (
        [False, True, True], False, True,
    )  # fmt: skip


def test_every_judged_kind_of_signal_has_a_family_of_its_like() -> None:
    found = {name: signals.family_of(name) for name, kind in signals.KINDS.items() if kind != "kept"}
    assert {found[n] for n in ("events.volume", "events.users", "events.sessions", "events.each")} == {"amounts"}
    assert signals.family_of("events.users.segment.ab.1") == "segments"
    assert (found["scores.spread"], found["labels.count"], found["shown.text"]) == ("scores", "labels", "shown")
    assert not {"events", "features"} & set(found.values()), "each has one that says of what"


@pytest.mark.parametrize("kind", ["volume", "level", "share", "null", "mean", "identity", "index", "clock"])
def test_a_scale_is_gone_back_from(kind: signals.Kind) -> None:
    values = np.array([0.01, 0.2, 0.9])
    scaled = onto_scale(kind, values, unit=2.0)
    assert [off_scale(kind, one, unit=2.0) for one in scaled] == pytest.approx(values)


def test_what_was_a_hundredth_and_is_nothing_is_gone() -> None:
    assert signals.is_gone(0.0, 0.01)
    assert not signals.is_gone(0.0, 0.0099)
    assert not signals.is_gone(0.001, 0.5)


def test_scales_by_value() -> None:
    assert onto_scale("volume", np.array([1.0, math.e])).tolist() == pytest.approx([0.0, 1.0])
    assert onto_scale("share", np.array([0.5])).tolist() == pytest.approx([math.pi / 4])
    assert onto_scale("mean", np.array([3.0]), unit=2.0).tolist() == [1.5]
    assert onto_scale("null", np.array([-0.1, 1.1])).tolist() == pytest.approx([0.0, math.pi / 2])


@pytest.mark.parametrize(
    ("kind", "n", "spread", "error"),
    [
        ("share", 300, None, 0.05),  # sqrt(3) / (2 sqrt(300))
        ("null", 30_000, None, 0.005),
        ("mean", 400, 7.0, 0.05),  # in its own deviations, whatever these are
        ("level", 600, None, 0.05),  # sqrt(3 / 1200)
        ("level", 600, 0.2, 0.2),  # the error that was measured
        ("level", 10**9, None, 0.01),
        ("volume", 400, None, 0.05),
        ("volume", 0, None, 1.0),
        ("volume", 400, 0.2, 0.2),  # a few users make most of it
        ("volume", 400, 0.001, 0.01),
        ("identity", 9, None, 0.002),
        ("index", 400, 0.03, 0.03),
        ("clock", 400, 0.3, 0.3),  # hours
        ("clock", 10**9, 0.0, 0.05),
    ],
)
def test_a_periods_own_error(kind: signals.Kind, n: float, spread: float | None, error: float) -> None:
    assert sampling_error(kind, n, spread) == pytest.approx(error)


@pytest.mark.parametrize(
    ("kind", "value", "reference", "effect"),
    [
        ("volume", 50, 100, -0.5),
        ("level", 2.0, 1.0, 1.0),
        ("share", 0.02, 0.04, -0.5),
        ("null", 0.05, 0.01, 0.04),
        ("mean", 3.0, 1.0, 0.5),
        ("level", 1.0, 0.0, 1e6),  # a multiple without end
        ("level", 0.0, 0.0, 0.0),
        ("clock", 1.0, 23.5, 1.5),
        ("clock", 23.5, 1.0, -1.5),
    ],
)
def test_effects_by_value(kind: signals.Kind, value: float, reference: float, effect: float) -> None:
    assert effect_of(kind, value, reference, unit=4.0) == pytest.approx(effect, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "value", "reference", "word", "large"),
    [
        ("volume", 91, 100, False, False),
        ("volume", 89, 100, True, False),
        ("volume", 64, 100, True, True),
        ("volume", 136, 100, True, True),
        ("level", 1.04, 1.0, False, False),
        ("level", 1.06, 1.0, True, False),
        ("level", 1.51, 1.0, True, True),
        ("share", 0.32, 0.30, False, False),  # 2 points, yet 7 %
        ("share", 0.019, 0.010, False, False),  # 90 %, yet 0.9 points
        ("share", 0.24, 0.30, True, False),
        ("share", 0.12, 0.05, True, True),
        ("share", 0.04, 0.02, True, False),  # doubled, yet 2 points
        ("share", 0.0, 0.02, True, True),  # gone
        ("share", 0.0, 0.009, False, False),
        ("null", 0.009, 0.0, False, False),
        ("null", 0.011, 0.0, True, False),
        ("null", 0.05, 0.0, True, True),
        ("null", 0.0, 0.5, False, False),  # fewer nulls are no matter
        ("mean", 1.09, 1.0, False, False),
        ("mean", 1.11, 1.0, True, False),
        ("mean", 2.5, 1.0, True, True),
        ("identity", 1.02, 1.0, False, False),
        ("identity", 1.2, 1.0, True, True),
        ("kept", 9.0, 1.0, True, False),
    ],
)
def test_floors_and_what_is_large(kind: signals.Kind, value: float, reference: float, word: bool, large: bool) -> None:
    assert is_worth_a_word(kind, value, reference, Floors()) is word
    assert is_large(kind, value, reference) is large


def test_floors_are_the_specs() -> None:
    assert not is_worth_a_word("volume", 80, 100, Floors(volume=0.3))
    assert is_worth_a_word("mean", 1.06, 1.0, Floors(mean=0.05))
    assert not is_worth_a_word("null", 0.02, 0.0, Floors(null=0.03))
    assert not is_worth_a_word("share", 0.24, 0.30, Floors(points=0.1))
    assert not is_worth_a_word("share", 0.24, 0.30, Floors(share=0.5))
    assert not is_worth_a_word("level", 1.06, 1.0, Floors(level=0.1))
    assert not is_worth_a_word("identity", 1.06, 1.0, Floors(identity=0.1))
