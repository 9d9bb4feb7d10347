"""What a pod's init container runs."""

import pytest

from components.registry.fetch import main
from feature_repo import files

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def test_a_pod_fetches_exactly_its_version(shared, tmp_path) -> None:
    shared.release()
    made = shared.release(spec="another00000")
    assert main(["shared", made.version, str(tmp_path / "release" / "current")]) == 0
    assert files.read_json(tmp_path / "release" / "current" / "release.json")["id"] == made.id


@WITHOUT_SERVER
def test_what_cannot_be_fetched_is_one_line_and_an_exit_code(shared, tmp_path, monkeypatch, caplog) -> None:
    shared.release()
    assert main(["shared", "champion", str(tmp_path / "current")]) == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["shared", "1", str(tmp_path / "current")]) == 1
    alias, server = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert alias.startswith("shared-release: no version holds the alias 'champion'")
    assert server.startswith("MLFLOW_TRACKING_URI=http://127.0.0.1:9: MLflow does not answer (Connection refused)")
    assert not (tmp_path / "current").exists()
