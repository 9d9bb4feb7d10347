"""What this project's rendered objects promise each other: a line for each breach.

Each rule reads a whole render: references, selectors, autoscalers, rollouts, images. `intentflow release` and the
rollout's loop apply them (`release_overlay.require`, `rollout/release_objects.py`). Pods on their own are not judged
here: checkov does that in CI, the API server on a cluster (docs/decisions/manifest-rules.md).
"""

from collections.abc import Callable, Iterator

from pipelines.manifests.objects import OPERATED, Object, Workload, containers, quantity, title, workloads
from pipelines.manifests.policies import POLICIES

Rule = Callable[[list[Object]], Iterator[str]]


def broken(objects: list[Object]) -> list[str]:
    """Return every breach of every rule."""
    return [problem for rule in RULES for problem in rule(objects)]


def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    """Images carry a tag other than latest, or a digest: a rollback runs the same bytes. A loaded one is used."""
    for made in workloads(objects):
        for place, container in containers(made.pod):
            image = container.get("image", "")
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"{made.name}: {place}: image '{image}' needs a tag other than latest, or a digest"
            if container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{made.name}: {place}: imagePullPolicy must be IfNotPresent, so that a loaded image is used"


def requests_fit_limits(objects: list[Object]) -> Iterator[str]:
    """No container requests more than its limit: the API server refuses that, schemas do not."""
    for made in workloads(objects):
        for place, container in containers(made.pod):
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            for name in sorted(requests.keys() & limits.keys()):
                if quantity(requests[name]) > quantity(limits[name]):
                    yield f"{made.name}: {place}: {name}: request {requests[name]} is above limit {limits[name]}"


def models_have_time_to_load(objects: list[Object]) -> Iterator[str]:
    """Containers behind a Service have a startupProbe, so that liveness does not end a pod that loads its models."""
    for made in _served(objects):
        for container in made.pod["containers"]:
            if container.get("ports") and "startupProbe" not in container:
                yield f"{made.name}: containers.{container['name']}: no startupProbe"


def rollouts_lose_nothing(objects: list[Object]) -> Iterator[str]:
    """Deployments that roll keep their number, and pods wait out the withdrawal of endpoints before they stop."""
    for made in _served(objects):
        strategy = made.spec.get("strategy", {})
        if made.kind != "Deployment" or strategy.get("type") == "Recreate":
            continue  # goes down to change: one volume, one writer
        if strategy.get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{made.name}: strategy.rollingUpdate.maxUnavailable must be 0"
        for container in made.pod["containers"]:
            wait_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            grace_s = made.pod.get("terminationGracePeriodSeconds", 30)
            if wait_s < 3:
                yield f"{made.name}: containers.{container['name']}: lifecycle.preStop.sleep.seconds must be 3 or more"
            elif grace_s < wait_s + 10:
                yield f"{made.name}: terminationGracePeriodSeconds {grace_s} leaves no 10 s to drain after preStop"


def selectors_find_pods(objects: list[Object]) -> Iterator[str]:
    """Every selector selects; ports that a Service names exist."""
    made = list(workloads(objects))
    for one in made:
        wanted = one.spec.get("selector", {}).get("matchLabels", {})
        if one.kind in ("Deployment", "StatefulSet", "DaemonSet") and not _selects(wanted, one.labels):
            yield f"{one.name}: selector {wanted} does not match the template's labels"
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "Service" and spec.get("selector"):
            chosen = [one for one in made if _selects(spec["selector"], one.labels)]
            yield from _unserved(found, chosen)
        elif found["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = spec.get("selector" if found["kind"] == "PodDisruptionBudget" else "podSelector", {})
            if not any(_selects(selector.get("matchLabels", {}), one.labels) for one in made):
                yield f"{title(found)}: its selector matches no pod of this render"


def references_resolve(objects: list[Object]) -> Iterator[str]:
    """ConfigMaps, claims and accounts that pods name are in the render; secrets never are."""
    have = {title(found) for found in objects}
    yield from (f"{name}: a secret is made by hand, not by a manifest" for name in have if name.startswith("Secret/"))
    for made in workloads(objects):
        if made.kind in OPERATED:
            continue  # they stand where pipelines run, whose claim and account are made there
        wanted = {f"ServiceAccount/{made.pod.get('serviceAccountName', 'default')}"}
        for _, container in containers(made.pod):
            sources = [source.get("configMapRef") for source in container.get("envFrom", [])]
            sources += [entry.get("valueFrom", {}).get("configMapKeyRef") for entry in container.get("env", [])]
            wanted |= {f"ConfigMap/{source['name']}" for source in sources if source}
        for volume in made.pod.get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                wanted.add(f"PersistentVolumeClaim/{claim['claimName']}")
            if (source := volume.get("configMap")) and not source.get("optional"):  # which may be made by hand, or not
                wanted.add(f"ConfigMap/{source['name']}")
        yield from (f"{made.name}: {name} is not in this render" for name in sorted(wanted - have))


def scaling_is_possible(objects: list[Object]) -> Iterator[str]:
    """Autoscalers name a workload of the render and a range; budgets set one bound."""
    have = {title(found): found for found in objects}
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "HorizontalPodAutoscaler":
            target = f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"
            if target not in have:
                yield f"{title(found)}: scaleTargetRef {target} is not in this render"
            elif "replicas" in have[target]["spec"]:
                yield f"{target}: replicas must be left out, {title(found)} owns the number"
            if spec.get("minReplicas", 1) > spec["maxReplicas"]:
                yield f"{title(found)}: minReplicas {spec['minReplicas']} is above maxReplicas {spec['maxReplicas']}"
        elif found["kind"] == "PodDisruptionBudget" and ("minAvailable" in spec) == ("maxUnavailable" in spec):
            yield f"{title(found)}: set one of minAvailable and maxUnavailable"


def pods_are_isolated(objects: list[Object]) -> Iterator[str]:
    """Every pod stands behind a policy that denies both directions by default."""
    policies = [found["spec"] for found in objects if found["kind"] == "NetworkPolicy"]
    closed = [spec for spec in policies if set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}]
    for made in workloads(objects):
        if not any(_selects(spec["podSelector"].get("matchLabels", {}), made.labels) for spec in closed):
            yield f"{made.name}: no NetworkPolicy with Ingress and Egress selects its pods"


RULES: tuple[Rule, ...] = (
    images_are_pinned,
    requests_fit_limits,
    models_have_time_to_load,
    rollouts_lose_nothing,
    selectors_find_pods,
    references_resolve,
    scaling_is_possible,
    pods_are_isolated,
    *POLICIES,
)


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def _served(objects: list[Object]) -> Iterator[Workload]:
    """Yield the workloads whose pods a Service selects."""
    services = [found["spec"].get("selector") for found in objects if found["kind"] == "Service"]
    for made in workloads(objects):
        if any(selector and _selects(selector, made.labels) for selector in services):
            yield made


def _unserved(service: Object, chosen: list[Workload]) -> Iterator[str]:
    """Yield what a Service points at that is not there."""
    if not chosen:
        yield f"{title(service)}: its selector matches no pod of this render"
    for made in chosen:
        ports = [port for container in made.pod["containers"] for port in container.get("ports", [])]
        open_ports = {port.get("name") for port in ports} | {port["containerPort"] for port in ports}
        for port in service["spec"]["ports"]:
            if (target := port.get("targetPort", port["port"])) not in open_ports:
                yield f"{title(service)}: targetPort {target} is no port of {made.name}"
