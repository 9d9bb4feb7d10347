"""An encoder by another recommender's alias: fetched once, held by a digest, refused in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from components.intent import model, transfer
from components.intent.model import IntentNet
from components.intent.transfer_source import located
from components.registry.aliases import challenge
from feature_repo import env_names, files
from feature_repo.errors import DataError, SpecError
from feature_repo.vocabulary import Vocabulary
from pipelines import spec as specs
from pipelines.graphs import encoder_source, parameters
from tests.registry.conftest import TITLES, vocabulary

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
URI = "MLFLOW_TRACKING_URI"


def recommender(source: str, *, name: str = "wines") -> specs.Recommender:
    document: dict[str, Any] = {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": name,
        "data": {"source": {"type": "csv", "events": {"path": "events.csv"}}},
        "intents": [{"name": "visit"}],
        "models": {"intent": {"architecture": "cnn", "width": 8, "layers": 1, "pretrain": {"source": source}}},
    }
    return specs.parse(document, place="wines.yaml")


def pinned(home: Path, source: str, **fields: Any) -> str | None:
    return encoder_source.pinned(recommender(source, **fields), home=home, variables={URI: os.environ[URI]})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the state folder of the recommender that begins with another's encoder."""
    found = tmp_path / "state" / "wines"
    found.mkdir(parents=True)
    monkeypatch.setenv(env_names.HOME, str(found))
    return found


def test_an_alias_becomes_a_version_and_the_digest_of_its_weights(shared: Any, home: Path) -> None:
    made = shared.release()
    challenge("shared", made.version, passed=True, who="test", why="passed")
    found = pinned(home, "shared@challenger")
    folder = home / "encoders" / "shared" / made.version
    assert found == f"home:encoders/shared/{made.version}@{files.file_digest(folder / 'weights.safetensors')}"
    assert {path.name for path in folder.iterdir()} == {"config.json", "vocabulary", "weights.safetensors"}
    assert located(found, Path("/nowhere")) == folder
    assert pinned(home, f"shared@{made.version}") == found
    before = (folder / "config.json").stat().st_mtime_ns
    assert pinned(home, "shared@challenger") == found
    assert (folder / "config.json").stat().st_mtime_ns == before, "it is fetched once"


def test_a_run_trains_with_it_and_its_slice_changes_when_the_alias_moves(
    shared: Any, home: Path, tmp_path: Path
) -> None:
    made = shared.release()
    challenge("shared", made.version, passed=True, who="test", why="passed")
    spec, variables = recommender("shared@challenger"), {URI: os.environ[URI]}
    asked = parameters.slices(spec, source="s", base=tmp_path, home=home, variables=variables)
    source = json.loads(asked["intent_model"])["pretrain"]["source"]
    carried = model.load(home / "encoders" / "shared" / made.version)
    net = IntentNet(carried.shape)
    told = transfer.begin(net, vocabulary(*TITLES), source)
    assert told["alike"] == told["targets"] == 3
    files.write_json(home / "encoders" / "shared" / made.version / "config.json", {})
    with pytest.raises(DataError, match="holds trees, a rate or an ensemble"):
        located(source, tmp_path)
    unresolved = parameters.slices(spec, source="s", base=tmp_path)
    assert json.loads(unresolved["intent_model"])["pretrain"]["source"] == "shared@challenger"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("shared@champion", r"no version holds the alias 'champion'; aliases: challenger \(version"),
        ("shared@99", r"no version 99; have 1"),
        ("nobody@champion", r"nobody-release: nothing is registered under this name yet"),
    ],
)
def test_what_is_not_there_is_one_line(shared: Any, home: Path, source: str, line: str) -> None:
    challenge("shared", shared.release().version, passed=True, who="test", why="passed")
    with pytest.raises(SpecError, match=line) as error:
        pinned(home, source)
    assert "\n" not in str(error.value)
    assert not (home / "encoders").exists() or not list((home / "encoders").rglob("*.safetensors"))


def test_ones_own_champion_is_refused(shared: Any, home: Path) -> None:
    with pytest.raises(SpecError, match=r"wines@champion is this recommender's own, which has learnt from the weeks"):
        pinned(home, "wines@champion")


def test_a_neighbour_without_a_registry_is_named(shared: Any, home: Path) -> None:
    own = {URI: f"sqlite:///{home}/mlflow/mlflow.db"}
    with pytest.raises(SpecError, match=r"no registry at sqlite:///.*/state/shop/mlflow/mlflow.db; run the pipeline"):
        encoder_source.pinned(recommender("shop@champion"), home=home, variables=own)
    assert not (home.parent / "shop").exists()


def test_trees_events_and_people_are_refused(shared: Any, home: Path, tmp_path: Path) -> None:
    words = vocabulary(*TITLES)
    words.save(tmp_path / "vocabulary")
    for config, line in (
        ({"network": {"architecture": "gbdt"}}, "has an intent model of architecture gbdt, and what is carried"),
        ({"network": {"architecture": "cnn"}, "events": {}}, "architecture cnn over events, and what is carried"),
    ):
        files.write_json(tmp_path / "config.json", config)
        with pytest.raises(DataError, match=line):
            encoder_source._require_network(tmp_path, "shop@1")
    files.write_json(tmp_path / "config.json", {"network": {"architecture": "cnn"}})
    encoder_source._require_network(tmp_path, "shop@1")
    Vocabulary(words.targets, words.items, words.item_targets, people=True).save(tmp_path / "vocabulary")
    with pytest.raises(DataError, match="recommends people, whose names would be kept here"):
        encoder_source._require_network(tmp_path, "shop@1")


def test_what_a_run_fetched_and_a_step_does_not_find_is_told(shared: Any, home: Path) -> None:
    with pytest.raises(DataError, match=r"first step fetched, is not here; steps must share the state folder"):
        located("home:encoders/shop/3@0123456789ab", home)
