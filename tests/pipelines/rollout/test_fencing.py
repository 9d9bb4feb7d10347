"""A loop that was paused and woke cannot write over what a later holder wrote."""

import pytest

from bentos.router.routes import Backend, Routes
from components.kube_api import Conflict
from feature_repo.errors import ServerError
from pipelines.leases.lease import LeaseLost
from pipelines.rollout.cluster import ClusterActuator
from pipelines.rollout.fencing import FencedApi, token_of


def config(name="recommender-routes", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_every_write_carries_the_token_and_an_older_one_is_refused(cluster):
    old, new = FencedApi(cluster.api, 5), FencedApi(cluster.api, 7)
    assert token_of(old.create("ConfigMap", config(a="1"))) == 5
    assert token_of(new.patch("ConfigMap", "recommender-routes", {"data": {"a": "2"}})) == 7
    for write in (
        lambda: old.patch("ConfigMap", "recommender-routes", {"data": {"a": "3"}}),
        lambda: old.apply(config(a="3")),
        lambda: old.delete("ConfigMap", "recommender-routes"),
    ):
        with pytest.raises(LeaseLost, match="written under token 7, this loop's is 5"):
            write()
    assert cluster.cluster.get("configmaps", "recommender-routes")["data"] == {"a": "2"}
    assert token_of(new.apply(config(a="4"))) == 7
    assert new.delete("ConfigMap", "recommender-routes")
    assert not new.delete("ConfigMap", "recommender-routes")


@pytest.mark.parametrize("write", ["apply", "patch", "delete"])
def test_a_write_between_the_look_and_the_act_is_seen_by_the_server(cluster, write):
    old, new = FencedApi(cluster.api, 5), FencedApi(cluster.api, 7)
    old.create("ConfigMap", config(a="1"))
    looked = old._looked

    def raced(kind, name):
        found = looked(kind, name)
        new.patch(kind, name, {"data": {"a": "2"}})
        return found

    old._looked = raced
    acts = {
        "apply": lambda: old.apply(config(a="3")),
        "patch": lambda: old.patch("ConfigMap", "recommender-routes", {"data": {"a": "3"}}),
        "delete": lambda: old.delete("ConfigMap", "recommender-routes"),
    }
    with pytest.raises(LeaseLost):
        acts[write]()
    assert cluster.cluster.get("configmaps", "recommender-routes")["data"] == {"a": "2"}


def test_a_version_that_the_caller_names_is_a_conflict_and_others_are_tried_a_few_times(cluster):
    api = FencedApi(cluster.api, 5)
    api.create("ConfigMap", config(a="1"))
    with pytest.raises(Conflict):
        api.patch("ConfigMap", "recommender-routes", {"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}})
    looked = api._looked

    def always(kind, name):
        found = looked(kind, name)
        cluster.api.patch(kind, name, {"data": {"n": found["metadata"]["resourceVersion"]}})
        return found

    api._looked = always
    with pytest.raises(ServerError, match="another one writes it at the same time"):
        api.apply(config(a="3"))


def test_whoever_takes_over_marks_the_routes_at_once(cluster, place):
    cluster.cluster.put("configmaps", config(**{"routes.json": "{}"}))
    first, second = (ClusterActuator(place(namespace="intentflow")) for _ in range(2))
    first.under(5)
    second.under(9)
    stable = Backend(release="r", url="http://r")
    with pytest.raises(LeaseLost):
        first.route(Routes(stable=stable))
    second.route(Routes(stable=stable))
    assert second.routed() == Routes(stable=stable)
    assert token_of(cluster.cluster.get("configmaps", "recommender-routes")) == 9
