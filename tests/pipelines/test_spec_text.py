"""What follows in a spec from an intent model that reads text, in the slices of a run."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import DataError, SpecError
from pipelines import spec
from pipelines.graphs import parameters

SPECS = Path(__file__).resolve().parents[2] / "pipelines" / "specs"


def parsed(**intent: Any) -> spec.Recommender:
    found: dict[str, Any] = yaml.safe_load((SPECS / "synthetic.yaml").read_text())
    return spec.parse(found | {"models": {**found["models"], "intent": intent}}, place="s")


def test_rows_hold_the_items_of_users_pasts_where_they_are_written_as_text() -> None:
    assert json.loads(parameters.spec_slices(parsed(architecture="text"))["ranking_rows"])["histories"] is True
    for other in ({"architecture": "cnn"}, {"architecture": "text", "reads": "events"}):
        assert "histories" not in json.loads(parameters.spec_slices(parsed(**other))["ranking_rows"])


@pytest.mark.parametrize("intent", [{"architecture": "text"}, {"architecture": "text", "text": {"tune": "full"}}, {}])
def test_a_run_reads_the_spec_that_was_meant(intent: dict[str, Any]) -> None:
    form = parameters.form(parsed(**intent))["spec"]
    assert spec.parse(form, place="form") == parsed(**intent)
    assert ("text" in form["models"]["intent"]) == ("text" in intent)


def test_events_that_are_written_as_text_need_no_vectors_of_titles() -> None:
    found: dict[str, Any] = yaml.safe_load((SPECS / "synthetic.yaml").read_text())
    models = {**found["models"], "intent": {"architecture": "text", "reads": "events"}}
    asked = spec.parse(found | {"models": models, "vectors": {"text": {"columns": ["title"]}}}, place="s")
    assert (asked.models.intent.titles, asked.profiles.memory) == (False, "training")


def test_other_files_of_the_encoder_make_the_intent_steps_run_again(tmp_path: Path) -> None:
    asked = parsed(architecture="text", text={"weights": "./encoder"})
    with pytest.raises(DataError, match=r"models\.intent\.text\.weights: .* holds no config\.json"):
        parameters.slices(asked, source="s", base=tmp_path)
    folder = tmp_path / "encoder"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    one = parameters.slices(asked, source="s", base=tmp_path)
    (folder / "config.json").write_text("{ }")
    other = parameters.slices(asked, source="s", base=tmp_path)
    assert [name for name in one if one[name] != other[name]] == ["intent_code"]
    elsewhere = parameters.slices(parsed(architecture="cnn"), source="s", base=tmp_path)
    assert elsewhere["intent_code"] not in (one["intent_code"], other["intent_code"])


def test_checkpoints_do_not_hold_what_adalora_is_at() -> None:
    trainer = {"checkpoint": {"every": 5}}
    with pytest.raises(
        SpecError, match=r"^s: models\.intent: trainer\.checkpoint: holds no budget of text\.tune: adalora"
    ):
        parsed(architecture="text", text={"tune": "adalora"}, trainer=trainer)
    for tune in ("lora", "head"):
        assert parsed(architecture="text", text={"tune": tune}, trainer=trainer).models.intent.trainer.checkpoint
    assert parsed(architecture="text", text={"tune": "adalora"}).models.intent.text.tune == "adalora"
