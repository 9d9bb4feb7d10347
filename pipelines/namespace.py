"""The Kubernetes namespace of an environment: where it rolls out, and where it is looked at.

Releases roll out in a namespace only where `kubernetes.namespace` names it. To look, an overlay is enough: what it was
applied to is its own namespace. All access goes through `components/kube_api`.
"""

from components import kube_api
from components.kube_api import READ_S, Api
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from pipelines import spec_yaml
from pipelines.environment_spec import Environment, Kubernetes

FORBIDDEN = "give its account that right (k8s/components/reconciler/role.yaml)"
NAMESPACE = "intentflow"  # of the committed overlays


def watched(environment: Environment) -> str:
    """Return the namespace that `status` and `doctor` look at, '' where the environment names no Kubernetes."""
    if "kubernetes" not in environment.model_fields_set:
        return ""
    settings = environment.kubernetes
    return settings.namespace or kube_api.own_namespace() or overlay_namespace(settings.overlay)


def overlay_namespace(overlay: str) -> str:
    """Return the namespace that an overlay is applied to.

    >>> overlay_namespace("local")
    'intentflow'
    """
    file = ROOT / "k8s" / "overlays" / overlay / "kustomization.yaml"
    return str(spec_yaml.read_yaml(file).get("namespace") or NAMESPACE) if file.is_file() else NAMESPACE


def connected(settings: Kubernetes, *, read_s: float = READ_S) -> Api:
    """Return the API of the namespace that the environment names; inside a pod it must be the pod's own."""
    own = kube_api.own_namespace()
    if own is not None and own != settings.namespace:  # the account's rights end at its namespace
        raise SpecError(f"kubernetes.namespace: '{settings.namespace}' is not this pod's namespace '{own}'; name that")
    try:
        return kube_api.connected(settings.namespace, context=settings.context, forbidden=FORBIDDEN, read_s=read_s)
    except kube_api.NoCluster as error:
        raise SpecError(
            f"kubernetes.namespace: '{settings.namespace}' needs a cluster, and the kubeconfig names none ({error}); "
            "set KUBECONFIG, or leave `kubernetes` out of the environment: all is on this machine then"
        ) from error
