"""Two loops never act at once, here or on a cluster, and whoever lost the lease stops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from feature_repo.errors import Refused, ServerError
from pipelines.leases import cluster_lease
from pipelines.leases.file_lease import held_here
from pipelines.leases.lease import next_token
from pipelines.leases.place_lease import held
from tests.patience import patient

QUICK = cluster_lease.Pace(duration_s=1, renew_within_s=0.6, every_s=0.1)
CALM = cluster_lease.Pace(duration_s=3, renew_within_s=2.8, every_s=0.1)  # a machine that is busy may renew late
HOLDER = """
import sys, time
from pathlib import Path
from pipelines.leases.file_lease import held_here
with held_here(Path(sys.argv[1])) as lease:
    print(lease.token, flush=True)
    time.sleep(60)
"""


def take(api, *, wait_s=0.0, pace=QUICK):
    return cluster_lease.held_in(api, "intentflow-grocery", wait_s=wait_s, pace=pace)


def test_a_second_loop_of_a_state_folder_is_refused_and_told_who_acts(place):
    with held(place()) as first:
        with pytest.raises(Refused, match=rf"process {os.getpid()} holds the lease and acts already"), held(place()):
            pass
        assert first.still()
    with held(place()) as second:
        assert second.token > first.token


@pytest.mark.process
def test_a_killed_holder_leaves_the_lease_free(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        token = int(holder.stdout.readline())
        with pytest.raises(Refused, match=f"process {holder.pid} holds"), held_here(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with held_here(tmp_path) as lease:
        assert lease.token > token


def test_a_holder_whose_state_folder_was_removed_stops(tmp_path):
    with held_here(tmp_path) as lease:
        (tmp_path / "rollout" / "lease.lock").unlink()
        assert not lease.still()
        with pytest.raises(Refused, match="another loop acts now, this one stops"):
            lease.require()


def test_tokens_grow_even_where_the_record_of_the_last_was_lost():
    assert next_token(0) < next_token(next_token(0))
    assert next_token(0, now_s=1000.0) > next_token(0, now_s=999.0)


def test_of_many_who_ask_for_a_cluster_s_lease_one_acts_at_a_time(cluster):
    acting, seen, tokens = [], [], []

    def loop():
        with take(cluster.api, wait_s=30, pace=CALM) as lease:
            acting.append(lease.holder)
            seen.append(len(acting))
            tokens.append(lease.token)
            time.sleep(0.05)
            assert lease.still()
            acting.remove(lease.holder)

    loops = [threading.Thread(target=loop) for _ in range(4)]
    for one in loops:
        one.start()
    for one in loops:
        one.join()
    assert seen == [1, 1, 1, 1]
    assert tokens == sorted(set(tokens))
    spec = cluster.cluster.get("leases", "intentflow-grocery")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("", 3)


def test_a_living_holder_is_not_disturbed_however_long_another_watches(cluster):
    with take(cluster.api, pace=CALM) as first:
        started = time.monotonic()
        with pytest.raises(Refused, match=r"holds Lease/intentflow-grocery of intentflow"), take(cluster.api, wait_s=4):
            pass
        assert time.monotonic() - started > CALM.duration_s
        assert first.still()


def abandoned(cluster, *, renewed):
    """Leave the Lease of a process that was killed."""
    metadata = {"name": "intentflow-grocery", "annotations": {cluster_lease.TOKEN: str(next_token(0))}}
    spec = {"holderIdentity": "ghost", "leaseDurationSeconds": 1, "leaseTransitions": 4, "renewTime": renewed}
    document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    cluster.cluster.put("leases", document)
    return int(metadata["annotations"][cluster_lease.TOKEN])


def test_the_lease_of_a_dead_holder_is_taken_over_after_its_time_with_a_larger_token(cluster):
    token = abandoned(cluster, renewed="2026-01-01T00:00:00.000000Z")
    started = time.monotonic()
    with take(cluster.api) as lease:
        assert time.monotonic() - started > 1.0  # as seen here: other machines' clocks say nothing
        assert lease.token > token
        assert cluster.cluster.get("leases", "intentflow-grocery")["spec"]["leaseTransitions"] == 5


def test_a_holder_that_lost_its_lease_stops_acting_and_does_not_take_it_back(cluster):
    with take(cluster.api) as lease:
        stolen = cluster.cluster.get("leases", "intentflow-grocery")
        stolen["spec"]["holderIdentity"] = "another"
        del stolen["metadata"]["resourceVersion"]
        cluster.cluster.put("leases", stolen)
        deadline = time.monotonic() + patient(2)
        while lease.still():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert cluster.cluster.get("leases", "intentflow-grocery")["spec"]["holderIdentity"] == "another"


def test_a_holder_that_cannot_renew_stops_before_another_may_take_over(cluster):
    with take(cluster.api, pace=cluster_lease.Pace(duration_s=3, renew_within_s=0.6, every_s=0.1)) as lease:
        cluster.cluster.away = True
        lost = time.monotonic()
        while lease.still():
            assert time.monotonic() - lost < 5
            time.sleep(0.01)
        assert time.monotonic() - lost < 3
        cluster.cluster.away = False


def test_a_label_that_somebody_adds_does_not_end_the_holder(cluster):
    with take(cluster.api, pace=CALM) as lease:
        labelled = cluster.cluster.get("leases", "intentflow-grocery")
        labelled["metadata"]["labels"] = {"team": "shop"}
        cluster.cluster.put("leases", {**labelled, "metadata": {**labelled["metadata"], "resourceVersion": ""}})
        time.sleep(0.5)
        assert lease.still()
    assert cluster.cluster.get("leases", "intentflow-grocery")["metadata"]["labels"] == {"team": "shop"}


def test_a_cluster_that_does_not_answer_is_one_line(cluster, place):
    cluster.cluster.away = True
    with (
        pytest.raises(ServerError, match=r"GET Lease/intentflow-grocery: etcd is away"),
        held(place(namespace="intentflow")),
    ):
        pass


def test_the_environment_s_namespace_decides_where_the_lease_is(cluster, place):
    with held(place(namespace="intentflow")) as lease:
        assert cluster.cluster.get("leases", "intentflow-grocery")["spec"]["holderIdentity"] == lease.holder
        assert json.loads(
            cluster.cluster.get("leases", "intentflow-grocery")["metadata"]["annotations"][cluster_lease.TOKEN]
        )
