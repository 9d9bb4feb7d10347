"""The way a pod takes: an init container of the steps image fetches a release from MLflow, a door serves the folder."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.images.conftest import USER, podman
from tests.registry import conftest as registries

started, server, database, sqlite = registries.started, registries.server, registries.database, registries.sqlite
store, lineage, kept, shared = registries.store, registries.lineage, registries.kept, registries.shared
pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_an_init_container_fetches_exactly_its_version(
    steps: str,
    shared: registries.Shared,
    tmp_path: Path,
) -> None:
    made = shared.release()
    folder = tmp_path / "release"
    folder.mkdir()
    subprocess.run(["chown", USER, str(folder)], check=True)
    for parent in folder.parents[:4]:
        parent.chmod(parent.stat().st_mode | 0o055)
    said = podman(
        *("run", "--rm", "--network", "host", "--user", USER, "--read-only", "--cap-drop", "all", "--memory", "1g"),
        *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--tmpfs", "/tmp:mode=1777"),
        *("--volume", f"{folder}:/release", "--env", f"MLFLOW_TRACKING_URI={os.environ['MLFLOW_TRACKING_URI']}", steps),
        *("python", "-m", "components.registry.fetch", "shared", made.version, "/release/current"),
        timeout_s=300,
    )
    assert (folder / "current" / "release.json").is_file(), said
    assert (folder / "current" / "release.json").stat().st_uid == 10001
