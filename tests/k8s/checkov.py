"""checkov over the rendered overlays, in an environment of its own: its pins are not the project's."""

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from pipelines.manifests import release_overlay

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "k8s" / "policies.json"
INSTALL_S, CHECK_S = 600, 300


def findings(folders, into):
    """Return what checkov finds in the renders of folders of k8s/, as (check, resource)."""
    for folder in folders:
        (into / f"{folder.replace('/', '-')}.yaml").write_text(release_overlay.render_text(ROOT / "k8s" / folder))
    command = [str(_installed()), "-d", str(into), "--framework", "kubernetes", "--quiet", "--compact", "-o", "json"]
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, timeout=CHECK_S, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(found["check_id"], found["resource"]) for found in report["results"]["failed_checks"]}


def unexplained(found, skipped):
    """Return the findings that no entry of the list explains."""
    return sorted(one for one in found if not any(_explains(entry, one) for entry in skipped))


def stale(found, skipped):
    """Return the entries of the list that explain nothing."""
    return [entry for entry in skipped if not any(_explains(entry, one) for one in found)]


def _explains(entry, one):
    check, resource = one
    return check == entry["check"] and fnmatchcase(resource, entry["resource"])


def _installed():
    """Return checkov of the recorded version; its environment is made on first use, whole or not at all."""
    version = json.loads(POLICIES.read_text())["checkov"]
    home = ROOT / "build" / f"checkov-{version}"
    if not (home / "installed").is_file():
        uv = str(Path(sys.executable).with_name("uv"))
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), f"checkov=={version}")
        (home / "installed").touch()
    return home / "bin" / "checkov"


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
