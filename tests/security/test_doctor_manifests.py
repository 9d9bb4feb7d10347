"""`doctor --security` on manifests: nothing of the overlay production, and each weakness that is planted in it."""

import copy
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from feature_repo import env_names
from feature_repo.checkout import ROOT
from pipelines import security_checks
from pipelines.manifests import release_overlay
from tests.security.test_doctor import JWT, bad


@pytest.fixture(scope="module")
def production() -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("renders manifests with kubectl")
    return release_overlay.render(ROOT / "k8s" / "overlays" / "production")


def test_the_overlay_production_has_no_weakness(production: list[dict[str, Any]]) -> None:
    assert bad(security_checks.manifests(production, "production")) == {}


def the(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


def callers_reach_mlflow(objects: list[dict[str, Any]]) -> None:
    peers = the(objects, "NetworkPolicy", "mlflow")["spec"]["ingress"][0]["from"]
    peers.append({"namespaceSelector": {"matchLabels": {"intentflow/access": "allowed"}}})


def an_unknown_right(objects: list[dict[str, Any]]) -> None:
    peers = the(objects, "NetworkPolicy", "router")["spec"]["ingress"][0]["from"]
    peers.append({"namespaceSelector": {"matchLabels": {"intentflow/everything": "allowed"}}})


def no_policy(objects: list[dict[str, Any]]) -> None:
    for name in ("router", "default-deny"):
        objects.remove(the(objects, "NetworkPolicy", name))


def ingress(objects: list[dict[str, Any]]) -> list[Any]:
    rules: list[Any] = the(objects, "NetworkPolicy", "mlflow")["spec"]["ingress"]
    return rules


def everybody(objects: list[dict[str, Any]]) -> None:
    ingress(objects)[:] = [{}]


def every_namespace(objects: list[dict[str, Any]]) -> None:
    ingress(objects)[0]["from"].append({"namespaceSelector": {}})


def any_address(objects: list[dict[str, Any]]) -> None:
    ingress(objects)[0]["from"].append({"ipBlock": {"cidr": "0.0.0.0/0"}})


def every_port(objects: list[dict[str, Any]]) -> None:
    del ingress(objects)[0]["ports"]


def a_port_without_a_number(objects: list[dict[str, Any]]) -> None:
    del ingress(objects)[0]["ports"][0]["port"]


def a_policy_of_other_pods(objects: list[dict[str, Any]]) -> None:
    no_policy(objects)
    policy = copy.deepcopy(the(objects, "NetworkPolicy", "mlflow"))
    policy["spec"]["podSelector"] = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["other"]}]}
    objects.append(policy)


