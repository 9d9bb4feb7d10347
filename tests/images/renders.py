"""Every render whose commands are run: the overlays, each option on one of them, and the tests' own small cluster."""

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from feature_repo.checkout import K8S
from pipelines.manifests import release_overlay
from pipelines.manifests.objects import Object

OVERLAYS = ("local", "gpu", "production")
# Options that tests/k8s/test_overlays.py leaves to other tests, on the overlay where those have them.
OTHERS = [
    ("local", ["jobs", "materialise"]),
    ("local", ["reconciler"]),
    ("local", ["console"]),
    ("local", ["trainer", "spark"]),
    ("local", ["trainer", "trainer/gpu"]),
]
SPEC = Path(__file__).with_name("recommender.yaml")
SPECS = ("jobs-spec", "materialise-spec", "reconciler-spec", "console-spec")  # ConfigMaps that hold a spec


def render(folder: Path, overlay: str, options: Sequence[str], *, spec: bool = False) -> list[Object]:
    """Render an overlay with options on top, and the tests' spec in the options' ConfigMaps as a person's would be."""
    home = folder.resolve()
    components = [os.path.relpath(K8S / "components" / option, home) for option in options]
    if spec:
        _settings(folder / "settings", options)
        components.append("settings")
    document = {
        "namespace": "intentflow",
        "resources": [os.path.relpath(K8S / "overlays" / overlay, home)],
        "components": components,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return release_overlay.render(folder)


def _settings(folder: Path, options: Sequence[str]) -> None:
    folder.mkdir()
    (folder / SPEC.name).write_text(SPEC.read_text(encoding="utf-8"), encoding="utf-8")
    generators = [
        {"name": name, "behavior": "merge", "files": [SPEC.name]}
        | ({} if name == "materialise-spec" else {"options": {"immutable": True}})
        for name in SPECS
        if name.partition("-")[0] in options
    ]
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": generators,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
