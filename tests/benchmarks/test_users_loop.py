"""The users' loop is killed at every point, and goes on where it was: no stage is done twice, no round played twice."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import real_users, users_loop
from benchmarks.simulated_users import Round
from benchmarks.users_loop import ROUNDS, STAGES, Loop
from feature_repo import files

MADE = real_users.made()


class Killed(BaseException):
    """What a kill -9 does, as far as the folder can tell."""


class World:
    """Verbs and doors that work at once, and a kill before the n-th thing that is done."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.left, self.done = folder, 10**6, list[str]()
        self.champion, self.dies_with = 0, 0
        patch.setattr(users_loop, "RIPE_S", 0.0)
        patch.setattr(users_loop.Loop, "_ran", lambda loop, *words: self.ran(*words))
        patch.setattr(users_loop.Loop, "_served", lambda loop: self.served())
        patch.setattr("tests.pipelines.conftest.Shop.aliases", lambda shop: {"champion": str(self.champion)})
        patch.setattr("tests.pipelines.conftest.Shop.edit", lambda shop, **fields: None)
        patch.setattr("benchmarks.simulated_users.SimulatedUsers.play", self.play)

    def does(self, what: str) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        self.done.append(what)

    def ran(self, *words: str) -> str:
        mode = "dry" if "dry_run" in words else ""
        self.does(" ".join(filter(None, (words[0], "policy" if "policy" in words else "", mode))))
        if words[0] == "run" and not mode:
            self.champion += 1
            if self.champion == self.dies_with:
                self.dies_with = 0
                raise Killed
        learned = self.folder / "learned"
        learned.mkdir(exist_ok=True)
        files.write_json(learned / "candidate.json", {"name": "learned@1"})
        gate = {"verdict": "passed", "why": "", "value": None, "running": None, "difference": None, "bootstrap": None}
        files.write_json(learned / "verdict.json", gate | {"ess": 1.0})
        return json.dumps({"folders": {"learned_policy": str(learned)}})

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        yield "http://door"

    def play(self, url: str, rng: np.random.Generator, *, rounds: int = 1) -> Round:
        drawn = float(rng.random()) / 10
        self.does(f"round {drawn:.6f}")
        return Round(5, 1, drawn, 0.5, (drawn,) * len(MADE.households))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], World]:
    def make(name: str) -> World:
        (tmp_path / name).mkdir()
        return World(tmp_path / name, monkeypatch)

    return make


def played(at: World) -> dict[str, Any]:
    lines = [{"customer": "h0", "sku": "p0"}]
    of = real_users.Fitted(**{**vars(MADE), "lines": lines})
    return Loop(at.folder, of).go_on(STAGES[-1])


def test_a_loop_that_is_killed_anywhere_does_what_is_left_and_comes_to_the_same(world: Callable[[str], World]) -> None:
    whole = world("whole")
    expected = played(whole)
    assert len([one for one in whole.done if one.startswith("round")]) == sum(ROUNDS.values())
    assert len({one for one in whole.done if one.startswith("round")}) == sum(ROUNDS.values()), "each round draws anew"
    for killed_before in range(len(whole.done)):
        at = world(f"killed-{killed_before}")
        at.left = killed_before
        with pytest.raises(Killed):
            played(at)
        at.left = 10**6
        found = played(at)
        assert found["played"] == expected["played"]
        assert list(found["stages"]) == list(STAGES)
        repeated = {one for one in at.done if at.done.count(one) > whole.done.count(one)}
        assert repeated <= {"rewards"}, "rewards are made anew, which changes nothing"
        assert at.champion == whole.champion, "nothing is released twice"
    again = world("again")
    played(again)
    before = list(again.done)
    played(again)
    assert again.done == before, "what is done stays done"


def test_a_policy_that_was_released_before_the_kill_is_not_released_again(world: Callable[[str], World]) -> None:
    for champion in (2, 3):  # the explorer, what was learnt
        at = world(f"released-{champion}")
        at.dies_with = champion
        with pytest.raises(Killed):
            played(at)
        assert played(at)["stages"]["learn"]["champion"] == "3"
        assert at.champion == 3