def a_job(objects: list[dict[str, Any]], **container: Any) -> None:
    labels = the(objects, "Deployment", "mlflow")["spec"]["template"]["metadata"]["labels"]
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", **container}]}}
    spec = {"jobTemplate": {"spec": {"template": pod}}}
    objects.append({"kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec})


def a_job_with_a_password(objects: list[dict[str, Any]]) -> None:
    a_job(objects, args=["--u=$(A_URI)"])


def a_pod_with_an_open_manager(objects: list[dict[str, Any]]) -> None:
    labels = the(objects, "Deployment", "mlflow")["spec"]["template"]["metadata"]["labels"]
    container = {"name": "c", "command": ["bentoml", "serve"]}
    objects.append(
        {"kind": "Pod", "metadata": {"name": "alone", "labels": labels}, "spec": {"containers": [container]}}
    )


def a_job_that_nothing_guards(objects: list[dict[str, Any]]) -> None:
    a_job(objects)
    objects[-1]["spec"]["jobTemplate"]["spec"]["template"]["metadata"] = {"labels": {"app": "other"}}


def a_password_in_words(objects: list[dict[str, Any]]) -> None:
    container = the(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]
    container["args"].append("--backend-store-uri=$(MLFLOW_BACKEND_STORE_URI)")


def an_open_manager(objects: list[dict[str, Any]]) -> None:
    container = the(objects, "Deployment", "recommender")["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["bentoml", "serve"]


def a_way_from_outside(objects: list[dict[str, Any]]) -> None:
    objects.append({"kind": "HTTPRoute", "metadata": {"name": "shop"}, "spec": {}})


def a_public_service(objects: list[dict[str, Any]]) -> None:
    the(objects, "Service", "router")["spec"]["type"] = "LoadBalancer"


def serving(objects: list[dict[str, Any]], block: str) -> None:
    for one in objects:
        if one["kind"] == "ConfigMap" and env_names.SERVING in one.get("data", {}):
            one["data"][env_names.SERVING] = block


def tokens_that_speak_for_all(objects: list[dict[str, Any]]) -> None:
    serving(objects, json.dumps({"auth": "both", "keys_file": "/keys/keys.json", "jwt": JWT}))


def a_block_that_is_none(objects: list[dict[str, Any]]) -> None:
    serving(objects, '{"auth": "everyone"}')


def every_host(objects: list[dict[str, Any]]) -> None:
    """What the review found in production: any host on 443."""
    the(objects, "NetworkPolicy", "managed-stores")["spec"]["egress"].append(
        {"ports": [{"protocol": "TCP", "port": 443}]}
    )


def every_address(objects: list[dict[str, Any]]) -> None:
    to = the(objects, "NetworkPolicy", "managed-stores")["spec"]["egress"][0]["to"]
    to.append({"ipBlock": {"cidr": "0.0.0.0/0"}})


def no_port_of_a_store(objects: list[dict[str, Any]]) -> None:
    del the(objects, "NetworkPolicy", "managed-stores")["spec"]["egress"][0]["ports"]


def only_ingress_is_kept(objects: list[dict[str, Any]]) -> None:
    for name in ("router", "default-deny"):
        the(objects, "NetworkPolicy", name)["spec"]["policyTypes"] = ["Ingress"]


def mlflow_without_accounts(objects: list[dict[str, Any]]) -> None:
    the(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]["args"].remove(
        "--app-name=basic-auth"
    )


def no_admission(objects: list[dict[str, Any]]) -> None:
    objects.remove(the(objects, "ValidatingAdmissionPolicyBinding", "intentflow-reconciler-pods"))


def admission_that_only_warns(objects: list[dict[str, Any]]) -> None:
    binding = the(objects, "ValidatingAdmissionPolicyBinding", "intentflow-reconciler-pods")
    binding["spec"]["validationActions"] = ["Warn"]


def admission_of_another_account(objects: list[dict[str, Any]]) -> None:
    the(objects, "RoleBinding", "reconciler")["subjects"].append({"kind": "ServiceAccount", "name": "other"})


def an_account_that_makes(resource: str) -> Callable[[list[dict[str, Any]]], None]:
    def plant(objects: list[dict[str, Any]]) -> None:
        rule = {"apiGroups": ["*"], "resources": [resource], "verbs": ["create"]}
        bound = {
            "roleRef": {"kind": "Role", "name": "maker"},
            "subjects": [{"kind": "ServiceAccount", "name": "maker"}],
        }
        objects.append({"kind": "Role", "metadata": {"name": "maker"}, "rules": [rule]})
        objects.append({"kind": "RoleBinding", "metadata": {"name": "maker"}, **bound})

    return plant


def a_namespace_without_the_label(objects: list[dict[str, Any]]) -> None:
    """Then no policy holds there, and nothing says so but this check."""
    del the(objects, "Namespace", "intentflow")["metadata"]["labels"]["intentflow/reconciler"]


def admission_that_fails_open(objects: list[dict[str, Any]]) -> None:
    the(objects, "ValidatingAdmissionPolicy", "intentflow-reconciler-pods")["spec"]["failurePolicy"] = "Ignore"


@pytest.mark.parametrize(
    ("plant", "what", "said"),
    [
        (a_way_from_outside, "callers", "lets everybody in whom HTTPRoute/shop brings"),
        (a_public_service, "callers", "lets everybody in whom Service/router brings"),
        (tokens_that_speak_for_all, "callers", "set serving.jwt: {speaks_for: sub"),
        (a_block_that_is_none, "callers", "serving.auth"),
        (every_host, "egress", "NetworkPolicy/managed-stores lets pods call every host on 443"),
        (every_address, "egress", "lets pods call 0.0.0.0/0"),
        (no_port_of_a_store, "egress", "lets pods call every port of its peers"),
        (only_ingress_is_kept, "egress", "Deployment/router has no NetworkPolicy of Egress"),
        (mlflow_without_accounts, "accounts", "Deployment/mlflow: who reaches MLflow moves models without an account"),
        (no_admission, "admission", "ServiceAccount/reconciler may make pods"),
        (admission_that_only_warns, "admission", "ServiceAccount/reconciler may make pods"),
        (a_namespace_without_the_label, "admission", "ServiceAccount/reconciler may make pods"),
        (admission_that_fails_open, "admission", "ServiceAccount/reconciler may make pods"),
        (admission_of_another_account, "admission", "ServiceAccount/other may make pods"),
        (an_account_that_makes("trainjobs"), "admission", "ServiceAccount/maker may make pods"),
        (an_account_that_makes("sparkapplications"), "admission", "ServiceAccount/maker may make pods"),
        (an_account_that_makes("replicationcontrollers"), "admission", "ServiceAccount/maker may make pods"),
        (callers_reach_mlflow, "labels", "intentflow/access opens mlflow:http"),
        (an_unknown_right, "labels", "intentflow/everything opens router:http"),
        (no_policy, "policies", "Deployment/router has no NetworkPolicy"),
        (a_password_in_words, "arguments", "Deployment/mlflow mlflow: an argument holds a secret"),
        (an_open_manager, "arguments", "its process manager takes commands on loopback"),
        (everybody, "policies", "NetworkPolicy/mlflow lets everybody in"),
        (every_namespace, "policies", "NetworkPolicy/mlflow lets other namespaces in"),
        (any_address, "policies", "NetworkPolicy/mlflow lets addresses in"),
        (every_port, "policies", "NetworkPolicy/mlflow opens every port"),
        (a_port_without_a_number, "policies", "NetworkPolicy/mlflow opens every port"),
        (a_policy_of_other_pods, "policies", "Deployment/router has no NetworkPolicy"),
        (a_job_that_nothing_guards, "policies", "CronJob/nightly has no NetworkPolicy"),
        (a_job_with_a_password, "arguments", "CronJob/nightly c: an argument holds a secret"),
        (a_pod_with_an_open_manager, "arguments", "Pod/alone c: its process manager"),
    ],
)
def test_a_weakness_of_manifests_is_named_with_what_mends_it(
    production: list[dict[str, Any]], plant: Callable[[list[dict[str, Any]]], None], what: str, said: str
) -> None:
    objects = copy.deepcopy(production)
    plant(objects)
    found = bad(security_checks.manifests(objects, "production"))
    # What no policy guards is free to call as well.
    assert set(found) - {"overlay production: egress"} == {f"overlay production: {what}"} - {
        "overlay production: egress"
    }
    assert said in found[f"overlay production: {what}"]
