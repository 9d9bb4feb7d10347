"""An experiment from the command to its end, with a real registry and a cluster's stand-in (namespace.py)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bentos.router.routes import FILE
from components.registry import rollout_tags
from components.registry.experiment_spec import Arm, Experiment, Kpi
from feature_repo.errors import DataError, Refused, SpecError
from pipelines import experiments
from pipelines.assistants.tools import Reads
from pipelines.releases.release import variables
from pipelines.rollout import cluster as clusters
from pipelines.rollout.outcomes import ArmOutcomes, Outcomes
from tests.pipelines.rollout.namespace import World

RULES = Experiment(
    name="try",
    arms=(Arm(name="old", release="champion", share=0.5), Arm(name="new", release="2", share=0.5)),
    kpi=Kpi(event="purchase"),
    covariates=(),
    min_users=100,
    on_winner="promote",
)


def declared(world: World, *rules: Experiment, url: str = "file:///log") -> World:
    """Declare experiments, where doors ship their logs."""
    requests = world.place.environment.requests.model_copy(update={"url": url})
    environment = world.place.environment.model_copy(update={"requests": requests})
    spec = world.place.spec.model_copy(update={"experiments": rules or (RULES,)})
    world.place = replace(world.place, environment=environment, spec=spec)
    world.actuator.place = world.place
    return world


def seen(old: int, new: int, users: int = 4000) -> Outcomes:
    """Return outcomes with so many users who bought."""
    arms = {
        name: ArmOutcomes(users, (np.arange(users) < k).astype(float), np.zeros((users, 0)))
        for name, k in (("old", old), ("new", new))
    }
    return Outcomes(arms, events=1)


def measured(world: World, monkeypatch: pytest.MonkeyPatch, found: Outcomes) -> list[Mapping[str, str]]:
    """Let the logs say this; return what was asked of them."""
    asked: list[Mapping[str, str]] = []

    def outcomes(arms: Mapping[str, str], kpi: Kpi, covariates: Any, *, since_s: float) -> Outcomes:
        assert since_s > 0
        assert kpi == RULES.kpi
        asked.append(arms)
        return found

    monkeypatch.setattr(world.actuator, "outcomes", outcomes)
    return asked


def routes(world: World) -> dict[str, Any]:
    text = world.cluster.get("configmaps", clusters.ROUTES)["data"][FILE]
    found: dict[str, Any] = json.loads(text)
    return found


def test_from_start_to_a_promoted_winner(adopted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = declared(adopted)
    asked = measured(world, monkeypatch, seen(200, 205))
    assert experiments.act(world.place, "start")["waits"] == "try"
    assert "waits for the loop" in experiments.text(experiments.act(world.place, "status"))
    world.look()
    assert [(a["arm"], a["release"], a["share"]) for a in routes(world)["arms"]] == [("new", "r2", 0.5)]
    assert (routes(world)["mode"], routes(world)["experiment"], routes(world)["shared"]) == ("stable", "try-1", True)
    assert world.actuator.running()["r2"] == "http://recommender-r2"
    state = world.look()
    assert asked[-1] == {"r1": "old", "r2": "new"}
    assert state.experiment is not None
    assert state.experiment.seen["new"]["word"] == "undecided"
    assert "new              4000 users, 4000 judged, mean 0.05125" in experiments.text(
        experiments.act(world.place, "status")
    )
    told = Reads(lambda: world.place).experiments()
    assert "try: running" in told
    assert "new              4000 users, 4000 judged, mean 0.05125, difference" in told
    with pytest.raises(Refused, match="'try' is under way; one at a time"):
        experiments.act(world.place, "start", "try")

    measured(world, monkeypatch, seen(200, 400))
    for _ in range(6):
        state = world.look()
    assert state.tried["result"] == "better"
    assert state.stable is not None
    assert state.stable.release == "r2", "the winner was promoted and rolled out"
    assert "arms" not in routes(world)
    assert "try: better" in experiments.text(experiments.act(world.place, "status"))
    with variables(world.place):
        assert rollout_tags.read("grocery").champion == "2"


def test_stop_gives_users_back_and_takes_the_door_away(adopted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = declared(adopted)
    measured(world, monkeypatch, seen(200, 205))
    experiments.act(world.place, "start", "try")
    world.look()
    experiments.act(world.place, "stop", why="enough")
    state = world.look()
    assert (state.experiment, state.tried["result"], state.tried["why"]) == (None, "stopped", "enough")
    assert "arms" not in routes(world)
    assert "r2" not in world.actuator.running()
    with pytest.raises(SpecError, match="none is under way"):
        experiments.act(world.place, "stop")
    assert experiments.act(world.place, "start")["waits"] == "try", "it may be tried again"


def test_logs_that_cannot_be_read_as_asked_end_the_experiment_and_not_the_loop(
    adopted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = declared(adopted)

    def outcomes(*_: Any, **__: Any) -> Outcomes:
        raise DataError("experiments: covariates: 'events_6h' is no number of the rows of release r2; have events_7d")

    monkeypatch.setattr(world.actuator, "outcomes", outcomes)
    experiments.act(world.place, "start")
    state = world.look()
    assert (state.tried["result"], state.experiment) == ("broken", None)
    assert "'events_6h' is no number of the rows of release r2" in state.tried["why"]
    world.served_by("r1")


def test_an_arm_that_does_not_start_ends_it_and_stable_serves_on(
    adopted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = declared(adopted)

    def prepare(version: str) -> str:
        raise SpecError("intent/weights.safetensors in the registry differs from what was released")

    monkeypatch.setattr(world.actuator, "prepare", prepare)
    experiments.act(world.place, "start")
    state = world.look()
    assert (state.tried["result"], state.experiment) == ("failed", None)
    assert "differs from what was released" in state.tried["why"]
    world.served_by("r1")


@pytest.mark.parametrize(
    ("rules", "name", "error", "line"),
    [
        (RULES, "tri", SpecError, "'tri' is not declared; have try; did you mean 'try'?"),
        (RULES.model_copy(update={"arms": (RULES.arms[0], RULES.arms[1].model_copy(update={"release": "1"}))}), "",
         SpecError, "'1' is release r1, as old is: there is nothing to compare"),
        (RULES.model_copy(update={"arms": (RULES.arms[0], RULES.arms[1].model_copy(update={"release": "9"}))}), "",
         SpecError, "no version 9; have 1, 2, 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_one_line(adopted: World, rules: Experiment, name: str, error: type, line: str) -> None:
    with pytest.raises(error) as found:
        experiments.act(declared(adopted, rules).place, "start", name)
    assert line in str(found.value)
    assert experiments.act(adopted.place, "status")["waits"] == ""


def test_without_shipped_logs_a_cluster_s_experiment_is_refused(adopted: World) -> None:
    with pytest.raises(SpecError, match="leaves request logs in the doors' pods, where nobody can judge by them"):
        experiments.act(declared(adopted, url="").place, "start")


def test_a_version_that_its_gates_refused_meets_no_users(adopted: World) -> None:
    import os

    import mlflow

    with variables(adopted.place):
        client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])
        client.set_model_version_tag("grocery-release", "2", "gates", "refused")
    with pytest.raises(Refused, match="version 2 may not meet users: its gates refused it"):
        experiments.act(declared(adopted).place, "start")


def test_before_the_loop_has_followed_the_champion_none_is_started(adopted: World) -> None:
    adopted.move("3")
    with pytest.raises(Refused, match="champion 3 does not serve yet; let the loop roll it out"):
        experiments.act(declared(adopted).place, "start")
