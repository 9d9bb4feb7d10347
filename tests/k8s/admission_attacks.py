"""What the account of the loop may try: changes of pods and objects that the policies refuse."""

import copy
from collections.abc import Callable
from typing import Any

NAME, PART_OF = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
Object = dict[str, Any]


def of_env_from(pod: Object) -> None:
    pod["containers"][0].setdefault("envFrom", []).append({"secretRef": {"name": "mlflow"}})


def of_env(pod: Object) -> None:
    value = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}
    pod["containers"][0].setdefault("env", []).append({"name": "A", **value})


def of_init_env(pod: Object) -> None:
    value = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}
    extra = copy.deepcopy(pod["containers"][0]) | {"name": "first", "env": [{"name": "A", **value}]}
    pod.setdefault("initContainers", []).append(extra)


def volume(**source: Any) -> Callable[[Object], None]:
    def plant(pod: Object) -> None:
        pod.setdefault("volumes", []).append({"name": "theirs", **source})

    return plant


def another_image(pod: Object) -> None:
    pod["containers"][0]["image"] = "evil.example/intentflow-python:0.1.0"


def an_image_like_ours(pod: Object) -> None:
    pod["containers"][0]["image"] = "intentflow-python-evil:0.1.0"


def an_init_image(pod: Object) -> None:
    pod.setdefault("initContainers", []).append({"name": "first", "image": "busybox"})


def another_account(pod: Object) -> None:
    pod["serviceAccountName"] = "reconciler"


def no_account(pod: Object) -> None:
    del pod["serviceAccountName"]


def a_token(pod: Object) -> None:
    pod["automountServiceAccountToken"] = True


def the_node(pod: Object) -> None:
    pod["hostNetwork"] = True


def a_registry_s_credentials(pod: Object) -> None:
    pod["imagePullSecrets"] = [{"name": "mlflow"}]


def selects_all(one: Object) -> None:
    one["spec"]["podSelector"] = {}


def selects_by_another_label(one: Object) -> None:
    one["spec"]["podSelector"] = {"matchLabels": {"app.kubernetes.io/part-of": "intentflow"}}


def selects_an_account_like_ours(one: Object) -> None:
    one["spec"]["podSelector"] = {"matchLabels": {NAME: "recommenders"}}


def leads_to_mlflow(one: Object) -> None:
    one["spec"]["selector"] = {NAME: "mlflow"}


def leads_where_somebody_says_later(one: Object) -> None:
    del one["spec"]["selector"]


def balanced(one: Object) -> None:
    one["spec"]["type"] = "LoadBalancer"


def opened(one: Object) -> None:
    one["spec"]["externalIPs"] = ["203.0.113.9"]


def labelled_as(name: str) -> Callable[[Object], None]:
    def plant(one: Object) -> None:
        one["spec"]["template"]["metadata"]["labels"][NAME] = name

    return plant


def without_labels(one: Object) -> None:
    del one["spec"]["template"]["metadata"]["labels"]


def of_no_installation(one: Object) -> None:
    del one["spec"]["template"]["metadata"]["labels"][PART_OF]


def scales_mlflow(one: Object) -> None:
    one["spec"]["scaleTargetRef"]["name"] = "mlflow"
