"""A shop whose intent model reads what users wrote, from its files to a served release: masked, and replays agree."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from feature_repo import files
from feature_repo.release_folder import ReleaseFolder
from tests import text_worlds
from tests.pipelines.conftest import GATES, USER, open_shop

pytestmark = [pytest.mark.process, pytest.mark.world, pytest.mark.slow]  # a whole run, and a door: minutes
SAID = ("far too sweet, ann@cellar.example", "", "just right", "")


def test_a_recommender_that_reads_what_users_wrote_runs_serves_and_replays(tmp_path: Path) -> None:
    shop = open_shop(tmp_path)
    words = (*text_worlds.WORDS, *(f"i{n}" for n in range(16)), "far", "too", "sweet", "just", "right", ":")
    text_worlds.encoder(shop.folder / "encoder", words=words)
    head, *lines = (shop.folder / "orders.csv").read_text().splitlines()
    told = [f'{line},"{SAID[n % len(SAID)]}"' for n, line in enumerate(lines)]
    (shop.folder / "orders.csv").write_text("\n".join([f"{head},review", *told]) + "\n")
    document = yaml.safe_load(shop.spec.read_text())
    document["data"]["source"]["events"]["columns"]["text"] = "review"
    model = {"architecture": "text", "reads": "events", "width": 16, "epochs": 2, "batch_size": 64}
    model["text"] = {"weights": "./encoder", "tokens": 64}
    models = document.get("models", {}) | {"intent": model}
    shop.edit(data=document["data"], models=models, promotion={"gates": GATES})
    done = shop.run("demo", str(shop.spec), "--user", USER, timeout=600)
    assert done.returncode == 0, done.stderr
    released = ReleaseFolder.read(next((shop.home / "releases").rglob("release.json")).parent)
    network = files.read_json(released.intent / "config.json")["network"]
    assert (network["architecture"], network["text"]["reads"]) == ("text", "written")
    assert (released.intent / "served_form.json").is_file()
    found = shop.json("parity", str(shop.spec))
    assert (found["mismatches"], found["passed"]) == (0, True), found
    assert found["checked"] > 0
    kept = [path for path in shop.home.rglob("*") if path.is_file() and b"cellar.example" in path.read_bytes()]
    assert kept == [], "nobody's address is anywhere below the state folder"
    texts = [
        pq.read_table(path, columns=["text"])["text"].to_pylist()
        for path in shop.home.rglob("events.parquet")
        if "text" in pq.read_schema(path).names
    ]
    assert texts
    assert {"far too sweet,", "just right", None} >= {text for column in texts for text in column}
