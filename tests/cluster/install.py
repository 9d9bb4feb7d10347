"""The ten commands of k8s/README.md, run as they are written there."""

import datetime as dt
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

from feature_repo.errors import SpecError
from tests.cluster.field import Field
from tests.cluster.kube import NAMESPACE, Kube, documented
from tests.cluster.run import Row, Table, first_answer

VERSIONS = ("1", "2")  # that `installed` trains
WRITTEN = "pipelines/specs/grocery.yaml"  # the spec that the commands name


def about(kube: Kube) -> str:
    """Say what is tried on, and when."""
    server = json.loads(kube.shell("kubectl version -o json").stdout)["serverVersion"]["gitVersion"]
    nodes = json.loads(kube.shell("kubectl get nodes -o json").stdout)["items"]
    sizes = [
        f"{n['status']['capacity']['cpu']} cores, {n['status']['nodeInfo']['containerRuntimeVersion']}" for n in nodes
    ]
    revision = kube.shell("git rev-parse --short HEAD", check=False).stdout.strip() or "no git"
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return f"Kubernetes {server}, nodes: {len(nodes)} ({'; '.join(sizes)}); {today}; {revision}; spec {kube.spec.name}"


def images(kube: Kube, how: str, table: Table) -> None:
    """Run the second to the fourth command, where the nodes do not have the image yet."""
    if how == "kind":
        for number in (2, 3, 4):
            _timed(kube, number, table)


@contextmanager
def installed(field: Field, table: Table) -> Iterator[None]:
    """Run the fifth to the tenth command; port-forwards last as long as the block."""
    kube = field.kube
    if kube.shell(f"kubectl get namespace {NAMESPACE}", check=False).returncode == 0:
        raise SpecError(
            f"namespace {NAMESPACE}: is there already; `kubectl delete namespace {NAMESPACE}` takes everything in it"
            " away, or try single acts on it with --only"
        )
    _timed(kube, 5, table)
    _secrets(kube)
    kube.rolled_out("mlflow", "evidently", "redis", "postgres", "router")
    with kube.forwards():
        time.sleep(3)
        field.kube.work.joinpath("recommender.yaml").write_text(kube.spec.read_text(encoding="utf-8"), encoding="utf-8")
        _timed(kube, 8, table)
        started = time.monotonic()
        made = field.release()
        kube.kubectl(f"apply -k {made['manifests']}")
        kube.rolled_out("recommender")
        table.add(Row("9", documented()[9], round(time.monotonic() - started, 1), True, f"release {made['id']}"))
        started = time.monotonic()
        answer = first_answer(field)
        rung = answer["profile"]["rung"]
        fine = answer["release"] == made["id"]
        table.add(Row("10", "…/recommend", round(time.monotonic() - started, 1), fine, f"rung {rung}"))
        started = time.monotonic()
        run = field.train(k=4)
        table.add(Row("again", "intentflow run (serving.k changed)", round(time.monotonic() - started, 1),
                      bool(run.get("passed", True)), f"version {run.get('release_version')}"))  # fmt: skip
        yield


@contextmanager
def connected(field: Field) -> Iterator[None]:
    """Go on with what was installed before."""
    kube = field.kube
    if kube.shell(f"kubectl get namespace {NAMESPACE}", check=False).returncode:
        raise SpecError(f"namespace {NAMESPACE}: is not there; run k8s/try without --only first")
    _secrets(kube)
    with kube.forwards():
        time.sleep(3)
        for version in VERSIONS:
            field.release(version)
        yield


def _timed(kube: Kube, number: int, table: Table) -> None:
    """Run one of the ten, with the spec that is tried in place of the one that is written there."""
    command = documented()[number].replace(WRITTEN, str(kube.spec))
    started = time.monotonic()
    kube.shell(command, timeout_s=3 * 3600)
    table.add(Row(str(number), command, round(time.monotonic() - started, 1), True, "done"))


def _secrets(kube: Kube) -> None:
    """Run the sixth command: its `export` lines are variables of all that follow."""
    said = kube.shell("sh k8s/overlays/local/secrets.sh").stdout
    words = [word.partition("=") for word in shlex.split(said)]
    kube.variables.update({name: value for name, equals, value in words if equals})
