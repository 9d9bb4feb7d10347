"""A space is checked with the spec: a field that is none, a value that the spec itself refuses, one line each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intent import search_space
from components.intent.networks import TREES
from components.intent.search_space import Range, Search
from components.intent.spec import IntentModel, read_by
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.cli import main

HEAD = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop"}
CSV = {"type": "csv", "events": {"path": "events.csv"}}


def document(space: Any, **intent: Any) -> dict[str, Any]:
    said = {"search": {"space": space}} | intent
    return HEAD | {"data": {"source": CSV}, "intents": [{"name": "visit"}], "models": {"intent": said}}


@pytest.mark.parametrize(
    ("space", "why"),
    [
        ({"widht": [32, 64]}, r"search.space: 'widht' names no field of models.intent; .*; did you mean 'width'\?"),
        ({"seed": [1, 2]}, "search.space: 'seed' is no setting to search for"),
        ({"width": {"low": 8, "high": 1024}}, "search.space.width: 1024 is refused: .* less than or equal to 512"),
        ({"width": {"low": 8, "high": 60}}, "search.space.width: 60 is refused: .* multiple of 8"),
        ({"width": {"low": 8, "high": 64, "log": True}}, "search.space.width: goes in steps of 8, and log in none"),
        ({"learning_rate": {"low": 0, "high": 0.1}}, "search.space.learning_rate: 0 is refused: .* greater than 0"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, "learning_rate: low 0.1 is not below high 0.01; turn them"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "learning_rate: log needs a low above 0, and it is 0"),
        ({"learning_rate": {"low": 0.1}}, "learning_rate: high is missing; use {low"),
        ({"learning_rate": {"lo": 0.1, "high": 1}}, "learning_rate: no such key 'lo'; .*; did you mean 'low'"),
        ({"learning_rate": [0.1, "fast"]}, "learning_rate: choices are of mixed kinds, 0.1, 'fast'; use all texts"),
        ({"learning_rate": [0.1]}, "learning_rate: 1 choices leave nothing to search"),
        ({"learning_rate": [0.1, 0.1]}, "learning_rate: a choice is listed twice"),
        ({"learning_rate": 0.1}, "learning_rate: 0.1 is no space; use {low"),
        ({"epochs": {"low": 1.5, "high": 3}}, "search.space.epochs: holds whole numbers, and 1.5 to 3 has others"),
        ({"width": ["32", "64"]}, "search.space.width: '32' would be taken for 32; write that"),
        ({"architecture": {"low": 1, "high": 2}}, "search.space.architecture: is no number; list choices"),
        ({"architecture": ["lstm", "lsmt"]}, "search.space.architecture: 'lsmt' is refused"),
        (
            {"trees.leaves": {"low": 7, "high": 63}},
            "transformer reads no trees.leaves; drop it, or add an architecture",
        ),
        ({"loss.focal": [0, 2]}, "search.space.loss.focal: 2 is refused: loss distorts probabilities"),
        ({"calibrate": ["none", "isotonic"]}, "search.space: 'calibrate' is no setting to search for"),
        ({"compress.prune": [0.0, 0.5]}, "search.space: 'compress.prune' is no setting to search for"),
        (
            {"architecture": ["transformer", "text"]},
            "architecture: 'text' reads the items of users' pasts, and training",
        ),
        ({"reads": ["steps", "events"]}, "search.space.reads: 'events' reads users' events, and training rows hold"),
        ({}, "at least 1"),
        ([], "holds no fields"),
    ],
)
def test_a_space_that_cannot_be_is_one_line(space: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why) as raised:
        spec.parse(document(space), place="shop.yaml")
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("shop.yaml: models.intent")


@pytest.mark.parametrize(("field", "value"), [("trials", 0), ("minutes", 0), ("mode", "soon"), ("trails", 5)])
def test_no_trials_no_time_and_another_mode_are_refused(field: str, value: Any) -> None:
    said = document({"width": [32, 64]})
    said["models"]["intent"]["search"][field] = value
    with pytest.raises(SpecError, match=rf"models.intent.search.{field}"):
        spec.parse(said, place="shop.yaml")


def test_the_command_line_says_it_in_one_line_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(document({"widht": [32, 64]})))
    with pytest.raises(SystemExit) as end:
        main(["plan", str(tmp_path / "shop.yaml")])
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "state").exists()


def test_a_spec_without_a_search_is_written_as_before() -> None:
    assert "search" not in IntentModel().model_dump(mode="json")


def test_a_space_survives_its_way_through_a_slice() -> None:
    space = {"architecture": ["lstm", "cnn"], "dropout": [0.0, 0.2], "learning_rate": {"low": 1e-3, "high": 1e-2}}
    model = IntentModel.model_validate({"search": {"trials": 4, "space": space}})
    assert IntentModel.model_validate_json(model.model_dump_json()) == model
    assert model.search is not None
    assert model.search.space["learning_rate"] == Range(low=1e-3, high=1e-2)
    assert model.search.space["architecture"] == ("lstm", "cnn")


def test_every_field_that_a_search_may_change_is_one_number_text_or_flag() -> None:
    found = search_space.fields(IntentModel)
    assert {"width", "learning_rate", "architecture", "trees.leaves", "loss.positives", "dropout"} <= set(found)
    assert not {"seed", "search", "trees", "loss", "search.trials", "calibrate"} & set(found)
    for name in found:
        assert isinstance(search_space.value_of(IntentModel(), name), bool | int | float | str), name


def test_the_example_of_the_page_is_a_spec() -> None:
    text = (ROOT / "docs" / "search.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    found = spec.parse(document({}) | yaml.safe_load(text), place="docs/search.md").models.intent.search
    assert found is not None
    assert len(found.space) == 4


def test_a_private_training_is_not_searched() -> None:
    """Each trial would spend a budget of its own, and the card would tell the last one's."""

    class Private(IntentModel):
        privacy: str = "epsilon 3"

    model = Private.model_validate({"search": {"space": {"width": [32, 64]}}})
    assert model.search is not None
    with pytest.raises(ValueError, match="every trial spends epsilon"):
        search_space.require(model, model.search, read_by)


