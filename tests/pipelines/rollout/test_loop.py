"""The loop over a real registry, with an actuator that keeps on paper what it was asked to do."""

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest

from bentos.router.observations import ArmSeen, Observations, ShadowSeen
from bentos.router.routes import Routes
from components.registry import aliases
from components.registry.release import model_name
from feature_repo.errors import DataError, Refused, ServerError
from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.leases.lease import Lease, next_token
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import loop, restore
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.state import ReleaseRef
from tests import made_once
from tests.patience import patient

SPECS = Path(__file__).parents[3] / "pipelines" / "specs"


class Killed(BaseException):
    """What kill -9 does, as far as a thread can: nothing after it runs."""


@dataclass
class PaperActuator:
    """Doors and a router on paper; traffic is plenty, and good unless said otherwise."""

    up: dict[str, str] = field(default_factory=dict)
    routes: Routes | None = None
    done: list[str] = field(default_factory=list)
    looks: int = 0
    wrong: bool = False  # the candidate fails every request
    broken: dict[str, Exception] = field(default_factory=dict)  # by verb

    def prepare(self, version: str) -> str:
        return self._did("prepare", version)

    def check(self, release_id: str) -> str:
        return self._did("check", release_id)

    def start(self, release_id: str) -> str:
        self._did("start", release_id)
        return self.up.setdefault(release_id, f"http://127.0.0.1:{7000 + len(self.done)}")

    def under(self, token: int) -> None:
        self.token = token

    def materialise(self, release_id: str) -> str:
        return self._did("materialise", release_id)

    def route(self, routes: Routes) -> None:
        self.routes = routes

    def routed(self) -> Routes | None:
        return self.routes

    def observe(self) -> Observations | None:
        self.looks += 1
        n = 400 * self.looks
        quick = {"500": n, "+Inf": n}
        bad = ArmSeen(requests=n, errors=n if self.wrong else 0, buckets_ms={} if self.wrong else quick)
        arms = {"stable": ArmSeen(requests=n, buckets_ms=quick), "candidate": bad}
        shadow = ShadowSeen(mirrored=n, buckets_ms=quick, compared=n, overlap_sum=n / 2)
        return Observations(boot="b", rollout=self.routes.rollout if self.routes else "", arms=arms, shadow=shadow)

    def rewards(self, releases: Sequence[str], *, since_s: float) -> Mapping[str, Rewarded]:
        return {}

    def stop(self, release_id: str) -> None:
        self._did("stop", release_id)
        self.up.pop(release_id, None)

    def prune(self) -> str:
        return self._did("prune", "")

    def running(self) -> Mapping[str, str]:
        return self.up

    def tend(self) -> None:
        pass  # paper does not die

    def overlay_door(self) -> None:
        pass  # a laptop

    def retire(self) -> None:
        raise AssertionError("there is no door of an overlay")

    def meanwhile(self, look: Callable[[], None]) -> None:
        pass  # nothing here waits

    def _did(self, verb: str, what: str) -> str:
        if verb in self.broken:
            raise self.broken[verb]
        self.done.append(f"{verb} {what}")
        return what


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that holds three releases that passed, the first of them the champion. Made once, copied."""
    return made_once.copied(tmp_path_factory, "registry-of-three", register_three) / "mlflow.db"


def register_three(folder: Path) -> None:
    """Write the registry into a folder, and close it."""
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model(model_name("grocery"))
    for number in (1, 2, 3):
        client.create_model_version(model_name("grocery"), str(folder), tags={"id": f"r{number}", "gates": "passed"})
    client.set_registered_model_alias(model_name("grocery"), "champion", "1")


@pytest.fixture
def place(tmp_path: Path, registry: Path) -> Installation:
    """A recommender with that registry."""
    quick = "promotion: {mode: manual, rollout: {hold_s: 0, steps: [0.5, 1.0]}}\n"
    text = (SPECS / "grocery.yaml").read_text()
    start, end = text.index("promotion:"), text.index("serving:")
    (tmp_path / "grocery.yaml").write_text(text[:start] + quick + text[end:])
    found = find_place(tmp_path / "grocery.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    found.home.joinpath("mlflow").mkdir(parents=True)
    shutil.copy(registry, found.home / "mlflow" / "mlflow.db")
    return found


def move(place: Installation, version: str) -> None:
    """Move the champion as MLflow's UI does."""
    with variables(place):
        client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])
        client.set_registered_model_alias(model_name("grocery"), "champion", version)


def turns(place: Installation, actuator: PaperActuator, count: int = 1) -> loop.Reconciliation:
    """Take turns, as the loop does when it is started anew each time."""
    for _ in range(count):
        with held(place) as lease:
            found = loop.once(place, actuator, lease)
    return found


def status(place: Installation) -> aliases.Status:
    with variables(place):
        return aliases.status("grocery")


