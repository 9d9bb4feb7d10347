"""Rendered objects against their published schemas: Kubernetes's own, and the vendored ones of custom kinds.

Unknown fields are refused everywhere. `k8s/schemas/` holds one file a custom kind (SOURCES.md there says where each
came from, `rebuild.py` writes them again); types that Kubernetes defines itself are looked up in kubernetes-validate's
schemas, so a custom kind's resources or tolerations are held to the same version. What only a cluster's admission
rules (CEL) check is not checked here.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from feature_repo.checkout import K8S

Object = dict[str, Any]

KUBERNETES = "1.36"  # the API version that manifests are written for and checked against
FOLDER = K8S / "schemas"
# Its own `validate` reads half a megabyte of definitions for every object: its schemas are read once here.
OWN = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
DEFINITIONS = "https://kubernetes.io/api/_definitions.json"  # the name that kubernetes-validate's file gives itself
# Kinds in use that publish no schema which could be had: (apiVersion, kind). An object of one passes unseen and is
# counted as such; an object of any other unknown kind is refused.
UNVALIDATED: frozenset[tuple[str, str]] = frozenset()


def problems(found: Object) -> Iterator[str]:
    """Yield what an object's schema refuses: the place, and why."""
    kind = (found["apiVersion"], found["kind"])
    path = vendored().get(kind) or _own(*kind)
    if path is not None:
        for error in _validator(path).iter_errors(found):
            place = ".".join(str(part) for part in error.path) or "the object"
            yield f"{place}: {error.message[:300]}"
    elif kind not in UNVALIDATED:
        yield f"Kubernetes {KUBERNETES} has no {kind[1]} in {kind[0]}, and k8s/schemas/ has none either"


@functools.cache
def vendored() -> dict[tuple[str, str], Path]:
    """Return the vendored schemas by (apiVersion, kind), from their files' names: group/Kind.version.json."""
    found = {}
    for path in sorted(FOLDER.glob("*/*.json")):
        kind, version, _ = path.name.split(".")
        found[f"{path.parent.name}/{version}", kind] = path
    return found


@functools.cache
def kubernetes_types() -> dict[str, str]:
    """Return Kubernetes's own types by the names that generators give them.

    >>> kubernetes_types()["IoK8sApiCoreV1Toleration"]
    'io.k8s.api.core.v1.Toleration'
    """
    names = _definitions()["$defs"]
    return {"".join(part[:1].upper() + part[1:] for part in re.split(r"[.-]", name)): name for name in names}


def _own(api_version: str, kind: str) -> Path | None:
    """Return the file of one of Kubernetes's own kinds, None where this version has no such kind."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    path = OWN / f"{kind.lower()}-{group}.json"
    return path if path.is_file() else None


@functools.cache
def _definitions() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((OWN / "_definitions.json").read_text())
    return read


@functools.cache
def _validator(path: Path) -> Any:
    registry: Any = Registry().with_resource(DEFINITIONS, Resource.from_contents(_definitions()))
    return Draft202012Validator(json.loads(path.read_text()), registry=registry)
