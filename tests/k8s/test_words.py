"""vLLM beside the doors: a cluster would take it, doors know where it is, and nothing reaches it but who may ask."""

import json

import pytest

from components.content.llm import settings
from pipelines.manifests.objects import title
from tests.k8s import admission, pod_security
from tests.k8s.test_overlays import pod, render

DOORS = {"app.kubernetes.io/component": "serving"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render(tmp_path_factory.mktemp("overlay"), "local", ["words"])


@pytest.fixture(scope="module")
def objects(rendered):
    return {title(o): o for o in rendered}


def test_a_cluster_would_take_it(rendered):
    assert admission.check(rendered) == []


def test_doors_read_where_it_is_and_its_key_is_in_no_manifest(rendered, objects):
    (door,) = pod(objects, "recommender")["containers"]
    env = {one["name"]: one for one in door["env"]}
    found = settings.read({settings.LLM: env[settings.LLM]["value"]})
    assert found is not None
    endpoint, _ = found
    (service,) = objects["Service/vllm"]["spec"]["ports"]
    (server,) = pod(objects, "vllm")["containers"]
    assert endpoint.url == f"http://vllm:{service['port']}/v1"
    assert server["args"][server["args"].index("--served-model-name") + 1] == endpoint.model
    assert not endpoint.person_facts, "a person decides that facts about people leave for it"
    own = {one["name"]: one for one in server["env"]}
    key = {"secretKeyRef": {"name": "words", "key": "key"}}
    assert env[settings.KEY]["valueFrom"] == own["VLLM_API_KEY"]["valueFrom"] == key
    assert "Secret/words" not in objects


def test_it_has_one_gpu_and_its_weights_are_read_only(objects):
    found = pod(objects, "vllm")
    (server,) = found["containers"]
    assert server["resources"]["requests"]["nvidia.com/gpu"] == server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert found["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    (model,) = [one for one in server["volumeMounts"] if one["name"] == "model"]
    assert (model["mountPath"], model["readOnly"]) == (server["args"][0], True)
    assert list(pod_security.problems(found)) == []


def test_it_reaches_nobody_and_only_doors_jobs_and_pipelines_reach_it(objects):
    policy = objects["NetworkPolicy/vllm"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert not policy.get("egress")
    asking = json.dumps(policy["ingress"])
    assert all(word in asking for word in ("serving", "jobs", "intentflow/words"))
    labels = pod(objects, "recommender")
    assert DOORS.items() <= objects["Deployment/recommender"]["spec"]["template"]["metadata"]["labels"].items(), labels
    (reached,) = objects["NetworkPolicy/recommender-words"]["spec"]["egress"]
    assert reached["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}}}]