def test_a_move_in_the_ui_is_rolled_out_and_told(place: Installation) -> None:
    actuator = PaperActuator()
    assert turns(place, actuator).state.stable == ReleaseRef("1", "r1")
    move(place, "2")
    found = turns(place, actuator, 3)
    assert (found.state.stable, found.state.candidate) == (ReleaseRef("2", "r2"), None)
    assert actuator.routes is not None
    assert actuator.routes.stable.release == "r2"
    registry = status(place)
    assert (registry.holders["champion"], registry.holders["previous"], registry.unrecorded) == ("2", "1", False)
    told = registry.versions["2"]["rollout_log"]
    assert "champion moved here from version 1: rollout 2-r2 begins" in told
    assert told.splitlines()[-1].endswith("promoted: it is stable")
    assert turns(place, actuator).lines == ()  # nothing is left to do


def test_a_bad_release_takes_itself_back_and_the_reason_is_in_the_registry(place: Installation) -> None:
    actuator = PaperActuator()
    turns(place, actuator)
    move(place, "2")
    actuator.wrong = True
    turns(place, actuator, 3)
    assert actuator.routes is not None
    assert (actuator.routes.mode, actuator.routes.stable.release, set(actuator.up)) == ("stable", "r1", {"r1"})
    registry = status(place)
    assert registry.holders == {"champion": "1"}
    with variables(place):
        assert "canary: errors" in aliases.rolled_back("grocery", "2")


def test_a_release_that_cannot_be_built_is_given_back_with_the_reason(place: Installation) -> None:
    actuator = PaperActuator(broken={})
    turns(place, actuator)
    actuator.broken["prepare"] = DataError("intent/weights.safetensors differs from what was released")
    move(place, "2")
    turns(place, actuator, 2)
    assert status(place).holders["champion"] == "1"
    with variables(place):
        assert "weights.safetensors differs" in aliases.rolled_back("grocery", "2")


@pytest.mark.parametrize("wrong", [False, True])
def test_a_loop_that_is_killed_before_every_act_comes_to_the_same_end(place: Installation, wrong: bool) -> None:
    """The n-th loop is killed at its n-th step, before or between acts, or before it has kept its state."""
    actuator = PaperActuator()
    turns(place, actuator)
    move(place, "2")
    actuator.wrong = wrong
    for attempt in range(1, 30):
        steps = iter(range(attempt))

        def still(left: object = steps) -> bool:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise Killed
            return True

        try:
            found = loop.once(place, actuator, Lease(next_token(attempt), f"loop {attempt}", still))
        except Killed:
            continue
        if found.state.candidate is None and found.state.last["version"] == "2":
            break
    else:
        raise AssertionError("no end")
    served = "r1" if wrong else "r2"
    assert actuator.routes is not None
    assert (actuator.routes.mode, actuator.routes.stable.release) == ("stable", served)
    assert status(place).holders["champion"] == served[1]
    assert attempt > 5


def test_a_registry_that_is_away_blames_nobody(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    actuator = PaperActuator()
    turns(place, actuator)
    before = actuator.routes
    away = place.variables | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    monkeypatch.setitem(place.__dict__, "variables", away)
    with pytest.raises(ServerError, match="MLflow does not answer"):
        turns(place, actuator)
    assert actuator.routes == before


def test_of_two_loops_one_acts(place: Installation) -> None:
    said, stop = [], threading.Event()
    with held(place):
        with pytest.raises(Refused, match="holds the lease"):
            turns(place, PaperActuator())
        waiting = threading.Thread(
            target=loop.follow, args=(place, PaperActuator()), kwargs={"every_s": 0.1, "say": said.append, "stop": stop}
        )
        waiting.start()
        stop.wait(0.4)
        stop.set()
        waiting.join(patient(10))
    assert len(said) == 1
    assert "holds the lease" in said[0]


def test_a_rollback_brings_the_release_before_back_at_once(place: Installation) -> None:
    actuator = PaperActuator()
    turns(place, actuator)
    move(place, "2")
    turns(place, actuator, 3)
    with variables(place):
        aliases.rollback("grocery", who="ana", why="too slow")
    found = turns(place, actuator)
    assert actuator.routes is not None
    assert (found.state.stable, actuator.routes.stable.release) == (ReleaseRef("1", "r1"), "r1")
    assert status(place).holders == {"champion": "1"}


def test_one_command_brings_back_a_lost_champion_and_a_door_that_died(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    actuator = PaperActuator()
    monkeypatch.setattr(loop, "actuator_of", lambda _: actuator)
    turns(place, actuator)
    with variables(place):
        client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])
        client.delete_registered_model_alias(model_name("grocery"), "champion")
    actuator.up.clear()
    found = restore.restore(place, "lost")
    assert (found["champion"], found["moved"], found["serving"]) == ("1", True, "r1")
    assert actuator.routes is not None
    assert actuator.routes.stable.url == actuator.up["r1"]
    again = restore.restore(place, "again")
    assert (again["moved"], again["serving"]) == (False, "r1")
