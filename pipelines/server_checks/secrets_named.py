"""Which Secrets, and which keys of them, rendered or running objects need. Pure; only names are known here.

A pod names a key itself, or takes a whole Secret as variables: then the needed keys are those that the environment file
in its ConfigMap asks for as ${NAME}, and for a door those that its code reads.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from feature_repo import env_names
from pipelines.manifests.objects import JOB, Object, containers, workloads

ENVIRONMENT = "environment.yaml"
DOOR = "recommender"  # the Secret of doors and model services, and what they read of it
DOOR_KEYS = (env_names.FEAST, env_names.PSEUDONYM_KEY)


def needed(objects: Iterable[Object]) -> dict[str, dict[str, str]]:
    """Return for each Secret the needed keys, '' for the Secret itself, and what needs them."""
    there = list(objects)
    maps = {o["metadata"]["name"]: o.get("data") or {} for o in there if o["kind"] == "ConfigMap"}
    found: dict[str, dict[str, str]] = {}
    for workload in workloads([o for o in there if o["kind"] != "ConfigMap" or JOB in (o.get("data") or {})]):
        for secret, key in _of_pod(workload.pod, maps):
            found.setdefault(secret, {}).setdefault(key, workload.name)
    return dict(sorted(found.items()))


def _of_pod(pod: Object, maps: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for _, container in containers(pod):
        yield from _of_container(container, pod, maps)
    for volume in pod.get("volumes", []):
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        for secret in (source["secret"] for source in sources if "secret" in source):
            if not secret.get("optional"):
                name = str(secret.get("secretName") or secret.get("name"))
                yield name, ""
                yield from ((name, str(item["key"])) for item in secret.get("items", []))


def _of_container(container: Object, pod: Object, maps: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference and not reference.get("optional"):
            yield str(reference["name"]), str(reference["key"])
    sources = container.get("envFrom", [])
    whole = [str(s["secretRef"]["name"]) for s in sources if "secretRef" in s and not s["secretRef"].get("optional")]
    for name in whole:
        yield name, ""
        if name == DOOR:
            yield from ((name, key) for key in DOOR_KEYS)
    if len(whole) == 1:  # of two, nobody can say which has a key
        given = {str(v["name"]) for v in container.get("env", [])}
        given |= {key for s in sources if "configMapRef" in s for key in maps.get(s["configMapRef"]["name"], {})}
        yield from ((whole[0], key) for key in _asked(container, pod, maps) if key not in given)


def _asked(container: Object, pod: Object, maps: dict[str, Any]) -> list[str]:
    """Return the variables that the environment files in a container's volumes ask for."""
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    names: set[str] = set()
    for volume in pod.get("volumes", []):
        text = maps.get(volume.get("configMap", {}).get("name"), {}).get(ENVIRONMENT)
        if text and volume["name"] in mounted:
            document = yaml.safe_load(text)  # read, so that what a comment says asks for nothing
            names |= set(re.findall(r"\$\{(\w+)\}", json.dumps(document)))
            for part in ("pseudonyms", "privacy"):
                names |= {str(value) for key, value in (document.get(part) or {}).items() if key.endswith("_env")}
    return sorted(names)
