"""A shop whose intent model reads events, from its spec to the door: a run, its refit, answers, and their replays."""

import pytest
import yaml

from components.intent import numpy_net
from components.intent.score import IntentScorer
from feature_repo import columns, files
from feature_repo.release_folder import ReleaseFolder
from pipelines.releases.release import models_of
from tests.pipelines.conftest import GATES, USER, Shop, open_shop

pytestmark = [pytest.mark.process, pytest.mark.slow]  # a run of the whole pipeline, and a door: a minute


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop whose demo has run with a network of events that reads titles, refitted."""
    shop = open_shop(tmp_path_factory.mktemp("reading"))
    document = yaml.safe_load(shop.spec.read_text())
    intent = document.get("models", {}).get("intent", {}) | {
        "architecture": "gru", "reads": "events", "width": 16, "layers": 1, "epochs": 2, "calibrate": "isotonic",
    }  # fmt: skip
    models = document.get("models", {}) | {"intent": intent}
    gates = {"gates": [{"metric": "intent.map", "tolerance": 0.5}, *GATES[1:]], "refit": True}
    shop.edit(models=models, promotion=gates, vectors={"text": {"columns": ["title"]}})
    done = shop.run("demo", str(shop.spec), "--user", USER)
    assert done.returncode == 0, done.stderr
    (shop.folder / "demo.out").write_text(done.stdout)
    return shop


def released(shop: Shop) -> ReleaseFolder:
    report = files.read_json(shop.home / "report.json")
    return ReleaseFolder.read(models_of(shop.home, report["release"]["id"]))


def test_the_release_serves_a_network_of_events_in_numpy(reading: Shop) -> None:
    release = released(reading)
    assert release.slices["profiles"]["memory"] == "training"
    shape = numpy_net.shape_of(release.intent)
    assert (shape.architecture, shape.events) == ("gru", columns.MEMORY_EVENTS)
    assert shape.items > 0
    assert numpy_net.served(release.intent) is not None
    scorer = IntentScorer.served(release.intent)
    assert scorer.events is not None
    assert scorer.calibration is not None


def test_answers_are_the_models_and_replays_agree(reading: Shop) -> None:
    told = reading.json("why", str(reading.spec), "--user", USER)
    row = {feature["name"]: feature["value"] for feature in told["features"]}
    assert len(row["event_at"]) == columns.MEMORY_EVENTS or len(row["event_at"]) > 20
    checked = reading.json("parity", str(reading.spec))
    assert checked["passed"], checked
    assert checked["checked"] > 0


def test_batch_scoring_reads_the_same_events(reading: Shop) -> None:
    done = reading.run("run", str(reading.spec), "--pipeline", "batch")
    assert done.returncode == 0, done.stderr


def test_the_next_run_compares_with_the_champion_on_its_own_events(reading: Shop) -> None:
    done = reading.run("run", str(reading.spec), "--note", "again")
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr


def test_no_leak_is_found_in_the_rows_of_events(reading: Shop) -> None:
    done = reading.run("doctor", str(reading.spec), "--leaks")
    assert done.returncode == 0, done.stdout + done.stderr
