"""checkov over rendered objects, in an environment of its own: its pins are not the project's.

checkov knows Kubernetes's own kinds. Pods that an operator or the rollout's loop makes from an object of another kind
(TrainingRuntime, SparkApplication, the Job in a ConfigMap) are shown to it as Jobs.
"""

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from pipelines.manifests.objects import OPERATED, workloads

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "k8s" / "policies.json"
INSTALL_S, CHECK_S = 600, 300


def findings(renders, into):
    """Return what checkov finds in renders, lists of objects by name, as (check, resource)."""
    for name, objects in renders.items():
        (into / f"{name}.yaml").write_text(yaml.safe_dump_all([*objects, *operated_pods(objects)]))
    command = [str(_installed()), "-d", str(into), "--framework", "kubernetes", "--quiet", "--compact", "-o", "json"]
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, timeout=CHECK_S, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(found["check_id"], found["resource"]) for found in report["results"]["failed_checks"]}


def operated_pods(objects):
    """Return Jobs with the pods that operators and the loop make of these objects."""
    spaces = {found["metadata"]["namespace"] for found in objects if "namespace" in found["metadata"]}
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": made.name.partition("/")[2].replace(" ", "-"),
                "namespace": min(spaces, default="default"),
            },
            "spec": {"template": {"metadata": {"labels": made.labels}, "spec": made.pod}},
        }
        for made in workloads(objects)
        if made.kind in (*OPERATED, "ConfigMap")
    ]


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
