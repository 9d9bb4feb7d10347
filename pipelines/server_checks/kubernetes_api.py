"""Kubernetes: the API, the namespace, Secrets by name, storage, metrics, and what this account may do.

Of Secrets only the names of their keys are looked at, and none is kept. What this account may not read is said to be
unchecked.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from components.kube_api import Api, Forbidden, Object
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from pipelines.environment_spec import Kubernetes
from pipelines.manifests import release_overlay
from pipelines.namespace import connected
from pipelines.server_checks import secrets_named
from pipelines.server_checks.check import TIMEOUT_S, Check, words

OLDEST = (1, 30)  # `preStop.sleep` of the doors; before it the API server drops the field
ENFORCE = "pod-security.kubernetes.io/enforce"
METRICS = "apis/metrics.k8s.io/v1beta1"
SHARED = ("nfs", "cephfs", "efs.", "azurefile", "file.csi.azure", "filestore", "smb", "longhorn", "fsx", "lustre")
ROLE = ROOT / "k8s" / "components" / "reconciler" / "role.yaml"
Right = tuple[str, str, str]  # API group, resource, verb
STATUS_NEEDS: tuple[Right, ...] = (
    *(("apps", "deployments", "list"), ("", "pods", "list"), ("batch", "jobs", "list")),
    *(("batch", "cronjobs", "list"), ("", "configmaps", "get")),
)


def kubernetes(settings: Kubernetes) -> list[Check]:
    """Check a namespace of the cluster that the kubeconfig names."""
    try:
        api = connected(settings, read_s=TIMEOUT_S)
        said = api.document("version") or {}
    except SpecError as error:
        return [Check("kubernetes", False, str(error))]
    except ServerError as error:
        mend = "mend the kubeconfig (kubernetes.context) or the way to it"
        return [Check("kubernetes", False, f"{words(error)}; {mend}")]
    found = [_version(api, said)]
    try:
        rendered, unrendered = _rendered(settings.overlay)
        namespace = _namespace(api, settings.overlay)
        found += namespace
        if namespace[0].fine is not False:
            found += _secrets(api, rendered, unrendered)
        return [*found, _storage(api, rendered), _metrics(api), *_rights(api)]
    except ServerError as error:  # it answered, and does not any more
        return [*found, Check("kubernetes", False, words(error))]


def _version(api: Api, said: Object) -> Check:
    host, version = api.client.configuration.host, str(said.get("gitVersion", "?"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    oldest = ".".join(map(str, OLDEST))
    if numbers < OLDEST:
        return Check("kubernetes", False, f"{host} runs {version}; the manifests need {oldest} or newer: upgrade it")
    return Check("kubernetes", True, f"{host} runs {version}")


def _namespace(api: Api, overlay: str) -> list[Check]:
    name = api.namespace
    try:
        found = api.get("Namespace", name)
    except Forbidden:
        return [Check("namespace", None, f"{name}: not checked: this account may not get namespaces")]
    if found is None:
        return [Check("namespace", False, f"{name} does not exist; kubectl apply -k k8s/overlays/{overlay} makes it")]
    level = str((found["metadata"].get("labels") or {}).get(ENFORCE, ""))
    note = f"{name} enforces {level or 'none'}"
    if level != "restricted":
        note += f"; pods are held to it by: kubectl label --overwrite namespace {name} {ENFORCE}=restricted"
    return [Check("namespace", True, f"{name} exists"), Check("pod security", level == "restricted", note)]


def _secrets(api: Api, rendered: list[Object], unrendered: str) -> list[Check]:
    """Compare the Secrets that rendered and running objects name with those that are there."""
    found, fine = [], []
    for name, keys in secrets_named.needed([*rendered, *_running(api)]).items():
        try:
            secret = api.get("Secret", name)
        except Forbidden:
            return [Check("secrets", None, "not checked: this account may not get secrets")]
        have = None if secret is None else set(secret.get("data") or {})  # the values go with `secret`
        del secret
        if problems := list(_lacking(name, keys, have)):
            found += [Check(f"secret {name}", False, problem) for problem in problems]
        else:
            fine.append(name)
    there = f"{', '.join(fine)}: there, with the keys that pods need" if fine else "none is there"
    return [Check("secrets", True if fine or not found else None, f"{there}{unrendered}"), *found]


def _lacking(name: str, keys: dict[str, str], have: set[str] | None) -> Iterator[str]:
    if have is None:
        wanted = ", ".join(sorted(filter(None, keys)))
        yield (
            f"not there, {next(iter(keys.values()))} needs it ({wanted or 'any keys'}); "
            "k8s/overlays/local/secrets.sh shows how it is made"
        )
        return
    for key, user in keys.items():
        if key and key not in have:
            yield f"lacks the key {key}, which {user} needs; add it: kubectl edit or make the Secret anew"


def _rendered(overlay: str) -> tuple[list[Object], str]:
    """Return the overlay's objects; none, and why, where it cannot be rendered here."""
    try:
        return release_overlay.render(ROOT / "k8s" / "overlays" / overlay), ""
    except SpecError as error:  # no kubectl on this machine, or an overlay of another checkout
        return [], f" (of what runs only: {words(error)})"


