"""A whole rollout on this machine, under load: real registry, real doors, real router, the loop as its own process."""

import time
from collections.abc import Iterator

import pytest

from pipelines.rollout import restore
from tests.pipelines.rollout.laptop import BAD, GOOD, Laptop, load, opened, quiet, released, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Three releases: one that serves, one as good, and one that cannot keep its own deadline."""
    shop = released(tmp_path_factory.mktemp("shop"), GOOD, BAD)
    with opened(shop, tmp_path_factory.mktemp("loop")) as machine:
        yield machine


def test_a_corrupt_model_file_is_named_and_stable_is_not_touched(laptop: Laptop) -> None:
    weights = laptop.weights("intent")
    whole = weights.read_bytes()
    with load(laptop.url) as seen:
        laptop.watch()
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        laptop.champion("3")
        now = laptop.settled("3", "rolled_back", seconds=120)
        weights.write_bytes(whole)
    quiet(seen)
    assert "intent/weights.safetensors in the registry differs from what was released" in now["last"]["why"]
    assert (laptop.holder("champion"), now["stable"]["version"]) == ("1", "1")


def test_a_canary_that_is_killed_again_and_again_takes_itself_back_without_a_failed_request(laptop: Laptop) -> None:
    with load(laptop.url) as seen:
        laptop.champion("2")
        laptop.phase("canary")
        release = laptop.standing()["candidate"]["release"]
        for _ in range(3):
            until(lambda: release in laptop.standing()["running"], seconds=120, what="a door", tell=laptop.standing)
            laptop.kill_door(release)
            until(lambda: release not in laptop.standing()["running"], seconds=30, what="no door", tell=laptop.standing)
        now = laptop.settled("2", "rolled_back", seconds=240)
        time.sleep(1)
    quiet(seen)
    assert now["last"]["why"] == "canary: its door died 3 times"
    assert now["stable"]["version"] == "1"


def test_moving_the_alias_rolls_a_release_out_under_load_though_the_loop_is_killed(laptop: Laptop) -> None:
    first = laptop.standing()["stable"]
    with load(laptop.url) as seen:
        laptop.champion("2")  # a person may try again what was taken back
        laptop.phase("canary")
        laptop.kill()
        time.sleep(1)
        laptop.watch()
        now = laptop.settled("2", "promoted", seconds=180)
        time.sleep(1)
    quiet(seen)
    assert now["stable"]["version"] == "2"
    assert (laptop.holder("champion"), laptop.holder("previous")) == ("2", first["version"])
    assert {release for _, release in seen.answers} == {first["release"], now["stable"]["release"]}
    told = laptop.tags("2")["rollout_log"].splitlines()
    words = ["champion moved here", "built", "shadow: ready", "canary: answers 20%", "becomes stable", "promoted"]
    assert all(any(word in line for line in told) for word in words), told
    assert laptop.tags("2")["rollout"] == "promoted"


def test_a_bad_release_takes_itself_back_under_load(laptop: Laptop) -> None:
    with load(laptop.url) as seen:
        laptop.champion("3")
        now = laptop.settled("3", "rolled_back", seconds=180)
        time.sleep(1)
    quiet(seen)
    assert (now["stable"]["version"], laptop.holder("champion")) == ("2", "2")
    assert "degraded" in now["last"]["why"]
    assert "degraded" in laptop.tags("3")["rolled_back"]
    assert list(now["running"]).count(now["last"]["release"]) == 0


def test_a_rollback_takes_seconds(laptop: Laptop) -> None:
    """The loop that runs follows; the door of the release before is still there."""
    with load(laptop.url) as seen:
        found = restore.restore(laptop.place, "by a test")
        assert found["seconds"] < 10
        time.sleep(1)
    quiet(seen)
    now = laptop.standing()
    assert (now["stable"]["version"], laptop.holder("champion")) == ("1", "1")
    assert now["routes"]["stable"]["release"] == now["stable"]["release"]


def test_one_command_brings_back_a_lost_champion_and_a_door_that_was_killed_without_a_loop(laptop: Laptop) -> None:
    laptop.kill()
    serving = laptop.standing()["stable"]
    laptop.lose_champion()
    laptop.kill_door(serving["release"])
    found = restore.restore(laptop.place, "by a test")
    assert (found["champion"], found["serving"]) == (serving["version"], serving["release"])
    assert laptop.holder("champion") == serving["version"]
    with load(laptop.url) as seen:
        time.sleep(2)
    quiet(seen)
    again = restore.restore(laptop.place, "by a test")
    assert (again["moved"], again["serving"]) == (False, serving["release"])
