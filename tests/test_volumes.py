"""Volumes by their own past: by hand, and what is no alarm."""

import numpy as np
import pytest

from components import volumes
from components.volumes import newest

QUIET = [100, 104, 97, 101, 99, 103, 98, 102]


def of(*groups: list[float], users: float = 400, spared: tuple[int, ...] = ()) -> list[volumes.Volume]:
    counts = np.asarray(groups, dtype=float).T
    return newest(counts, np.full(counts.shape, users), np.isin(np.arange(len(counts)), spared))


def test_a_usual_week_is_no_alarm_and_half_of_one_is() -> None:
    (usual,), (half,) = of([*QUIET, 103]), of([*QUIET, 50])
    assert (usual.moved, usual.is_large) == (False, False)
    assert half.is_large
    assert half.usual == pytest.approx(np.sqrt(100 * 101))  # the median on the logarithms' scale
    assert half.effect == pytest.approx(50 / half.usual - 1)
    assert half.low < 100 < half.high


def test_what_is_sure_but_small_is_told_by_moved_alone() -> None:
    (one,) = of([*QUIET, 75], users=1e6)
    assert (one.moved, one.is_large) == (True, False)


def test_few_users_make_a_fall_chance() -> None:
    (one,) = of([*QUIET, 60], users=21)
    assert not one.moved
    assert of([*QUIET, 0], users=19) == []


def test_one_group_that_is_gone_is_found_among_others_that_are_as_usual() -> None:
    found = of([*QUIET, 101], [*QUIET, 0], [*QUIET, 99])
    assert [one.group for one in found if one.is_large] == [1]
    assert found[1].effect == -1


def test_a_week_that_moved_is_no_reference_for_those_after_it() -> None:
    fallen = [*QUIET, 30, 30, 30]
    (one,) = of([*fallen, 30])
    assert one.is_large  # a feed that nobody mended does not become right by waiting
    (mended,) = of([*fallen, 100])
    assert not mended.moved


def test_spared_weeks_are_no_reference_and_a_group_counts_from_its_first_event_on() -> None:
    assert of([*QUIET[:6], 100], spared=(0,)) == []  # five are left, six are needed
    assert of([0, 0, 0, *QUIET[:5], 100]) == []
    (one,) = of([0, 0, 0, *QUIET[:6], 100])
    assert not one.moved


def test_the_watch_judges_volumes_by_the_same_numbers() -> None:
    from monitoring.drift import signal_verdicts, signals
    from monitoring.spec import Floors

    assert signals.LARGE["volume"] == volumes.LARGE
    assert Floors().volume == volumes.FLOOR
    assert signals.sampling_error("volume", 30, None) == volumes.sampling_error(30)
    assert (signal_verdicts.REFERENCE, signal_verdicts.LEAST) == (volumes.REFERENCE, volumes.LEAST)
