"""What `doctor --security` asks of rendered manifests: where pods may call, who has an account, who is bound.

Pure: objects in, a set of findings out, each with what mends it.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

Object = Mapping[str, Any]
MAKERS = {
    "pods", "deployments", "jobs", "cronjobs", "replicasets", "statefulsets", "daemonsets", "replicationcontrollers",
    "trainjobs", "sparkapplications", "*",
}  # fmt: skip
MAKES = {"create", "update", "patch", "*"}
DENY = "Deny"
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
PRIVATE_6 = IPv6Network("fc00::/7")


def egress(every: Sequence[Object]) -> set[str]:
    """Name policies by which pods call hosts anywhere, and pods that no policy keeps from calling."""
    bad = set()
    policies = [one for one in every if one["kind"] == "NetworkPolicy"]
    for policy in policies:
        where = f"NetworkPolicy/{policy['metadata']['name']}"
        for rule in policy["spec"].get("egress") or ():
            ports = ", ".join(str(port.get("port", "every port")) for port in rule.get("ports", ())) or "every port"
            if not rule.get("to"):
                bad.add(f"{where} lets pods call every host on {ports}; name peers in `to`")
            for block in (peer["ipBlock"] for peer in rule.get("to") or () if "ipBlock" in peer):
                if not _private(block["cidr"]):
                    bad.add(f"{where} lets pods call {block['cidr']} on {ports}; name the addresses that they need")
            if rule.get("to") and not rule.get("ports"):
                bad.add(f"{where} lets pods call every port of its peers; name one in `ports`")
    kept = [_selector(one) for one in policies if "Egress" in one["spec"].get("policyTypes", ())]
    for where, labels in _workloads(every):
        if not any(selector is not None and selector.items() <= labels.items() for selector in kept):
            bad.add(f"{where} has no NetworkPolicy of Egress, so its pods call whom they like; give it one")
    return bad


def _private(cidr: str) -> bool:
    """Tell whether all addresses of a block are of private networks.

    >>> _private("10.1.0.0/16"), _private("0.0.0.0/0"), _private("::/0")
    (True, False, False)
    """
    block = ip_network(cidr, strict=False)
    if isinstance(block, IPv4Network):
        return any(block.subnet_of(one) for one in PRIVATE)
    return block.subnet_of(PRIVATE_6)


def _selector(policy: Object) -> Mapping[str, str] | None:
    """Return the labels that a policy selects by; None where it selects by expressions as well."""
    selector = policy["spec"]["podSelector"]
    return None if selector.get("matchExpressions") else selector.get("matchLabels", {})


def accounts(every: Iterable[Object]) -> set[str]:
    """Name MLflow servers that ask nobody who calls."""
    bad = set()
    for one in every:
        for container in _pod(one).get("containers", ()):
            words = [str(word) for word in [*container.get("command", ()), *container.get("args", ())]]
            if words[:2] == ["mlflow", "server"] and "--app-name=basic-auth" not in words:
                bad.add(
                    f"{one['kind']}/{one['metadata']['name']}: who reaches MLflow moves models without an account; "
                    "give it --app-name=basic-auth and its accounts (k8s/components/mlflow)"
                )
    return bad


def admission(every: Sequence[Object]) -> set[str]:
    """Name accounts whose Role lets them make pods, where no admission policy that denies names them."""
    roles = {(one["kind"], one["metadata"]["name"]) for one in every if _makes_pods(one)}
    bound = _conditions(every)
    bad = set()
    for one in every:
        if one["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        if (one["roleRef"]["kind"], one["roleRef"]["name"]) not in roles:
            continue
        for subject in one.get("subjects") or ():
            name = str(subject["name"])
            if not any(f":{name}'" in condition for condition in bound):
                bad.add(
                    f"{subject['kind']}/{name} may make pods, which may mount every Secret, and no "
                    "ValidatingAdmissionPolicy that denies and holds in the overlay's Namespace says otherwise; give "
                    "it one, or the Namespace its label (k8s/components/reconciler/admission.yaml)"
                )
    return bad


def _makes_pods(role: Object) -> bool:
    return role["kind"] in ("Role", "ClusterRole") and any(
        MAKERS & set(rule.get("resources", ())) and MAKES & set(rule.get("verbs", ()))
        for rule in role.get("rules") or ()
    )


def _conditions(every: Iterable[Object]) -> list[str]:
    """Return whom the policies that hold for pods' makers are about, of those that a binding has deny and fail shut."""
    found = list(every)
    labels = [one["metadata"].get("labels", {}) for one in found if one["kind"] == "Namespace"]
    denying = {
        one["spec"]["policyName"]
        for one in found
        if one["kind"] == "ValidatingAdmissionPolicyBinding"
        and DENY in one["spec"].get("validationActions", ())
        and any(_namespaces(one).items() <= given.items() for given in labels)
    }
    return [
        str(condition["expression"])
        for one in found
        if one["kind"] == "ValidatingAdmissionPolicy"
        and one["metadata"]["name"] in denying
        and one["spec"].get("failurePolicy", "Fail") == "Fail"
        and one["spec"].get("paramKind")
        and any("secretRef" in rule["expression"] for rule in one["spec"].get("validations", ()))
        for condition in one["spec"].get("matchConditions", ())
    ]


def _namespaces(binding: Object) -> Mapping[str, str]:
    """Return the labels of namespaces in which a binding holds."""
    found: Mapping[str, str] = (
        binding["spec"].get("matchResources", {}).get("namespaceSelector", {}).get("matchLabels", {})
    )
    return found


def _workloads(every: Iterable[Object]) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Yield what runs pods, and the labels of those."""
    for one in every:
        template = _template(one)
        if template.get("spec", {}).get("containers"):
            yield f"{one['kind']}/{one['metadata']['name']}", template.get("metadata", {}).get("labels", {})


def _template(one: Object) -> Mapping[str, Any]:
    spec = one.get("spec") or {}
    spec = spec.get("jobTemplate", {}).get("spec", spec)  # of a CronJob
    found: Mapping[str, Any] = one if one["kind"] == "Pod" else spec.get("template") or {}
    return found


def _pod(one: Object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _template(one).get("spec") or {}
    return found
