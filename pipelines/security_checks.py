"""`intentflow doctor --security`: hold an installation to what docs/security.md promises. Nothing is changed.

On a machine: modes of files, strength of keys, ports that are open, whether callers are recognised, whether releases
are signed. Where releases roll out on a cluster: the overlay as it renders. Every finding ends with what mends it.
"""

import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feature_repo import signing
from feature_repo.checkout import LOCK, ROOT
from feature_repo.privacy.pseudonyms import weakness
from pipelines import caller_checks, manifest_checks
from pipelines.caller_checks import loopback
from pipelines.environment import Installation
from pipelines.environment_variables import signing_keys
from pipelines.releases import processes
from pipelines.server_checks.check import Check

SECRET_CHARACTERS = 16
LABEL = "intentflow/"
RIGHTS = {  # labels of namespaces, and the ports that each may open, by component of the pods behind
    "access": {("routing", "http"), ("serving", "http")},
    "metrics": {("routing", "admin"), ("serving", "http")},
    "registry": {("registry", "http")},
    "reports": {("reports", "http")},
    "console": {("console", "http")},
}
SECRETIVE = ("_URI)", "PASSWORD", "_KEY)", "SECRET", "TOKEN")  # in arguments, which everybody reads
OPEN_MANAGER = ["bentoml", "serve"]  # its control socket is on loopback


def examine(place: Installation) -> list[Check]:
    """Run every check that fits the installation."""
    found = [*_files(place), *_keys(place), *caller_checks.examine(place), _registry(place), *_ports(place)]
    found.append(packages(LOCK))
    return found + (_overlay(place) if place.environment.kubernetes.namespace else [])


def packages(lock: Path) -> Check:
    """Tell whether every package of the lock is held to its bytes."""
    if not lock.is_file():
        return Check("packages", None, f"{lock} is not there: an image is judged by its bill of materials")
    lines = lock.read_text().splitlines()
    pins = [(at, line.split("==")[0]) for at, line in enumerate(lines) if "==" in line and line[:1].isalnum()]
    bare = [name for at, name in pins if "--hash=" not in "".join(lines[at : at + 2])]
    fine = bool(pins) and not bare
    mend = "" if fine else f", {len(bare)} without a hash ({', '.join(bare[:3])} …); `make lock` writes them"
    return Check("packages", fine, f"{len(pins)} pins in {lock.name}{mend}")


def _files(place: Installation) -> Iterator[Check]:
    """Look at the modes of the state folder and of files that hold keys."""
    if not place.home.is_dir():
        yield Check("state folder", None, f"{place.home} is not there yet; the first run makes it, mode 700")
    else:
        yield _shut("state folder", place.home)
    settings = place.environment
    named = [settings.pseudonyms.key_file, settings.pseudonyms.previous_key_file, settings.serving.keys_file]
    inside = (place.home / "secrets").glob("*") if (place.home / "secrets").is_dir() else ()
    for path in sorted({*map(Path, filter(None, named)), *inside}):
        if path.is_file():
            yield _shut(f"file {path.name}", path)


