"""A shop whose intent model reads text, from its files to a served release: refit, replay and explanation agree."""

from pathlib import Path

import pytest
import yaml

from feature_repo import files
from feature_repo.release_folder import ReleaseFolder
from tests import text_worlds
from tests.pipelines.conftest import GATES, USER, open_shop

# Minutes: a whole run with a refit, a door, a second run beside a champion.
pytestmark = [pytest.mark.process, pytest.mark.world, pytest.mark.slow]


def test_a_recommender_that_reads_text_runs_serves_and_replays(tmp_path: Path) -> None:
    shop = open_shop(tmp_path)
    words = (*text_worlds.WORDS, *(f"i{n}" for n in range(16)))
    text_worlds.encoder(shop.folder / "encoder", words=words)
    document = yaml.safe_load(shop.spec.read_text())
    model = {"architecture": "text", "width": 16, "epochs": 2, "batch_size": 64, "calibrate": "temperature"}
    model["text"] = {"weights": "./encoder", "tune": "adapter", "rank": 4, "tokens": 48}
    shop.edit(models=document.get("models", {}) | {"intent": model}, promotion={"gates": GATES, "refit": True})
    done = shop.run("demo", str(shop.spec), "--user", USER, timeout=600)
    assert done.returncode == 0, done.stderr
    found = shop.json("parity", str(shop.spec))
    assert (found["mismatches"], found["passed"]) == (0, True), found
    assert found["checked"] > 0
    why = shop.json("why", str(shop.spec), "--user", USER)
    assert {"history_items"} <= {feature["name"] for feature in why["features"]}
    released = ReleaseFolder.read(next((shop.home / "releases").rglob("release.json")).parent)
    network = files.read_json(released.intent / "config.json")["network"]
    assert (network["architecture"], network["text"]["tune"], network["text"]["reads"]) == ("text", "plain", "items")
    assert (released.intent / "served_form.json").is_file()
    assert (released.intent / "thresholds.json").is_file()
    assert (released.intent / "calibration.json").is_file()
    # Other files of the encoder are another model: the step runs again, judged beside the champion and its twin.
    text_worlds.changed(shop.folder / "encoder", layer_norm_eps=1e-6)
    steps = shop.json("plan", str(shop.spec))["steps"]
    assert "train_intent" in steps
    assert "training_set" not in steps
    again = shop.run("run", str(shop.spec), timeout=600)
    assert again.returncode == 0, again.stderr
