"""Processes that are killed under load: what customers see, how soon it is over, that no event is lost."""

import time

import psutil
import pytest
import requests

from tests.chaos.load import EVENTS, RECOMMEND, customers
from tests.chaos.plants import registered
from tests.chaos.stage import Stage, report, timed
from tests.pipelines.rollout.laptop import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def settled(stage: Stage) -> None:
    """Wait until a door answers a customer again, and not the router in its place."""

    def answered() -> bool:
        try:
            body = {"user_id": "guest", "k": 1}
            reply = requests.post(f"{stage.url}/recommend", json=body, timeout=5)
            return reply.ok and not reply.json()["profile"]["degraded"]
        except requests.RequestException:
            return False

    until(answered, seconds=120, what="an answer", tell=stage.tell)


def test_the_loop_starts_a_killed_door_again(stage: Stage) -> None:
    """No other release runs: the router recommends what is popular until the door is back, and events are refused."""
    took: dict[str, float] = {}
    with customers(stage.url) as load:
        time.sleep(3)
        with timed(took, "recovery_s"):
            stage.kill_door(stage.standing()["stable"]["release"])
            time.sleep(0.5)
            settled(stage)
        time.sleep(3)
    stage.materialised()
    lost = stage.lost(load)
    report("stable door killed", load, **took, lost=len(lost))
    assert lost == []
    assert load.failed(RECOMMEND) == []
    assert any(one.degraded for one in load.told)
    assert {one.status for one in load.failed(EVENTS)} <= {502, 503}
    assert load.outage_s(EVENTS) < 60


@pytest.mark.parametrize("part", ["supervisor", "worker"])
def test_half_of_a_door_that_is_killed_is_made_whole(stage: Stage, part: str) -> None:
    """The supervisor starts its worker again, and requests wait; a worker alone answers until another door is ready."""
    release = stage.standing()["stable"]["release"]
    before = stage.door(release)
    with customers(stage.url) as load:
        time.sleep(3)
        stage.kill_part(release, part)
        if part == "supervisor":
            until(lambda: not any(map(runs, before)), seconds=90, what="no orphan", tell=stage.tell)
        settled(stage)
        time.sleep(3)
    stage.materialised()
    lost = stage.lost(load)
    report(f"{part} of the stable door killed", load, lost=len(lost))
    assert lost == []
    assert load.failed(RECOMMEND) == []
    assert {one.status for one in load.failed(EVENTS)} <= {502, 503}
    assert load.outage_s(EVENTS) < 60


def runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_a_killed_router_comes_back_where_it_was(stage: Stage) -> None:
    """Customers are refused connections until it listens again."""
    took: dict[str, float] = {}
    with customers(stage.url) as load:
        time.sleep(3)
        with timed(took, "recovery_s"):
            stage.kill_router()
            settled(stage)
        time.sleep(3)
    stage.materialised()
    lost = stage.lost(load)
    report("router killed", load, **took, lost=len(lost))
    assert lost == []
    assert {one.status for one in load.failed()} <= {0}
    assert load.outage_s(RECOMMEND) < 30


def test_a_loop_killed_in_a_rollout_costs_nothing(stage: Stage) -> None:
    version = registered(stage, k=7)
    took: dict[str, float] = {}
    with customers(stage.url) as load:
        stage.champion(version)
        for phase in ("shadow", "canary"):
            stage.phase(phase)
            stage.kill()
            time.sleep(1)
            stage.watch()
        with timed(took, "promoted_s"):
            now = stage.settled(version, "promoted", seconds=240)
        time.sleep(2)
    stage.materialised()
    lost = stage.lost(load)
    report("loop killed in shadow and in canary", load, **took, lost=len(lost))
    assert lost == []
    assert load.failed() == []
    assert now["stable"]["version"] == version
    assert {RECOMMEND, EVENTS} == {one.path for one in load.told}


def test_a_candidate_killed_in_its_canary_costs_nothing(stage: Stage) -> None:
    version = registered(stage, k=8)
    with customers(stage.url) as load:
        stage.champion(version)
        stage.phase("canary")
        time.sleep(3)
        stage.kill_door(stage.standing()["candidate"]["release"])
        now = stage.settled(version, "promoted", seconds=300)
        time.sleep(2)
    stage.materialised()
    lost = stage.lost(load)
    report("candidate killed in its canary", load, lost=len(lost))
    assert lost == []
    assert load.failed(RECOMMEND) == []
    assert now["stable"]["version"] == version, "a door that was lost once is started again and judged"
