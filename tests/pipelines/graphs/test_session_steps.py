"""The session model's steps hang where a spec asks within a visit and nowhere else; other forms are refused."""

from typing import Any

import pytest

from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import admission, index
from pipelines.graphs.graph import Node
from pipelines.spec import Recommender

CSV = {"type": "csv", "events": {"path": "events.csv"}}
VISIT = {"name": "visit", "horizon": "7d"}
LEAVE = {"name": "leave", "ends": True, "horizon": "session"}
OF_VISITS = ["train_session", "refit_session"]
TAKERS = ("register", "register_refit", "register_baseline")


def document(*intents: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop"}
    return head | {"data": {"source": CSV}, "intents": list(intents)}


def nodes(pipeline: str, made: Recommender) -> dict[str, Node]:
    return {node.step.name: node for node in index.pipeline(pipeline).graph(made).nodes}


@pytest.mark.parametrize("pipeline", ["train", "retrain"])
def test_they_hang_where_an_intent_is_of_a_visit(pipeline: str) -> None:
    found = nodes(pipeline, spec.parse(document(VISIT, LEAVE), place="test"))
    assert [name for name in found if "session" in name] == OF_VISITS
    takes = {name: found[name].inputs["session"].node.step.name for name in TAKERS}
    assert takes == dict.fromkeys(TAKERS, "train_session") | {"register_refit": "refit_session"}
    assert found["admit"].inputs["sessions"] is True


@pytest.mark.parametrize("pipeline", ["train", "retrain", "batch"])
def test_where_nothing_asks_for_a_session_none_hangs(pipeline: str) -> None:
    found = nodes(pipeline, spec.parse(document(VISIT), place="test"))
    assert not [name for name in found if "session" in name]
    assert not any("session" in found[name].inputs for name in TAKERS if name in found)
    assert "sessions" not in found["admit"].inputs


def test_the_registry_s_steps_take_a_run_without_a_session_model() -> None:
    from components.registry import component

    for name in TAKERS:
        assert getattr(component, name).component_spec.inputs["session"].optional


def test_a_form_that_asks_for_a_session_of_a_pipeline_without_the_steps_is_refused_at_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"intents.leave: horizon: session needs steps that this pipeline was not"):
        admission.admit("shop", document(VISIT, LEAVE), mode="", which="", k=0, note="", sessions=False)
