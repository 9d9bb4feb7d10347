"""What is tried on a cluster while customers ask: a literal list of acts, each with what must be so at its end.

An act is what a person or an accident does; it returns a note when the cluster has come to rest, and raises where it
does not. `bar` is how many reads may fail; `spared_s` leaves failures of the first seconds out of it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from feature_repo.errors import ServerError
from tests.cluster.field import Field
from tests.cluster.kube import NAMESPACE, POD

NOWHERE = "192.0.2.1"  # of TEST-NET-1: what is sent there is never answered
GRACE = "--grace-period=0 --force --wait=false"


@dataclass(frozen=True)
class Trial:
    """One act under load."""

    name: str
    command: str  # as a person types it, or what the accident is
    act: Callable[[Field], str]
    bar: int = 0  # reads that may fail
    spared_s: float = 0.0


def second_release(field: Field) -> str:
    """Write the second release's manifests, then apply them by hand."""
    field.release()
    return forward_again(field)


def undo(field: Field) -> str:
    """Take the Deployment back as kubectl does."""
    field.kube.kubectl("rollout undo deployment/recommender")
    field.kube.rolled_out("recommender")
    return f"release {_template(field, 'recommender')}"


def forward_again(field: Field) -> str:
    """Apply the newest release's folder, also after an undo: what kubectl took back comes again."""
    made = field.made[-1]
    field.kube.kubectl(f"apply -k {made['manifests']}")
    field.kube.rolled_out("recommender")
    found = _template(field, "recommender")
    assert found == made["id"], f"pods run {found}, not {made['id']}"
    return f"release {found}"


def router_restarted(field: Field) -> str:
    field.kube.kubectl("rollout restart deployment/router")
    field.kube.rolled_out("router")
    return "2 routers"


def router_deleted(field: Field) -> str:
    pod = field.kube.pods("app.kubernetes.io/name=router")[0]
    field.kube.kubectl(f"delete pod {pod} {GRACE}")
    field.kube.rolled_out("router")
    return "2 routers"


def door_killed(field: Field) -> str:
    """End the only door at once."""
    door = field.door()
    for pod in field.kube.pods(f"app.kubernetes.io/name={door}"):
        field.kube.kubectl(f"delete pod {pod} {GRACE}")
    return f"back after {_back(field, door):.0f} s"


def door_evicted(field: Field) -> str:
    """Drain the node of the only door, as an upgrade of the node does."""
    kube, door = field.kube, field.door()
    (pod, *_) = kube.get(f"pods -l app.kubernetes.io/name={door}")["items"]
    node = pod["spec"]["nodeName"]
    kube.shell(
        f"kubectl drain {node} --pod-selector=app.kubernetes.io/name={door} --ignore-daemonsets"
        " --delete-emptydir-data --timeout=120s; kubectl uncordon " + node,
        timeout_s=180,
    )
    return f"back after {_back(field, door):.0f} s"


def restarted(server: str) -> Callable[[Field], str]:
    """Return the act that restarts a server."""

    def act(field: Field) -> str:
        field.kube.kubectl(f"rollout restart deployment/{server}")
        field.kube.rolled_out(server)
        return f"{server} is ready"

    return act


def black_hole(field: Field) -> str:
    """Let half of the connections to the door go where nobody answers, for 15 s, as a node that died does."""
    kube, door = field.kube, field.door()
    probe = f"import socket; socket.create_connection(('{NOWHERE}', 3000), 4)"
    said = kube.shell(f'kubectl -n {NAMESPACE} exec {POD} -- python -c "{probe}"', check=False).stderr
    if "timed out" not in said:
        raise ServerError(f"{NOWHERE} is no black hole here: {said.strip()[-200:] or 'it answers'}")
    service = field.kube.routes()["stable"]["url"].partition("://")[2].partition(":")[0].partition("/")[0]
    manifest = kube.work / "black-hole.json"
    manifest.write_text(_slice(service), encoding="utf-8")
    kube.kubectl(f"apply -f {manifest}")
    try:
        kube.kubectl("rollout restart deployment/router")  # else its old connections hide the hole
        kube.rolled_out("router")
        kube.shell("sleep 10")
    finally:
        kube.kubectl(f"delete -f {manifest}")
    return f"{kube.ready(door)} door answers"


