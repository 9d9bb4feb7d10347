"""Bad releases, each with a fault of its own: the loop takes it back and says why, and no customer is failed."""

from typing import Any

import pytest

from tests.chaos import plants
from tests.chaos.load import Load, customers
from tests.chaos.plants import broken_code, registered
from tests.chaos.stage import Stage, report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def rolled_back(stage: Stage, version: str, *, name: str) -> tuple[dict[str, Any], Load]:
    """Move the alias under load and wait until the release is taken back; nothing may be lost, nobody failed."""
    before = stage.standing()["stable"]
    with customers(stage.url) as load:
        stage.champion(version)
        now = stage.settled(version, "rolled_back", seconds=240)
    stage.materialised()
    lost = stage.lost(load)
    report(name, load, why=now["last"]["why"], lost=len(lost))
    assert lost == []
    assert load.failed() == []
    assert (now["stable"], now["candidate"]) == (before, None)
    assert now["last"]["why"] in stage.tags(version)["rolled_back"]
    return now, load


def test_a_corrupt_model_file_never_starts(stage: Stage) -> None:
    version, weights = registered(stage, k=11), stage.weights("intent")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        now, load = rolled_back(stage, version, name="corrupt model file")
    finally:
        weights.write_bytes(whole)
    assert "intent/weights.safetensors in the registry differs from what was released" in now["last"]["why"]
    assert now["last"]["release"] not in {one.release for one in load.told}


def test_a_pair_that_does_not_match_never_answers(stage: Stage) -> None:
    version = registered(stage, k=12, ranking=plants.another_vocabulary)
    now, load = rolled_back(stage, version, name="pair that does not match")
    assert "ranking model has the vocabulary" in now["last"]["why"]
    assert now["last"]["release"] not in {one.release for one in load.told}


@pytest.mark.parametrize(
    ("k", "line", "said"),
    [
        (13, "__import__('time').sleep(0.7)", "slow"),
        (14, "raise RuntimeError('planted')", "errors"),
    ],
    ids=["slow", "failing"],
)
def test_a_candidate_that_is_slow_or_fails_meets_no_customer(stage: Stage, k: int, line: str, said: str) -> None:
    version = registered(stage, k=k)
    broken_code(stage, version, line)
    now, load = rolled_back(stage, version, name=f"candidate: {said}")
    assert now["last"]["why"].startswith(f"shadow: {said}")
    assert now["last"]["release"] not in {one.release for one in load.told}


def test_a_candidate_that_recommends_rubbish_is_taken_back_for_its_rewards(stage: Stage) -> None:
    version = registered(stage, k=15, ranking=plants.upside_down)
    now, _ = rolled_back(stage, version, name="candidate: rubbish")
    assert "without reward" in now["last"]["why"]
