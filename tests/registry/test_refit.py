"""The release that serves in place of the judged one: what it carries, and that it is found again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import conditions
from components.registry import champion, component, refit, release
from components.registry import client as mlflow_client
from components.registry.aliases import status
from components.registry.lineage import Folders
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
GATES = [{"metric": "intent.map", "against": "baseline"}]
SERVING = json.dumps({"profiles": {"windows_days": [7, 28, 91]}})
PARTS = ("intent", "ranking")


@pytest.fixture
def refolders(shared, make) -> Folders:
    """The refit of the shared result: other weights, the judged evaluations."""
    made = make(seed=7)
    for part in PARTS:
        about = {"weeks": list(range(5, 21)), "rows": 9, "epochs": 2}
        proof = conditions.proof(shared.folders.model(part), "5ha2ed")
        files.write_json(made.model(part) / conditions.FILE, proof | about)
    judged = shared.folders
    return replace(made, intent_evaluation=judged.intent_evaluation, ranking_evaluation=judged.ranking_evaluation)


@pytest.fixture
def run(shared, lineage, refolders, tmp_path, own_rows):
    """Run the steps behind register, as the pipeline does."""

    def call(folders=refolders, *, gates=GATES, mode="auto") -> str:
        at = {name: SimpleNamespace(path=str(path)) for name, path in vars(shared.folders).items()}
        passed = component.register.python_func(
            "shared", lineage.model_dump_json(), json.dumps({"gates": gates, "refit": True}), SERVING, mode,
            *(at["clean"], at["intent"], at["intent_evaluation"], at["ranking"], at["ranking_evaluation"]),
            *own_rows,
            SimpleNamespace(path=str(tmp_path / "report")), SimpleNamespace(log_metric=lambda name, value: None),
            str(tmp_path / "version"),
        )  # fmt: skip
        if not passed:
            return ""
        version: str = component.register_refit.python_func(
            "shared", (tmp_path / "version").read_text(), lineage.model_dump_json(), SERVING,
            *(SimpleNamespace(path=str(path)) for name, path in vars(folders).items() if name != "session"),
        )  # fmt: skip
        component.promote.python_func("shared", version, mode, "test")
        return version

    return call


def _tags(version: str) -> dict[str, str]:
    with mlflow_client.connected() as client:
        return dict(client.get_model_version("shared-release", version).tags)


def test_the_refit_serves_and_carries_both_digests(run, shared, refolders, tmp_path) -> None:
    assert run() == "2"
    assert status("shared").holders == {"champion": "2"}
    folder = ReleaseFolder.read(release.assemble("shared", "champion", tmp_path / "release"))
    judged, twin = folder.judged, _tags("1")
    assert (judged["version"], judged["id"]) == ("1", twin["id"])
    for part in PARTS:
        assert judged[part]["digest"] == twin[f"{part}_digest"] == shared.registered.versions[part].digest
        assert folder.document[part]["digest"] != judged[part]["digest"]
    assert judged["conditions"] == {"intent": "5ha2ed", "ranking": "5ha2ed"}
    assert judged["weeks"]["intent"] == [5, 20]
    served = (folder.intent / "weights.safetensors").read_bytes()
    assert served == (refolders.intent / "weights.safetensors").read_bytes()


def test_verdict_and_figures_are_the_judged_twins(run) -> None:
    run()
    mine, twin = _tags("2"), _tags("1")
    assert {key: mine[key] for key in refit.OF_VERDICT} == {key: twin[key] for key in refit.OF_VERDICT}
    assert (mine[refit.TWIN], mine[refit.TWIN_ID]) == ("1", twin["id"])
    assert refit.TWIN not in twin
    found = champion.champion("shared")
    assert found is not None
    assert found.values["intent.map"] == 0.3
    with mlflow_client.connected() as client:
        about = client.get_model_version("shared-release", "2").description
    assert about.startswith("Refit of version 1 on all ripe weeks; judged was that version.")


def test_a_second_run_changes_nothing(run) -> None:
    run()
    before = status("shared")
    assert run() == "2"
    assert status("shared") == before


def test_only_the_refit_waits_for_a_person(run) -> None:
    run(mode="manual")
    assert status("shared").holders == {"challenger": "2"}
    assert "refit of version 1 on weeks 5 to 20" in status("shared").history[-1].why


def test_what_its_gates_refuse_is_not_refitted(run) -> None:
    assert run(gates=[{"metric": "intent.map", "against": "value", "limit": 0.9}]) == ""
    assert status("shared").holders == {}


def test_models_of_other_weights_are_no_refit(run, refolders) -> None:
    said = files.read_json(refolders.ranking / conditions.FILE)
    files.write_json(refolders.ranking / conditions.FILE, said | {conditions.JUDGED: "0" * 64})
    with pytest.raises(DataError, match="shared-release/1: the refitted ranking model is one of other weights"):
        run()
    assert status("shared").holders == {}  # the judged version waits for a person to promote it by number


def test_without_a_refit_the_judged_release_serves(run, refolders, tmp_path) -> None:
    empty = {part: tmp_path / f"empty-{part}" for part in PARTS}
    for folder in empty.values():
        shutil.rmtree(folder, ignore_errors=True)
        conditions.unasked(folder)
    assert run(replace(refolders, **empty)) == "1"
    assert status("shared").holders == {"champion": "1"}
    folder = ReleaseFolder.read(release.assemble("shared", "champion", Path(tmp_path / "release")))
    assert folder.judged == {}
    assert "judged" not in folder.document
