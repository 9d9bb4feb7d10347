"""Pod Security Standards, profile `restricted`, as the API server enforces it on a labelled namespace.

Tests hold every render to it: without it a pod that a cluster refuses would pass, since checkov sees a part of the
profile only (docs/decisions/manifest-rules.md). Stricter in one point each: no sysctls at all, and a read-only root
filesystem. Reads pod specs; knows no kinds.
"""

from collections.abc import Iterator
from typing import Any

from pipelines.manifests.objects import containers

Spec = dict[str, Any]

VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
PROFILES = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
HOOKS = ("startupProbe", "readinessProbe", "livenessProbe")


def problems(pod: Spec) -> Iterator[str]:
    """Yield what a pod spec asks for that `restricted` refuses."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} must be false"
    context = pod.get("securityContext", {})
    if context.get("sysctls"):
        yield "securityContext.sysctls must be empty"
    yield from _context("securityContext", context)
    for volume in pod.get("volumes", []):
        if refused := sorted(set(volume) - {"name"} - VOLUMES):
            yield f"volumes.{volume['name']}: {refused[0]} is not allowed; use one of {', '.join(sorted(VOLUMES))}"
    for place, container in containers(pod):
        yield from (f"{place}: {problem}" for problem in _container(container, context))


def _container(container: Spec, pod_context: Spec) -> Iterator[str]:
    own = container.get("securityContext", {})
    yield from _context("securityContext", own)
    if own.get("privileged"):
        yield "securityContext.privileged must be false"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation must be false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem must be true"
    if own.get("procMount", "Default") != "Default":
        yield "securityContext.procMount must be Default"
    if own.get("runAsNonRoot", pod_context.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot must be true, here or for the pod"
    if own.get("seccompProfile", pod_context.get("seccompProfile", {})).get("type") not in PROFILES:
        yield f"seccompProfile.type must be {' or '.join(PROFILES)}, here or for the pod"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "securityContext.capabilities.drop must hold ALL"
    if added := sorted(set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}):
        yield f"securityContext.capabilities.add: {', '.join(added)} is not allowed"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "ports: hostPort must not be set"
    yield from _hosts(container)


def _context(place: str, context: Spec) -> Iterator[str]:
    """Yield what is refused in the fields that pods and containers share."""
    if context.get("runAsUser") == 0:
        yield f"{place}.runAsUser must not be 0"
    if context.get("runAsNonRoot") is False:
        yield f"{place}.runAsNonRoot must not be false"
    if context.get("seccompProfile", {}).get("type", PROFILES[0]) not in PROFILES:
        yield f"{place}.seccompProfile.type must be {' or '.join(PROFILES)}"
    if context.get("appArmorProfile", {}).get("type", PROFILES[0]) not in PROFILES:
        yield f"{place}.appArmorProfile.type must be {' or '.join(PROFILES)}"
    linux = context.get("seLinuxOptions", {})
    if linux.get("type", "") not in SELINUX_TYPES or linux.get("user") or linux.get("role"):
        yield f"{place}.seLinuxOptions: user and role must be unset, type a container type"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{place}.windowsOptions.hostProcess must be false"


def _hosts(container: Spec) -> Iterator[str]:
    """Yield probes and hooks that name a host: they would ask elsewhere than the pod."""
    hooks = [(name, container[name]) for name in HOOKS if name in container]
    hooks += list(container.get("lifecycle", {}).items())
    for name, hook in hooks:
        if any(hook.get(how, {}).get("host") for how in ("httpGet", "tcpSocket")):
            yield f"{name}: host must not be set"
