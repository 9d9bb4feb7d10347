"""What follows in a spec from an intent model that reads events, in its slices and in its pipelines."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import admission, index, parameters

SPECS = Path(__file__).resolve().parents[2] / "pipelines" / "specs"
TEXT = {"text": {"columns": ["title"]}}


def parsed(intent: dict[str, Any] | None = None, **said: Any) -> spec.Recommender:
    found: dict[str, Any] = yaml.safe_load((SPECS / "synthetic.yaml").read_text())
    models = {**found["models"], "intent": {"reads": "events", "architecture": "gru"} | (intent or {})}
    return spec.parse(found | {"models": models} | said, place="s")


def test_training_rows_keep_their_memories_where_the_model_reads_them() -> None:
    found = parsed()
    assert found.profiles.memory == "training"
    assert found.profiles.rows_hold_events
    assert json.loads(parameters.spec_slices(found)["profiles"])["memory"] == "training"
    assert json.loads(parameters.spec_slices(found)["serving"])["profiles"]["memory"] == "training"
    steps = parsed({"reads": "steps"})
    assert (steps.profiles.memory, "reads" in steps.models.intent.model_dump()) == ("newest", False)


def test_a_spec_that_keeps_none_is_refused_in_a_line() -> None:
    with pytest.raises(SpecError, match=r"^s: profiles\.memory: newest, and models\.intent\.reads: events needs those"):
        parsed(profiles={"memory": "newest"})
    with pytest.raises(SpecError, match=r"models\.intent\.reads: 'visits' is not allowed; use 'steps' or 'events'"):
        parsed({"reads": "visits"})


def test_titles_follow_from_vectors_of_texts_and_the_spec_overrules_them() -> None:
    assert not parsed().models.intent.titles
    assert parsed(vectors=TEXT).models.intent.titles
    assert parsed(vectors={"text": {}}).models.intent.titles, "the default text is a text"
    assert not parsed(vectors={"image": {"column": "picture"}}).models.intent.titles
    off = parsed({"titles": False}, vectors=TEXT)
    assert not off.models.intent.titles
    with pytest.raises(SpecError, match=r"models\.intent\.titles: needs vectors of texts; add `vectors: \{text"):
        parsed({"titles": True})


@pytest.mark.parametrize("said", [{}, {"vectors": TEXT}])
@pytest.mark.parametrize("intent", [{}, {"titles": False}])
def test_a_run_reads_the_spec_that_was_meant(intent: dict[str, Any], said: dict[str, Any]) -> None:
    found = parsed(intent, **said)
    again = spec.parse(parameters.form(found)["spec"], place="form")
    assert again == found
    assert again.digest == found.digest


def test_vectors_are_made_before_intents_are_learnt_where_titles_are_read(tmp_path: Path) -> None:
    def order(found: spec.Recommender) -> list[str]:
        return [node.step.name for node in index.pipeline("train").graph(found).nodes]

    told, off = parsed(vectors=TEXT), parsed({"titles": False}, vectors=TEXT)
    assert order(told).index("item_vectors") < order(told).index("train_intent")
    assert order(off).index("item_vectors") > order(off).index("evaluate_intent")
    assert sorted(order(told)) == sorted(order(off))


def test_a_form_that_reads_titles_of_a_pipeline_that_makes_vectors_later_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    form = parameters.form(parsed(vectors=TEXT))["spec"]
    with pytest.raises(SpecError, match=r"^spec: models.intent.titles: needs vectors before it is trained, and this "):
        admission.admit("synthetic", form, mode="", which="", k=0, note="", titles=False)


def test_the_first_step_knows_whether_the_pipeline_makes_vectors_before_intents() -> None:
    def given(found: spec.Recommender) -> dict[str, Any]:
        return dict(index.pipeline("train").graph(found).first.inputs)

    assert given(parsed(vectors=TEXT))["titles"] is True
    assert "titles" not in given(parsed({"titles": False}, vectors=TEXT))
