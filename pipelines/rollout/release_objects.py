"""The Kubernetes objects of one release's door: the overlay's own, under names of the release.

Rendered as `kubectl apply -k` would (pipelines/manifests/release_overlay.py), then renamed `recommender` ->
`recommender-<release>`, labels and selectors too, so that two releases stand side by side and no Deployment takes the
other's pods. Nothing is sent from here.
"""

from typing import Any

from feature_repo.errors import SpecError
from pipelines.manifests import release_overlay, rules
from pipelines.manifests.objects import containers

Object = dict[str, Any]

BASE = "recommender"  # the door that the overlay itself runs
STABLE = "recommender-stable"  # its Service, once the router stands before it
NAME = "app.kubernetes.io/name"
DOOR = "intentflow/door"  # label of every object of a release's door: the release's id
KINDS = (  # in the order in which they are applied: what pods need comes before them
    "ConfigMap",
    "NetworkPolicy",
    "Service",
    "PodDisruptionBudget",
    "Deployment",
    "HorizontalPodAutoscaler",
)


def name_of(release_id: str) -> str:
    """Name a release's door.

    >>> name_of("0a1b2c3d4e5f")
    'recommender-0a1b2c3d4e5f'
    """
    return f"{BASE}-{release_id}"


def objects(rendered: list[Object], release_id: str) -> list[Object]:
    """Return the door's objects from a render of the release's overlay."""
    deployment = next(iter(_found(rendered, "Deployment", (BASE,))), None)
    if deployment is None:
        raise SpecError(f"kubernetes.overlay: it renders no Deployment/{BASE}, so no release can stand beside it")
    wanted = [deployment, *_found(rendered, "Service", (STABLE, BASE))[:1]]
    wanted += [o for kind in KINDS if kind not in ("ConfigMap", "Service", "Deployment")
               for o in _found(rendered, kind, (BASE,))]  # fmt: skip
    configs = {
        source["configMapRef"]["name"]
        for _, container in containers(deployment["spec"]["template"]["spec"])
        for source in container.get("envFrom", [])
        if "configMapRef" in source
    }
    wanted += [o for o in rendered if o["kind"] == "ConfigMap" and o["metadata"]["name"] in configs]
    names = {name: f"{name_of(release_id)}{_tail(name)}" for name in configs}
    made = [_renamed(found, release_id, names) for found in wanted]
    return sorted(made, key=lambda found: (KINDS.index(found["kind"]), found["metadata"]["name"]))


def _found(rendered: list[Object], kind: str, names: tuple[str, ...]) -> list[Object]:
    """Return the objects of a kind, those of the first name first."""
    found = [o for o in rendered if o["kind"] == kind and o["metadata"]["name"] in names]
    return sorted(found, key=lambda o: names.index(o["metadata"]["name"]))


def _tail(config: str) -> str:
    """Tell a ConfigMap by what follows the base's name.

    >>> _tail("recommender-release-5k2t9"), _tail("recommender-abc12")
    ('-release-5k2t9', '-abc12')
    """
    return config.removeprefix(BASE)


def _renamed(found: Object, release_id: str, configs: dict[str, str]) -> Object:
    made = _relabelled(found, name_of(release_id), configs)
    metadata = {key: value for key, value in made["metadata"].items() if key in ("labels", "annotations")}
    metadata["name"] = configs.get(found["metadata"]["name"], name_of(release_id))
    metadata["labels"] = {**(metadata.get("labels") or {}), DOOR: release_id}
    if found["kind"] == "HorizontalPodAutoscaler":
        made["spec"]["scaleTargetRef"]["name"] = name_of(release_id)
    return {**made, "metadata": metadata}


def _relabelled(value: Any, name: str, configs: dict[str, str]) -> Any:
    """Copy a tree with the name's label and references to ConfigMaps changed; the account and secrets are shared."""
    if isinstance(value, list):
        return [_relabelled(one, name, configs) for one in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _relabelled(one, name, configs) for key, one in value.items()}
    if copied.get(NAME) == BASE:
        copied[NAME] = name
    if isinstance(reference := copied.get("configMapRef"), dict):
        reference["name"] = configs.get(reference["name"], reference["name"])
    return copied


def render(folder: Any) -> list[Object]:
    """Render a release's overlay, held to the rules first."""
    rendered = release_overlay.render(folder)
    if problems := rules.broken(rendered):
        raise SpecError(f"{folder}: {problems[0]}; mend the overlay that it stands on")
    return rendered
