"""A policy that passed becomes a version, and a release with the models that serve; made again, it is found."""

import json
from pathlib import Path

import pytest

from components.registry import client as mlflow_client
from components.registry import policy_release, release
from components.registry.aliases import status
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
CANDIDATE = {
    "name": "learned@1",
    "slice": {
        "name": "learned@1",
        "settings": {
            "centre": [0.0, 0.5],
            "scale": [1.0, 0.2],
            "weights": [0.4, -1.0],
            "temperature": 0.3,
            "candidates": 9,
        },
        "guard": {"share": 0.2},
    },
}
VERDICT = {"verdict": "passed", "why": "its lower bound 0.3 is above the running policy's 0.2", "value": 0.4,
           "running": 0.2, "ess": 2000.0}  # fmt: skip


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "learned"
    folder.mkdir()
    files.write_json(folder / "candidate.json", CANDIDATE)
    files.write_json(folder / "verdict.json", VERDICT)
    return folder


def test_the_release_has_the_same_models_and_the_new_policy(shared, artifact, tmp_path) -> None:
    base = shared.release()
    version = policy_release.register_policy("shared", base.version, release=base.id, folder=str(artifact))
    assert version != base.version
    found = ReleaseFolder.verified(release.assemble("shared", version, tmp_path / "release"))
    before = ReleaseFolder.verified(release.assemble("shared", base.version, tmp_path / "base"))
    assert found.policy == "learned@1"
    assert found.slices["policy"] == CANDIDATE["slice"]
    for part in ("intent", "ranking"):
        assert found.document[part] == before.document[part]
        assert (found.path / part / "weights.safetensors").read_bytes() == (
            before.path / part / "weights.safetensors"
        ).read_bytes()
    changed = {key for key in found.document if found.document[key] != before.document.get(key)}
    assert changed == {"id", "policy", "serving", "learned_policy"}
    with mlflow_client.connected() as client:
        policy = client.get_model_version("shared-policy", found.document["learned_policy"]["version"])
        tags = client.get_model_version("shared-release", version).tags
        assert policy.tags["digest"] == files.digest(CANDIDATE) == found.document["learned_policy"]["digest"]
        assert policy.description == VERDICT["why"]
        kept = release.fetched(f"shared-policy/{policy.version}", "candidate.json", tmp_path / "kept")
        figures = client.get_run(policy.run_id).data.metrics
    assert json.loads(kept.read_text()) == CANDIDATE
    assert figures == {"policy.value": 0.4, "policy.running": 0.2, "policy.ess": 2000.0}
    assert tags["gates"] == "passed"
    assert tags["policy_of_version"] == base.version
    assert json.loads(tags["policy_verdict"]) == VERDICT
    assert status("shared").holders["challenger"] == version
    again = policy_release.register_policy("shared", base.version, release=base.id, folder=str(artifact))
    assert again == version
    same = policy_release.register_policy("shared", version, release=found.id, folder=str(artifact))
    assert same == version, "a release that has this very policy stays as it is"


def test_a_champion_that_changed_meanwhile_is_refused(shared, artifact) -> None:
    base = shared.release()
    with pytest.raises(DataError, match=f"shared-release {base.version}: is release {base.id}, not another; run again"):
        policy_release.register_policy("shared", base.version, release="another", folder=str(artifact))
