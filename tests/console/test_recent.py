"""What pages read a moment ago: read once, read anew beside a visitor, and never kept where it failed."""

import threading
import time
from collections.abc import Callable

import pytest

from feature_repo.errors import ServerError
from pipelines.console.recent import Recent
from tests.patience import patient


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + patient(5)
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_several_at_once_read_once() -> None:
    recent, begun = Recent[int](60.0), []

    def read() -> int:
        begun.append(1)
        time.sleep(0.05)
        return len(begun)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(recent.of("k", read))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [1, 1, 1, 1]


def test_what_is_old_is_shown_while_it_is_read_anew_and_what_is_too_old_is_waited_for() -> None:
    recent, values = Recent[int](0.0, stale_s=60.0), iter(range(9))
    assert recent.of("k", lambda: next(values)) == 0
    assert recent.of("k", lambda: next(values)) == 0  # and read anew beside it
    until(lambda: recent.of("k", lambda: 7) != 0)
    strict = Recent[int](0.0)
    assert [strict.of("k", lambda: next(values)) for _ in range(2)] == [2, 3]


def test_a_fault_is_kept_by_nobody_and_leaves_what_was_known() -> None:
    recent = Recent[int](0.0, stale_s=60.0)
    faults: list[int] = []

    def broken() -> int:
        faults.append(1)
        raise ServerError("mlflow: no answer")

    with pytest.raises(ServerError, match="no answer"):
        recent.of("k", broken)
    assert recent.of("k", lambda: 5) == 5
    assert recent.of("k", broken) == 5
    until(lambda: len(faults) == 2)
    assert recent.of("k", lambda: 6) in (5, 6)


def test_the_oldest_keys_go() -> None:
    recent = Recent[int](60.0, most=2)
    for n in (1, 2, 3):
        recent.of(n, lambda: 0)
    assert recent.of(1, lambda: 9) == 9
    assert recent.of(3, lambda: 9) == 0
