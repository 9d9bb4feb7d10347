"""The Kubernetes namespace that an environment rolls releases out in, through `components/kube_api`."""

from components import kube_api
from components.kube_api import Api
from feature_repo.errors import SpecError
from pipelines.environment import Kubernetes

FORBIDDEN = "give its account that right (k8s/components/reconciler/role.yaml)"


def connected(settings: Kubernetes) -> Api:
    """Return the API of the namespace that the environment names; inside a pod it must be the pod's own."""
    own = kube_api.own_namespace()
    if own is not None and own != settings.namespace:  # the account's rights end at its namespace
        raise SpecError(f"kubernetes.namespace: '{settings.namespace}' is not this pod's namespace '{own}'; name that")
    try:
        return kube_api.connected(settings.namespace, context=settings.context, forbidden=FORBIDDEN)
    except kube_api.NoCluster as error:
        raise SpecError(
            f"kubernetes.namespace: '{settings.namespace}' needs a cluster, and the kubeconfig names none ({error}); "
            "set KUBECONFIG, or leave kubernetes.namespace out to roll out on this machine"
        ) from error