def test_settings_of_another_architecture_drop_what_it_does_not_read() -> None:
    model = IntentModel.model_validate({"architecture": "lstm", "width": 128, "calibrate": "temperature"})
    found = search_space.settings(model, {"architecture": TREES, "trees.leaves": 15}, read_by)
    assert found == {"architecture": TREES, "calibrate": "temperature", "trees": {"leaves": 15}}
    assert IntentModel.model_validate(found).trees.leaves == 15
    back = search_space.settings(IntentModel.model_validate(found), {"architecture": "cnn", "width": 16}, read_by)
    assert back == {"architecture": "cnn", "width": 16, "calibrate": "temperature"}


def test_a_space_may_hold_fields_that_only_some_of_its_architectures_read() -> None:
    space = {"architecture": ["lstm", TREES], "width": [16, 32], "trees.leaves": {"low": 7, "high": 63}}
    assert Search.model_validate({"space": space}).trials == 20
    assert IntentModel.model_validate({"search": {"space": space}}).search is not None


EVENTS = {"architecture": "gru", "reads": "events"}


@pytest.mark.parametrize(
    ("intent", "space", "why"),
    [
        ({"architecture": "text"}, {"architecture": ["text", "cnn", TREES]}, ""),
        (EVENTS, {"architecture": ["gru", "text", TREES]}, ""),
        (EVENTS, {"reads": ["steps", "events"]}, ""),
        (EVENTS, {"architecture": ["gru", "text"], "reads": ["steps", "events"]}, "'text' reads the items of users'"),
        (
            EVENTS,
            {"titles": [False, True]},
            "search.space.titles: True reads vectors of titles, and training rows hold",
        ),
    ],
)
def test_every_choice_reads_what_rows_of_the_spec_s_own_settings_hold(
    intent: dict[str, Any], space: dict[str, Any], why: str
) -> None:
    if not why:
        assert spec.parse(document(space, **intent), place="shop.yaml").models.intent.search is not None
        return
    with pytest.raises(SpecError, match=why) as raised:
        spec.parse(document(space, **intent), place="shop.yaml")
    assert "\n" not in str(raised.value)


def test_titles_may_be_left_out_where_they_are_read() -> None:
    said = document({"titles": [True, False]}, **EVENTS) | {"vectors": {"text": {}}}
    assert spec.parse(said, place="shop.yaml").models.intent.titles
