"""What a render no longer shows: files of k8s/ that set an image's tag or a model's version that they must not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.manifests.policies import RELEASE, VERSIONS


def broken_sources(folder: Path) -> list[str]:
    """Return where a file of k8s/ says an image's tag or a model's version that is not its to say."""
    problems = []
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            problems += [f"{path.relative_to(folder)}: {problem}" for problem in _misplaced(path, document)]
    return problems


def _misplaced(path: Path, document: Any) -> Iterator[str]:
    """Yield the image references and versions of one document that belong elsewhere."""
    for where, value in _leaves(document, ""):
        name = where.rpartition(" ")[2] if " " in where else where.rpartition("/")[2]
        if name == "image" and isinstance(value, str) and re.search(r"[:@/]", value):
            yield f"{where}: image '{value}' must be a bare name; kustomization `images:` says its tag"
        if name in ("newTag", "newName", "digest") and path.name != "kustomization.yaml":
            yield f"{where}: belongs into a kustomization"
        said = isinstance(value, str) and re.match(r"INTENTFLOW_(RELEASE|INTENT|RANKING)_(ID|VERSION)=", value)
        if said and path.parts[-2:] != ("base", "kustomization.yaml"):
            yield f"{where}: '{value}' is the release's to say, in ConfigMap {RELEASE}"
        if name in VERSIONS and value != "0":
            yield f"{where}: {value} is the release's to say; it is 0 here"


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            # An annotation's own slash must not look like a step down.
            yield from [(f"{where} {key}", one)] if key in VERSIONS else _leaves(one, f"{where}/{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{where}/{number}")
    else:
        yield where.lstrip("/"), value
