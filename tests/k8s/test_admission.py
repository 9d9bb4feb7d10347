"""The policies that bind the loop's pods, evaluated as CEL: its own doors and Jobs pass, each attack is refused.

The API server's own functions that CEL's core lacks (`split`) are given here.
"""

import copy
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from feature_repo.checkout import ROOT
from pipelines.manifests import release_overlay
from pipelines.rollout import release_objects
from tests.k8s import admission_attacks as attack
from tests.k8s.admission_attacks import NAME, PART_OF, Object

celpy = pytest.importorskip("celpy", reason="cel-python evaluates admission policies: `make install`")
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="renders manifests with kubectl")
PODS, NAMES = "intentflow-reconciler-pods", "intentflow-reconciler-names"
MARKS = "intentflow-reconciler-marks"
POLICIES = (PODS, NAMES, MARKS, *(f"intentflow-reconciler-{name}" for name in ("calls", "services", "scales")))
LOOP = "system:serviceaccount:intentflow:reconciler"
RESOURCES = {
    "Deployment": "deployments",
    "Job": "jobs",
    "Pod": "pods",
    "Service": "services",
    "ConfigMap": "configmaps",
    "NetworkPolicy": "networkpolicies",
}


def split(text: Any, separator: Any) -> Any:
    return celpy.celtypes.ListType([celpy.celtypes.StringType(one) for one in str(text).split(str(separator))])


@pytest.fixture(scope="module")
def production() -> list[Object]:
    return release_overlay.render(ROOT / "k8s" / "overlays" / "production")


@pytest.fixture(scope="module")
def job() -> Object:
    """The Job of profiles, as the loop completes it."""
    found: Object = json.loads((ROOT / "k8s" / "components" / "materialise" / "job.json").read_text())
    found["metadata"]["name"] = "materialise-0a1b2c3d4e5f"
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "intentflow-python:0.1.0"
    return found


@pytest.fixture(scope="module")
def doors(production: list[Object]) -> list[Object]:
    """What the loop applies for a release."""
    return release_objects.objects(production, "0a1b2c3d4e5f")


def the(objects: list[Object], kind: str, name: str) -> Object:
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


class Policies:
    """Both policies of a render, as an API server applies them."""

    def __init__(self, objects: list[Object]) -> None:
        self._objects = objects
        self._params = the(objects, "ConfigMap", "reconciler-admission")

    def refusals(
        self, one: Object, *, old: Object | None = None, user: str = LOOP, operation: str = "CREATE"
    ) -> list[str]:
        """Return the messages of what refuses a request."""
        resource = RESOURCES.get(one["kind"], f"{one['kind'].lower()}s")
        request = {
            "userInfo": {"username": user},
            "namespace": "intentflow",
            "name": one["metadata"]["name"],
            "operation": operation,
            "resource": {"resource": resource},
        }
        known = {
            "object": None if operation == "DELETE" else one,
            "oldObject": old,
            "request": request,
            "params": self._params,
        }
        found = []
        for name in POLICIES:
            spec = the(self._objects, "ValidatingAdmissionPolicy", name)["spec"]
            if not self._matches(spec, request) or not all(
                self._value(condition["expression"], known) for condition in spec["matchConditions"]
            ):
                continue
            variables: dict[str, Any] = {}
            for variable in spec.get("variables", ()):
                variables[variable["name"]] = self._value(variable["expression"], known | {"variables": variables})
            found += [
                str(rule["message"])
                for rule in spec["validations"]
                if not self._value(rule["expression"], known | {"variables": variables})
            ]
        return found

    @staticmethod
    def _matches(spec: Object, request: Object) -> bool:
        return any(
            request["resource"]["resource"] in rule["resources"] and request["operation"] in rule["operations"]
            for rule in spec["matchConstraints"]["resourceRules"]
        )

    @staticmethod
    def _value(expression: str, known: dict[str, Any]) -> Any:
        environment = celpy.Environment()
        program = environment.program(environment.compile(expression), functions={"split": split})
        given = {name: celpy.json_to_cel(value) if name != "variables" else value for name, value in known.items()}
        given["variables"] = celpy.celtypes.MapType(
            {celpy.celtypes.StringType(name): value for name, value in known.get("variables", {}).items()}
        )
        return program.evaluate(given)


@pytest.fixture(scope="module")
def policies(production: list[Object]) -> Policies:
    return Policies(production)


def pod_of(one: Object) -> Object:
    found: Object = one["spec"]["template"]["spec"]
    return found


def test_what_the_loop_makes_passes(policies: Policies, doors: list[Object], job: Object) -> None:
    assert {one["kind"] for one in doors} >= {"Deployment", "Service", "ConfigMap", "NetworkPolicy"}
    for one in [*doors, job]:
        assert policies.refusals(one) == [], one["metadata"]["name"]
    for one in doors:
        for operation in ("UPDATE", "DELETE"):
            assert policies.refusals(one, old=one, operation=operation) == [], one["metadata"]["name"]
    routes = {"kind": "ConfigMap", "metadata": {"name": "recommender-routes"}, "data": {}}
    assert policies.refusals(routes, old=routes, operation="UPDATE") == []


