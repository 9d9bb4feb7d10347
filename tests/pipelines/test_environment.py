"""Environments hold addresses; credentials come by reference."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from feature_repo.errors import SpecError
from feature_repo.online import feast_store
from feature_repo.privacy.pseudonyms import fingerprint, pseudonym
from pipelines.environment import FOLDER, exported, place
from pipelines.kubeflow import client
from pipelines.releases.release import variables

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


def test_the_key_of_encryption_at_rest_comes_by_reference_and_is_never_silently_absent(tmp_path: Path) -> None:
    path = tmp_path / "encrypted.yaml"
    path.write_text((FOLDER / "local.yaml").read_text() + "privacy: {key_env: SHOP_KEY}\n")
    state, keys = {"INTENTFLOW_STATE": str(tmp_path)}, "0b" * 32 + "," + "0a" * 32

    def found(more: dict[str, str], name: str = str(path)) -> str:
        return place(GROCERY, name, variables=state | more).variables["INTENTFLOW_DATA_KEYS"]

    assert found({"SHOP_KEY": keys}) == keys
    assert (found({}, "local"), found({"INTENTFLOW_DATA_KEYS": keys}, "local")) == ("", keys)
    for given in ({}, {"SHOP_KEY": ""}, {"SHOP_KEY": " , "}):
        with pytest.raises(SpecError, match=r"^privacy.key_env: SHOP_KEY is not set; export 64 hex digits.*leave the"):
            found(given)
    with pytest.raises(SpecError, match=r"^privacy.key_env: SHOP_KEY: a key of 6 characters is none; use 64 hex") as no:
        found({"SHOP_KEY": "secret"})
    assert "secret" not in str(no.value)


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


def test_kubeflow_s_address_is_asked_for_by_verbs_that_run_pipelines_there_only(tmp_path: Path) -> None:
    without = {k: v for k, v in CLUSTER.items() if k != "KF_PIPELINES_ENDPOINT"}
    for name in ("cluster", "cluster-postgres"):
        found = place(GROCERY, name, variables=without | {"INTENTFLOW_STATE": str(tmp_path)})
        assert found.environment.kubeflow is not None
        assert found.environment.kubeflow.host == ""
        with pytest.raises(
            SpecError, match=r"^kubeflow.host: empty in environment '.*export KF_PIPELINES_ENDPOINT, or"
        ):
            client.settings(found)


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


MOVED = "read here until 0.3; this is the environment's now (--env local), so move it there"
OLD = {"compute": {"steps": {"ingest": {"memory": "8Gi"}}}, "jobs": {"score": {"keep": 3}}}


def _written(folder: Path, stem: str, source: Path, **more: object) -> Path:
    path = folder / f"{stem}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(source.read_text()) | more))
    return path


def test_the_environment_says_what_steps_get_and_what_jobs_keep(tmp_path: Path) -> None:
    mine = _written(tmp_path, "mine", FOLDER / "local.yaml", **OLD)
    found = place(GROCERY, str(mine), variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert found.environment.compute.size("ingest").memory == "8Gi"
    assert found.environment.jobs.score.keep == 3
    assert found.spec.digest == place(GROCERY, "local", variables={}).spec.digest


def test_a_spec_of_before_is_read_with_one_line_that_says_where_it_belongs_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = _written(tmp_path, "shop", GROCERY, **OLD)
    found = place(old, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert found.environment.compute.size("ingest").memory == "8Gi"
    assert found.environment.jobs.score.keep == 3
    assert found.spec.digest == place(GROCERY, "local", variables={}).spec.digest
    said = f"compute, jobs: {MOVED}"
    assert [record.getMessage() for record in caplog.records] == [f"{old}: {said}"]


@pytest.mark.process
def test_the_line_is_on_stderr_and_json_stays_whole(tmp_path: Path) -> None:
    old = _written(tmp_path, "shop", Path("pipelines/specs/synthetic.yaml"), jobs=OLD["jobs"])
    command = [sys.executable, "-m", "pipelines.cli", "plan", str(old), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"INTENTFLOW_STATE": str(tmp_path)}
    )
    assert json.loads(done.stdout)["nothing"] is False
    assert done.stderr == f"{old}: jobs: {MOVED}\n"


def test_both_places_are_one_line(tmp_path: Path) -> None:
    old = _written(tmp_path, "shop", GROCERY, **OLD)
    mine = _written(tmp_path, "mine", FOLDER / "local.yaml", name="mine", jobs={"score": {"keep": 3}})
    with pytest.raises(SpecError) as caught:
        place(old, str(mine), variables={})
    assert str(caught.value) == (f"{old}: jobs: the environment 'mine' gives it too; keep it there and delete it here")


def test_a_mistake_in_a_spec_of_before_names_the_spec_and_the_nearest_step(tmp_path: Path) -> None:
    old = _written(tmp_path, "shop", GROCERY, compute={"steps": {"train_intnet": {"cpu": 1}}})
    with pytest.raises(
        SpecError, match=r"shop.yaml: compute.steps: no step 'train_intnet'; .*did you mean 'train_intent'"
    ):
        place(old, "local", variables={})


def test_a_thread_that_reads_the_environment_meanwhile_misses_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = place(GROCERY, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    monkeypatch.setenv("INTENTFLOW_CLOCK", "wall")  # one that the environment sets too
    monkeypatch.setenv("OF_ANOTHER", "kept")
    before, missed, stop = dict(os.environ), [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            missed.extend(name for name in before if name not in os.environ)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(300):
        with variables(at):
            assert os.environ["INTENTFLOW_CLOCK"] == "data_end"
    stop.set()
    thread.join()
    assert missed == []
    assert dict(os.environ) == before


def test_what_others_set_while_variables_are_exported_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OURS", raising=False)
    monkeypatch.setenv("THEIRS", "before")
    with exported({"OURS": "1"}):
        os.environ["THEIRS"] = "after"
    assert os.environ["THEIRS"] == "after"
    assert "OURS" not in os.environ
