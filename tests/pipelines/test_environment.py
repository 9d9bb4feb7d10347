"""Environments hold addresses; credentials come by reference."""

import json
import stat
from pathlib import Path

import pytest

from feature_repo.errors import SpecError
from feature_repo.online import feast_store
from feature_repo.privacy.pseudonyms import fingerprint, pseudonym
from pipelines.environment import FOLDER, place

GROCERY = Path("pipelines/specs/grocery.yaml")
CLUSTER = {
    "INTENTFLOW_FEAST_REGISTRY": "postgresql+psycopg://feast@db/feast",
    "INTENTFLOW_REDIS": "redis:6379",
    "INTENTFLOW_POSTGRES_HOST": "postgres",
    "INTENTFLOW_POSTGRES_PASSWORD": "secret",
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


def test_a_previous_key_comes_by_reference_too_and_its_absence_is_one_line(tmp_path: Path) -> None:
    text = (FOLDER / "local.yaml").read_text()
    (tmp_path / "old.key").write_text("0a" * 16)

    def named(previous: Path) -> Path:
        line = f'pseudonyms: {{key_file: "{{home}}/new.key", previous_key_file: "{previous}"}}\n'
        path = tmp_path / "changed.yaml"
        path.write_text("".join(row for row in text.splitlines(keepends=True) if "pseudonyms:" not in row) + line)
        return path

    state = {"INTENTFLOW_STATE": str(tmp_path)}
    found = place(GROCERY, str(named(tmp_path / "old.key")), variables=state)
    assert found.variables["INTENTFLOW_PREVIOUS_PSEUDONYM_KEYS"] == "0a" * 16
    assert found.people == {"key": fingerprint(found.variables["INTENTFLOW_PSEUDONYM_KEY"])}
    with pytest.raises(SpecError, match=r"previous_key_file: no file .*; once a rotation is complete, leave it out"):
        _ = place(GROCERY, str(named(tmp_path / "no.key")), variables=state).variables


def test_the_key_of_one_environment_tells_nobody_of_another(tmp_path: Path) -> None:
    places = [place(GROCERY, "local", variables={"INTENTFLOW_STATE": str(tmp_path / name)}) for name in ("a", "b")]
    places.append(place(GROCERY, "cluster", variables=CLUSTER | {"INTENTFLOW_STATE": str(tmp_path)}))
    keys = [found.variables["INTENTFLOW_PSEUDONYM_KEY"] for found in places]
    assert len({pseudonym("raw-user-7f3a", key) for key in keys}) == 3
    assert len({found.people["key"] for found in places}) == 3


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
    with pytest.raises(SpecError, match=r"--env: no environment 'locl'; have cluster.* did you mean 'local'\?"):
        place(GROCERY, "locl", variables={})


def test_the_cluster_keeps_credentials_out_of_the_file() -> None:
    text = (FOLDER / "cluster.yaml").read_text()
    assert "://feast" not in text
    assert "password" not in text.lower()
    assert json.dumps("redis") not in text


def test_the_environment_chooses_what_computes_the_features(tmp_path: Path) -> None:
    local = (FOLDER / "local.yaml").read_text()
    (tmp_path / "big.yaml").write_text(
        local.replace("{engine: duckdb}", '{engine: spark, spark: {spark.master: "local[4]"}}')
    )
    found = place(GROCERY, str(tmp_path / "big.yaml"), variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert found.variables["INTENTFLOW_PROFILES_ENGINE"] == "spark"
    assert json.loads(found.variables["INTENTFLOW_SPARK"]) == {"spark.master": "local[4]"}


@pytest.mark.parametrize("name", ["local", "cluster", "cluster-postgres"])
def test_feast_understands_the_store_that_an_environment_names(name: str, tmp_path: Path) -> None:
    found = place(GROCERY, name, variables=CLUSTER | {"INTENTFLOW_STATE": str(tmp_path)})
    config = feast_store.config("grocery", json.loads(found.variables["INTENTFLOW_FEAST"]))
    kind = feast_store.kind(config.online_store)
    assert kind == {"local": "sqlite", "cluster": "redis", "cluster-postgres": "postgres"}[name]
    if kind == "redis":
        assert (config.online_store.skip_dedup, config.online_store.key_ttl_seconds) == (True, 400 * 86_400)
        assert config.online_store.connection_string.startswith("redis:6379,socket_timeout=2.0")
    if kind == "postgres":
        assert (config.online_store.timeout_s, config.online_store.sslmode) == (2.0, "require")
