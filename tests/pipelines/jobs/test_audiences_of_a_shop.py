"""The job `audiences` on a shop whose spec asks for audiences and for values, from files to a published folder."""

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import place
from pipelines.jobs import audiences, run
from pipelines.jobs.spec import Audiences, Jobs
from tests.pipelines.conftest import GATES, RAW, USER, open_shop

pytestmark = pytest.mark.slow  # a demo of its own, a minute or more


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = open_shop(tmp_path_factory.mktemp("audiences"))
    models = yaml.safe_load(made.spec.read_text()).get("models", {})
    models["ranking"] = models.get("ranking", {}) | {"audiences": True, "recommend": ["category"]}
    made.edit(promotion={"gates": GATES}, models=models)
    done = made.run("demo", str(made.spec), "--user", USER, timeout=560)
    assert done.returncode == 0, done.stderr
    return made


def test_an_audience_is_published_whole_and_a_mistake_leaves_what_was_there(shop):
    at = place(shop.spec, "local", variables=shop.environment())

    def of(**names):
        jobs = Jobs(audiences=Audiences(of=names, most=5))
        return dataclasses.replace(at, environment=at.environment.model_copy(update={"jobs": jobs}))

    rows = Path(files.read_json(shop.home / "run.json")["folders"]["rows"])
    items = pq.read_table(rows / "vocabulary" / "items.parquet")["item_id"].to_pylist()
    found = run.run(of(one=(items[0],), two=tuple(items[:2])), "audiences")
    assert found.outcome == "done"
    folder = shop.home / audiences.FOLDER / files.read_json(shop.home / audiences.FOLDER / "latest.json")["folder"]
    lines = pq.read_table(folder / "audiences.parquet").to_pylist()
    assert {line["audience"] for line in lines} == {"one", "two"}
    assert all(0 < line["probability"] < 1 for line in lines)
    assert not any(RAW in line["user_id"] for line in lines), "pseudonyms, never raw ids"
    about = json.loads((folder / "audiences.json").read_text())
    assert about["of"]["two"]["reached"] >= about["of"]["one"]["reached"] >= about["of"]["one"]["users"] <= 5
    before = (folder / "audiences.parquet").read_bytes()
    with pytest.raises(SpecError, match="is no item of the release"):
        run.run(of(one=("nothing",)), "audiences")
    assert (folder / "audiences.parquet").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_the_evaluation_holds_values_and_probabilities(shop):
    folder = Path(files.read_json(shop.home / "run.json")["folders"]["ranking_evaluation"])
    found = json.loads((folder / "metrics.json").read_text())
    assert set(found["values"]) == {"category"}
    assert 0 <= found["audiences"]["expected_calibration_error"] < 0.2