def _shut(name: str, path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    fine = mode & 0o077 == 0
    return Check(name, fine, f"mode {mode:03o}" + ("" if fine else f": others read it; chmod {mode & 0o700:o} {path}"))


def _keys(place: Installation) -> Iterator[Check]:
    """Judge the keys that the environment gives, by length and by how many of their bytes differ."""
    variables, pseudonyms = place.outside, place.environment.pseudonyms
    for name, text in _given(pseudonyms.key_file, pseudonyms.key_env, variables):
        yield _strong(f"key of pseudonyms {name}", text, "rotate it (docs/privacy.md) to `openssl rand -hex 32`")
    if (one := place.environment.webhooks).url:
        secret = variables.get(one.secret_env, "")
        fine = len(secret) >= SECRET_CHARACTERS
        mend = (
            "" if fine else f"; export {one.secret_env} as `openssl rand -hex 32`, and give MLflow's webhook the same"
        )
        yield Check("secret of webhooks", fine, f"{len(secret)} characters{mend}")


def _given(file: str | None, variable: str | None, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if file and Path(file).is_file():
        yield Path(file).name, Path(file).read_text(encoding="ascii", errors="replace").strip()
    if variable and variable in variables:
        yield variable, variables[variable].strip()


def _strong(name: str, text: str, mend: str) -> Check:
    weak = weakness(text)
    return Check(name, not weak, f"{weak}: {mend}" if weak else f"{len(text)} hex digits")


def _registry(place: Installation) -> Check:
    """Tell whether who reaches MLflow decides what is loaded."""
    uri, given = place.environment.mlflow.tracking_uri, signing_keys(place.environment.signing, place.outside)
    keys, signer = list(signing.public_keys(given)), signing.signer(given)
    if signer is not None and not keys:
        return Check(
            "registry",
            False,
            "releases are signed and nothing checks it: once the champion is signed, give "
            f"signing.public_keys: [{signer.public}]",
        )
    if keys:
        return Check("registry", True, f"releases are signed; trusted: {', '.join(map(signing.name_of, keys))}")
    if urlsplit(uri).scheme not in ("http", "https"):
        return Check("registry", True, "MLflow's files are this user's own; releases are not signed")
    return Check(
        "registry",
        False,
        f"who may write to {urlsplit(uri).hostname} moves the champion to files of their own, and services load them; "
        "make keys with `python -m components.registry.signing_keys` and give signing: {key_env: …, public_keys: […]}",
    )


def _ports(place: Installation) -> Iterator[Check]:
    """Look at what the processes of this installation listen on."""
    for state in processes.status(place.home) if (place.home / "up").is_dir() else ():
        if state.pid is None:
            continue
        meant = urlsplit(state.url).port
        strange = sorted(one for one in _listening(state.pid) if not loopback(one[0]) or one[1] != meant)
        said = ", ".join(f"{host}:{port}" for host, port in strange)
        # The router counts on a port beside its own.
        strange = [one for one in strange if not (state.name == "router" and loopback(one[0]))]
        mend = f"listens on {said} too; `make down`, then `make up` with this version" if strange else f"port {meant}"
        yield Check(f"port of {state.name}", not strange, mend)


def _listening(pid: int) -> Iterator[tuple[str, int]]:
    import psutil

    try:
        main = psutil.Process(pid)
        family = [main, *main.children(recursive=True)]
        for one in family:
            for connection in one.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield connection.laddr.ip, connection.laddr.port
    except psutil.NoSuchProcess:  # it ended meanwhile
        return


def _overlay(place: Installation) -> list[Check]:
    """Render the overlay that releases are written on, and judge its objects."""
    from pipelines.manifests import release_overlay

    name = place.environment.kubernetes.overlay
    if shutil.which("kubectl") is None:
        return [Check(f"overlay {name}", None, "kubectl is not on PATH, so it could not be rendered")]
    return manifests(release_overlay.render(ROOT / "k8s" / "overlays" / name), name)


def manifests(objects: Iterable[Mapping[str, Any]], name: str) -> list[Check]:
    """Judge rendered objects by the promises of docs/security.md, one finding a promise."""
    every = list(objects)
    checks = {
        "labels": _labels(every),
        "policies": _unguarded(every) | _opened(every),
        "egress": manifest_checks.egress(every),
        "accounts": manifest_checks.accounts(every),
        "admission": manifest_checks.admission(every),
        "callers": caller_checks.unrecognised(every),
        "arguments": _arguments(every),
    }
    return [
        Check(f"overlay {name}: {what}", not bad, "; ".join(sorted(bad)) or "as docs/security.md has them")
        for what, bad in checks.items()
    ]


def _labels(every: Iterable[Mapping[str, Any]]) -> set[str]:
    """Name labels of namespaces that open more than their right."""
    bad = set()
    for policy in (one for one in every if one["kind"] == "NetworkPolicy"):
        component = policy["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
        for rule in policy["spec"].get("ingress", ()):
            labels = {key for peer in rule.get("from", ()) for key in _of_namespaces(peer) if key.startswith(LABEL)}
            for label in labels:
                for port in (one for one in rule.get("ports", ()) if "port" in one):
                    if (component, str(port["port"])) not in RIGHTS.get(label.removeprefix(LABEL), set()):
                        bad.add(
                            f"{label} opens {policy['metadata']['name']}:{port['port']}; use the label of that right "
                            "(docs/security.md#ports)"
                        )
    return bad


def _of_namespaces(peer: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return found


def _opened(every: Iterable[Mapping[str, Any]]) -> set[str]:
    """Name policies with a rule that lets in more than pods of the namespace or labelled namespaces, or to any port."""
    bad = set()
    for policy in (one for one in every if one["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or ():
            where, peers, ports = f"NetworkPolicy/{policy['metadata']['name']}", rule.get("from"), rule.get("ports")
            if not peers:
                bad.add(f"{where} lets everybody in; name who in `from`")
            if not ports or any("port" not in port for port in ports):
                bad.add(f"{where} opens every port; name one in `ports`")
            if any("ipBlock" in peer for peer in peers or ()):
                bad.add(f"{where} lets addresses in, whoever has them; name a namespace's label")
            if any("namespaceSelector" in peer and not _of_namespaces(peer) for peer in peers or ()):
                bad.add(f"{where} lets other namespaces in without a label of theirs; name it in `matchLabels`")
    return bad


def _unguarded(every: list[Mapping[str, Any]]) -> set[str]:
    """Name what runs pods that no policy keeps strangers from; one that selects by expressions counts as none."""
    selectors = [
        one["spec"]["podSelector"].get("matchLabels", {})
        for one in every
        if one["kind"] == "NetworkPolicy"
        and "Ingress" in one["spec"].get("policyTypes", ("Ingress",))
        and not one["spec"]["podSelector"].get("matchExpressions")
    ]
    return {
        f"{where} has no NetworkPolicy of Ingress; give it one"
        for where, pod in _pods(every)
        if not any(selector.items() <= pod.get("metadata", {}).get("labels", {}).items() for selector in selectors)
    }


def _pods(every: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the pods, or their templates, of everything that runs some."""
    for one in every:
        spec = one.get("spec") or {}
        spec = spec.get("jobTemplate", {}).get("spec", spec)  # of a CronJob
        pod = one if one["kind"] == "Pod" else spec.get("template") or {}
        if "containers" in (pod.get("spec") or {}):
            yield f"{one['kind']}/{one['metadata']['name']}", pod


def _arguments(every: Iterable[Mapping[str, Any]]) -> set[str]:
    """Name containers whose arguments hold a secret, or that start BentoML with its manager open."""
    bad = set()
    for name, pod in _pods(every):
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            words = [str(word) for word in [*container.get("command", ()), *container.get("args", ())]]
            where = f"{name} {container['name']}"
            if any(mark in word for mark in SECRETIVE for word in words):
                bad.add(f"{where}: an argument holds a secret; have the program read it from a variable")
            if words[:2] == OPEN_MANAGER:
                bad.add(f"{where}: its process manager takes commands on loopback; start it with bentos.launch")
    return bad
