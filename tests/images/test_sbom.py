"""The bill of materials of an image names what is in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.requirements import DIRECT, LOCK, locked, normal
from tests.images.conftest import ROOT

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]


def test_it_lists_every_package_at_the_locks_version(serving: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    subprocess.run([sys.executable, str(ROOT / "k8s/images/sbom.py"), serving, str(file)], check=True, timeout=300)
    document = json.loads(file.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = {c["purl"].partition("@")[0]: c for c in document["components"]}
    versions = locked(LOCK)
    for name in map(normal, DIRECT):
        assert (
            components[f"pkg:pypi/{name.partition('[')[0]}"]["version"].partition("+")[0]
            == versions[name.partition("[")[0]]
        )
    assert "pkg:deb/debian/libc6" in components
    assert not any(purl.startswith("pkg:pypi/nvidia-cu") for purl in components), "the CPU image holds no CUDA"
    again = subprocess.run(
        [sys.executable, str(ROOT / "k8s/images/sbom.py"), serving],
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert json.loads(again.stdout) == document