def test_the_overlay_s_own_door_may_be_scaled_by_the_loop(policies: Policies, production: list[Object]) -> None:
    door = the(production, "Deployment", "recommender")
    assert policies.refusals(door, old=door, operation="UPDATE") == []


def test_other_accounts_are_not_bound(policies: Policies, production: list[Object]) -> None:
    redis = the(production, "Deployment", "mlflow")
    assert policies.refusals(redis)
    assert policies.refusals(redis, user="kubernetes-admin") == []


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (attack.of_env_from, "declared Secrets alone"),
        (attack.of_env, "declared Secrets alone"),
        (attack.of_init_env, "declared Secrets alone"),
        (attack.volume(secret={"secretName": "mlflow"}), "no path of the node"),
        (attack.volume(hostPath={"path": "/"}), "no path of the node"),
        (attack.volume(nfs={"server": "a", "path": "/"}), "no path of the node"),
        (attack.volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}), "no path of the node"),
        (attack.volume(projected={"sources": [{"secret": {"name": "mlflow"}}]}), "no path of the node"),
        (attack.volume(persistentVolumeClaim={"claimName": "mlflow"}), "no path of the node"),
        (attack.another_image, "images of this installation"),
        (attack.an_image_like_ours, "images of this installation"),
        (attack.an_init_image, "images of this installation"),
        (attack.another_account, "declared account"),
        (attack.no_account, "declared account"),
        (attack.a_token, "no token"),
        (attack.the_node, "nothing with their node"),
        (attack.a_registry_s_credentials, "bring no credentials"),
    ],
)
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_an_attack_by_the_loop_s_account_is_refused(
    policies: Policies, doors: list[Object], job: Object, kind: str, plant: Callable[[Object], None], said: str
) -> None:
    """The attack of the review: who has the loop's account makes a pod, and reads every Secret through it."""
    one = copy.deepcopy(job if kind == "Job" else the(doors, "Deployment", "recommender-0a1b2c3d4e5f"))
    plant(pod_of(one))
    for operation in ("CREATE", "UPDATE"):
        refused = policies.refusals(one, operation=operation)
        assert len(refused) == 1
        assert said in refused[0]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Service", "mlflow"),
        ("ConfigMap", "reconciler-admission"),
        ("ConfigMap", "reconciler-spec"),
        ("NetworkPolicy", "default-deny"),
        ("Deployment", "router"),
    ],
)
def test_the_loop_changes_nothing_but_doors(policies: Policies, production: list[Object], kind: str, name: str) -> None:
    found = [one for one in production if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    assert found
    for operation in ("CREATE", "UPDATE", "DELETE"):
        assert any("doors and their routes alone" in said for said in policies.refusals(found[0], operation=operation))


@pytest.mark.parametrize(
    ("kind", "plant", "said"),
    [
        ("NetworkPolicy", attack.selects_all, "about doors alone"),
        ("NetworkPolicy", attack.selects_by_another_label, "about doors alone"),
        ("NetworkPolicy", attack.selects_an_account_like_ours, "about doors alone"),
        ("Service", attack.leads_to_mlflow, "lead to doors alone"),
        ("Service", attack.leads_where_somebody_says_later, "lead to doors alone"),
        ("Service", attack.balanced, "lead to doors alone"),
        ("Service", attack.opened, "lead to doors alone"),
        ("Deployment", attack.labelled_as("redis"), "labelled as doors"),
        ("Deployment", attack.without_labels, "labelled as doors"),
        ("Deployment", attack.of_no_installation, "labelled as doors"),
        ("HorizontalPodAutoscaler", attack.scales_mlflow, "scale doors alone"),
        ("Job", attack.labelled_as("redis"), "labelled as IntentFlow's materialise"),
        ("Job", attack.without_labels, "labelled as IntentFlow's materialise"),
        ("Job", attack.of_no_installation, "labelled as IntentFlow's materialise"),
    ],
)
def test_an_object_of_a_door_s_name_is_about_doors_alone(
    policies: Policies, doors: list[Object], job: Object, kind: str, plant: Callable[[Object], None], said: str
) -> None:
    """A name that begins as a door's is anybody's to give; whose traffic it takes, selectors and labels say."""
    one = copy.deepcopy(job if kind == "Job" else the(doors, kind, "recommender-0a1b2c3d4e5f"))
    plant(one)
    (refused,) = policies.refusals(one)
    assert said in refused


def test_the_loop_takes_no_tombstones_away(policies: Policies) -> None:
    tombstones = {"kind": "ConfigMap", "metadata": {"name": "recommender-forgotten"}, "data": {}}
    for operation in ("CREATE", "UPDATE", "DELETE"):
        (refused,) = policies.refusals(tombstones, old=tombstones, operation=operation)
        assert "no tombstones" in refused


def test_a_job_of_another_name_is_refused(policies: Policies, job: Object) -> None:
    other = job | {"metadata": {**job["metadata"], "name": "anything"}}
    assert policies.refusals(other) == ["the loop makes Jobs of profiles alone, whose names begin with materialise-"]


def test_a_router_s_pod_may_be_marked_and_its_image_may_not_be_changed(
    policies: Policies, production: list[Object]
) -> None:
    spec = pod_of(the(production, "Deployment", "router"))
    labels = {NAME: "router", PART_OF: "intentflow"}
    pod: Object = {"kind": "Pod", "metadata": {"name": "router-6d5f-abcde", "labels": labels}, "spec": spec}
    marked = pod | {"metadata": {**pod["metadata"], "annotations": {"intentflow/routes": "1"}}}
    assert policies.refusals(marked, old=pod, operation="UPDATE") == []
    changed = copy.deepcopy(pod)
    changed["spec"]["containers"][0]["image"] = "evil"
    assert "changes nothing that runs in them" in policies.refusals(changed, old=pod, operation="UPDATE")[0]
    first = {**pod, "spec": {**spec, "initContainers": [{"name": "first", "image": "ours"}]}}
    evil = {**pod, "spec": {**spec, "initContainers": [{"name": "first", "image": "evil"}]}}
    assert "changes nothing that runs in them" in policies.refusals(evil, old=first, operation="UPDATE")[0]
    named = pod | {"metadata": {**pod["metadata"], "labels": {NAME: "mlflow"}}}
    assert "nor their labels" in policies.refusals(named, old=pod, operation="UPDATE")[0]
    mlflow = pod | {"metadata": {"name": "mlflow-6d5f-abcde", "labels": labels}}
    assert policies.refusals(mlflow, old=mlflow, operation="UPDATE")


@pytest.mark.parametrize("named", ["mlflow", "router", None])
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_that_bears_a_server_s_name_is_refused(
    policies: Policies, doors: list[Object], job: Object, kind: str, named: str | None
) -> None:
    """Labelled as MLflow's it would stand behind MLflow's Service, and be told the passwords of who asks."""
    one = copy.deepcopy(job if kind == "Job" else the(doors, "Deployment", "recommender-0a1b2c3d4e5f"))
    labels = one["spec"]["template"]["metadata"]["labels"]
    labels.pop("app.kubernetes.io/name")
    if named is not None:
        labels["app.kubernetes.io/name"] = named
    (refused,) = policies.refusals(one)
    assert "labelled as" in refused


def test_each_expression_is_over_one_form_of_object(production: list[Object]) -> None:
    """The API server checks an expression against every kind that its policy matches, and warns of absent fields."""
    for name in POLICIES:
        spec = the(production, "ValidatingAdmissionPolicy", name)["spec"]
        said = " ".join(one["expression"] for one in [*spec.get("variables", ()), *spec["validations"]])
        if "bject.spec" in said:
            kinds = {kind for rule in spec["matchConstraints"]["resourceRules"] for kind in rule["resources"]}
            assert kinds <= {"deployments", "jobs"} or len(kinds) == 1


def test_every_policy_denies_and_fails_shut(production: list[Object]) -> None:
    for name in POLICIES:
        assert the(production, "ValidatingAdmissionPolicy", name)["spec"]["failurePolicy"] == "Fail"
        assert the(production, "ValidatingAdmissionPolicyBinding", name)["spec"]["validationActions"] == ["Deny"]
    bound = the(production, "ValidatingAdmissionPolicyBinding", PODS)["spec"]
    assert bound["paramRef"] == {"name": "reconciler-admission", "parameterNotFoundAction": "Deny"}


def test_the_namespace_bears_the_label_by_which_the_policies_hold(production: list[Object]) -> None:
    wanted = the(production, "ValidatingAdmissionPolicyBinding", PODS)["spec"]["matchResources"]["namespaceSelector"]
    labels = the(production, "Namespace", "intentflow")["metadata"]["labels"]
    assert wanted["matchLabels"].items() <= labels.items()


def test_an_installation_without_a_loop_is_not_bound(production: list[Object]) -> None:
    """The policies are cluster-wide and outlive a namespace: without the lists they would refuse every Deployment."""
    local = release_overlay.render(ROOT / "k8s" / "overlays" / "local")
    labels = the(local, "Namespace", "intentflow")["metadata"]["labels"]
    assert not any(one["metadata"]["name"] == "reconciler-admission" for one in local)
    for name in POLICIES:
        selector = the(production, "ValidatingAdmissionPolicyBinding", name)["spec"]["matchResources"]
        assert not selector["namespaceSelector"]["matchLabels"].items() <= labels.items()