def loop_with_a_failing_job(field: Field) -> str:
    """Switch the loop on where the Job of profiles cannot start: what serves must serve on, and stay the champion."""
    kube, champion = field.kube, field.champion()
    kube.kubectl("delete secret materialise")
    kube.kubectl(f"apply -k {field.overlay()}")
    kube.rolled_out("reconciler")
    kube.shell("sleep 60")
    assert field.champion() == champion, f"champion was {champion} and is {field.champion() or 'nobody'}"
    assert kube.ready(field.door()) >= 1, "no door is ready"
    return f"version {champion} serves and is the champion"


def loop_mended(field: Field) -> str:
    """Make the Secret: the loop adopts what serves."""
    kube = field.kube
    kube.shell("sh k8s/overlays/local/secrets.sh > /dev/null")
    seconds = kube.wait("the loop adopts the champion", lambda: _adopted(field), seconds=900)
    return f"adopted after {seconds:.0f} s"


def promoted_by_alias(field: Field) -> str:
    """Move the alias in MLflow: the loop builds, mirrors, rolls out, promotes."""
    made = field.other()
    field.move(made["version"])
    seconds = field.serves(made["id"], seconds=1200)
    return f"release {made['id']} after {seconds:.0f} s"


def rolled_back(field: Field) -> str:
    found = field.kube.intentflow("rollback --why 'k8s/try'", timeout_s=300)
    field.serves(found["serving"])
    return f"version {found['champion']} after {found['seconds']} s"


def loop_killed(field: Field) -> str:
    """Train a third release, which the run makes the champion, and end the loop's pod in the middle of its canary."""
    kube = field.kube
    run = field.train(k=3)
    kube.wait("a canary begins", lambda: kube.routes()["mode"] == "canary", seconds=900)
    for pod in kube.pods("app.kubernetes.io/name=reconciler"):
        kube.kubectl(f"delete pod {pod} {GRACE}")
    made = field.release(run["release_version"])
    return f"release {made['id']} after {field.serves(made['id'], seconds=1200):.0f} s more"


def two_loops(field: Field) -> str:
    kube = field.kube
    kube.kubectl("scale deployment/reconciler --replicas=2")
    kube.rolled_out("reconciler")
    kube.shell("sleep 20")
    (lease,) = kube.get("leases")["items"]
    kube.kubectl("scale deployment/reconciler --replicas=1")
    return f"one holds the lease: {lease['spec']['holderIdentity'][:30]}"


def overlay_applied(how: str) -> Callable[[Field], str]:
    """Return the act that applies the overlay again while the loop runs."""

    def act(field: Field) -> str:
        release = field.kube.routes()["stable"]["release"]
        field.kube.kubectl(f"apply {how} -k {field.overlay()}")
        field.kube.shell("sleep 30")
        return f"release {release} after {field.serves(release):.0f} s"

    return act


def scaled_to_nothing(field: Field) -> str:
    kube, door = field.kube, field.door()
    kube.kubectl(f"scale deployment/{door} --replicas=0")
    kube.wait("its pods go", lambda: kube.ready(door) == 0, seconds=60)
    return f"back after {_back(field, field.door()):.0f} s"


def alias_lost(field: Field) -> str:
    """Take the champion's alias away by hand, then one command."""
    kube, champion = field.kube, field.champion()
    field.mlflow("DELETE", "alias", json={"name": field.name, "alias": "champion"}).raise_for_status()
    kube.shell("sleep 10")
    found = kube.intentflow("rollback --why 'k8s/try: the alias was lost'", timeout_s=300)
    assert field.champion() == champion, f"champion was {champion} and is {field.champion() or 'nobody'}"
    return f"version {found['champion']} again"


def forgotten(field: Field) -> str:
    """Forget a customer who goes on asking and buying; a second look, later, must find nothing of theirs."""
    kube = field.kube
    ids = kube.work / "ids.txt"
    ids.write_text("8\n", encoding="utf-8")
    name = yaml.safe_load(kube.spec.read_text(encoding="utf-8"))["name"]
    script = f"sh k8s/forget.sh {kube.work / 'state' / name} {ids}"
    first = kube.intentflow("forget --user 8", timeout_s=600)
    kube.shell("sleep 15")  # doors hear of a tombstone within 10 s
    kube.shell(script)
    kube.shell("sleep 30")
    again = kube.intentflow("forget --user 8", timeout_s=600)
    said = kube.shell(script).stdout
    back = [line for line in said.splitlines() if '"removed"' in line and '"removed": 0' not in line]
    if again["removed"] or again["left"] or back:
        raise ServerError(f"they came back: {again['removed']}, {again['left']}, {back}")
    return f"{sum(first['removed'].values())} rows went here, nothing came back"