def _running(api: Api) -> list[Object]:
    """Return what runs and its ConfigMaps, as far as this account may list them, with kinds as if rendered."""
    found: list[Object] = []
    for kind in ("Deployment", "CronJob", "ConfigMap"):
        try:
            found += [one | {"kind": kind} for one in api.listed(kind, {"app.kubernetes.io/part-of": "intentflow"})]
        except Forbidden:  # `rights` names it
            continue
    return found


def _storage(api: Api, rendered: list[Object]) -> Check:
    try:
        classes = api.listed("StorageClass", {})
    except Forbidden:
        return Check("storage", None, "not checked: this account may not list storageclasses")
    if not classes:
        return Check("storage", None, "no StorageClass: claims wait for volumes that somebody makes by hand")
    names = [str(one["metadata"]["name"]) for one in classes]
    many = [str(one["metadata"]["name"]) for one in classes if any(s in one["provisioner"] for s in SHARED)]
    note = f"StorageClass {', '.join(names)}; "
    if many:
        return Check("storage", True, f"{note}ReadWriteMany: {', '.join(many)}")
    claims = [one for one in rendered if one["kind"] == "PersistentVolumeClaim"]
    wanted = [str(one["metadata"]["name"]) for one in claims if "ReadWriteMany" in one["spec"]["accessModes"]]
    note += "ReadWriteMany: none that is known for it (event-volume and trainer need NFS, CephFS, EFS or the like)"
    return Check("storage", not wanted, note + (f", and {', '.join(wanted)} ask for it" if wanted else ""))


def _metrics(api: Api) -> Check:
    try:
        there = api.document(METRICS) is not None
    except Forbidden:
        return Check("metrics-server", None, "not checked: this account may not ask for metrics.k8s.io")
    blind = "not installed, so the autoscaler sees no load and keeps its minimum; install metrics-server"
    return Check("metrics-server", there, "answers" if there else blind)


def _rights(api: Api) -> list[Check]:
    """Ask the API server what this account may do, for `status` and for what a rollout does."""
    lists = {"rights: status": STATUS_NEEDS, "rights: rollout": tuple(rollout_needs())}
    every = sorted({right for rights in lists.values() for right in rights})
    with ThreadPoolExecutor(8) as pool:
        may = dict(zip(every, pool.map(lambda right: _may(api, right), every), strict=True))
    found = []
    for name, rights in lists.items():
        lacking = [f"{verb} {resource}" for group, resource, verb in rights if not may[group, resource, verb]]
        mend = f"; bind this account to a Role such as that of {ROLE.relative_to(ROOT)}"
        found.append(Check(name, not lacking, f"may not {', '.join(lacking)}{mend}" if lacking else "all are there"))
    return found


def rollout_needs() -> Iterator[Right]:
    """Yield what `reconcile` and `rollback` do in a namespace: the rights of the loop's own Role."""
    role: Any = next(yaml.safe_load_all(ROLE.read_text(encoding="utf-8")))
    for rule in role["rules"]:
        yield from ((g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"])


def _may(api: Api, right: Right) -> bool:
    group, resource, verb = right
    attributes = {"namespace": api.namespace, "group": group, "resource": resource, "verb": verb}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = api.create("SelfSubjectAccessReview", body | {"spec": {"resourceAttributes": attributes}})
    return bool(answer.get("status", {}).get("allowed"))
