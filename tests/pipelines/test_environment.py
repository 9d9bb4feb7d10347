"""Environments hold addresses; credentials come by reference."""

import json
import stat
from pathlib import Path

import pytest

from feature_repo.errors import SpecError
from pipelines.environment import FOLDER, place

GROCERY = Path("pipelines/specs/grocery.yaml")
CLUSTER = {
    "INTENTFLOW_FEAST_REGISTRY": "postgresql+psycopg://feast@db/feast",
    "INTENTFLOW_REDIS": "redis:6379",
    "INTENTFLOW_PSEUDONYM_KEY": "ab" * 16,
    "KF_PIPELINES_ENDPOINT": "http://ml-pipeline:8888",
}


def test_every_environment_of_the_repository_loads(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.yaml"):
        found = place(GROCERY, path.stem, variables=CLUSTER | {"INTENTFLOW_STATE": str(tmp_path)})
        assert found.environment.name == path.stem
        assert found.variables["MLFLOW_TRACKING_URI"]


def test_local_state_lies_below_the_recommenders_folder(tmp_path: Path) -> None:
    found = place(GROCERY, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert found.home == tmp_path / "grocery"
    for name in ("INTENTFLOW_FEAST", "MLFLOW_TRACKING_URI", "INTENTFLOW_EVIDENTLY", "INTENTFLOW_MLFLOW_ARTIFACTS"):
        assert str(found.home) in found.variables[name]


def test_planning_makes_no_key_and_running_makes_one_that_only_its_owner_reads(tmp_path: Path) -> None:
    found = place(GROCERY, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    key = found.home / "secrets" / "pseudonym.key"
    assert not key.exists()
    first = found.variables["INTENTFLOW_PSEUDONYM_KEY"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = place(GROCERY, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert again.variables["INTENTFLOW_PSEUDONYM_KEY"] == first


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    without = {k: v for k, v in CLUSTER.items() if k != "INTENTFLOW_REDIS"}
    with pytest.raises(SpecError, match=r"\$\{INTENTFLOW_REDIS\} is not set in the environment; export"):
        place(GROCERY, "cluster", variables=without | {"INTENTFLOW_STATE": str(tmp_path)})


def test_an_unknown_environment_names_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"--env: no environment 'locl'; have cluster, local; did you mean 'local'\?"):
        place(GROCERY, "locl", variables={})


def test_the_cluster_keeps_credentials_out_of_the_file() -> None:
    text = (FOLDER / "cluster.yaml").read_text()
    assert "://feast" not in text
    assert "password" not in text.lower()
    assert json.dumps("redis") not in text