def backed_up(field: Field) -> str:
    """Save Redis, PostgreSQL and MLflow."""
    folder = field.kube.work / "backup"
    field.kube.shell(f"k8s/backup {folder}", timeout_s=900)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if not size:
        raise ServerError(f"{folder}: nothing was saved")
    return f"{size / 2**20:.1f} MiB"


def restored(field: Field) -> str:
    """Put them back while customers ask."""
    release = field.kube.routes()["stable"]["release"]
    field.kube.shell(f"k8s/restore {field.kube.work / 'backup'}", timeout_s=1800)
    return f"release {release} after {field.serves(release):.0f} s; champion {field.champion()}"


def _template(field: Field, deployment: str) -> str:
    """Return the release that the pods of a Deployment are made for."""
    template = field.kube.get(f"deployment {deployment}")["spec"]["template"]
    found: str = template["metadata"]["labels"]["app.kubernetes.io/version"]
    return found


def _back(field: Field, door: str) -> float:
    return field.kube.wait(f"{door} is ready again", lambda: field.kube.ready(door) >= 1)


def _adopted(field: Field) -> bool:
    """Tell whether the loop has written down what serves."""
    reply = field.mlflow("GET", "get", params={"name": field.name})
    tags = {tag["key"]: tag["value"] for tag in reply.json()["registered_model"].get("tags", [])}
    state = json.loads(tags.get("rollout", "{}"))
    stable = (state.get("stable") or {}).get("release")
    routed = field.kube.routes()["stable"]["release"] == stable
    return state.get("phase") == "idle" and routed and field.kube.ready(field.door()) >= 1


def _slice(service: str) -> str:
    document = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-nowhere", "namespace": NAMESPACE,
                     "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 3000, "protocol": "TCP"}],
        "endpoints": [{"addresses": [NOWHERE], "conditions": {"ready": True}}],
    }  # fmt: skip
    return yaml.safe_dump(document)


TRIALS = (
    Trial("a release is applied", "kubectl apply -k <the release's folder>", second_release),
    Trial("undo", "kubectl rollout undo deployment/recommender", undo),
    Trial("applied again after the undo", "kubectl apply -k <the release's folder>", forward_again),
    Trial("routers restarted", "kubectl rollout restart deployment/router", router_restarted),
    Trial("one router deleted at once", f"kubectl delete pod <router> {GRACE}", router_deleted),
    Trial("the only door killed", f"kubectl delete pod <door> {GRACE}", door_killed),
    Trial("the only door evicted", "kubectl drain <node> --pod-selector=…", door_evicted),
    Trial("a door of two swallows connections", "an address that never answers, new routers",
          black_hole, spared_s=1.0),
    Trial("Redis restarted", "kubectl rollout restart deployment/redis", restarted("redis")),
    Trial("PostgreSQL restarted", "kubectl rollout restart deployment/postgres", restarted("postgres")),
    Trial("MLflow restarted", "kubectl rollout restart deployment/mlflow", restarted("mlflow")),
    Trial("the loop is switched on, its Job fails", "kubectl apply -k <overlay>", loop_with_a_failing_job),
    Trial("the Job's Secret is made", "sh k8s/overlays/local/secrets.sh", loop_mended),
    Trial("promoted by alias", "the alias champion moved in MLflow", promoted_by_alias),
    Trial("rollback", "intentflow rollback", rolled_back),
    Trial("a run, the loop killed in its canary", f"intentflow run; kubectl delete pod <loop> {GRACE}", loop_killed),
    Trial("two loops at once", "kubectl scale deployment/reconciler --replicas=2", two_loops),
    Trial("the overlay applied with the loop on", "kubectl apply -k <overlay>", overlay_applied("")),
    Trial("the same, server-side", "kubectl apply --server-side --force-conflicts -k <overlay>",
          overlay_applied("--server-side --force-conflicts")),
    Trial("the door scaled to nothing", "kubectl scale deployment/<door> --replicas=0", scaled_to_nothing),
    Trial("the champion's alias lost", "intentflow rollback", alias_lost),
    Trial("a customer forgotten", "intentflow forget --user 8; sh k8s/forget.sh …", forgotten),
    Trial("saved", "k8s/backup <folder>", backed_up),
    Trial("restored", "k8s/restore <folder>", restored),
)  # fmt: skip
