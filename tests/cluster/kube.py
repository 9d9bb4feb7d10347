"""The cluster that is tried: kubectl by name of its context, the commands of k8s/README.md, and the customers' pod."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError

NAMESPACE = "intentflow"
README = ROOT / "k8s" / "README.md"
SERVERS = {"mlflow": 5000, "postgres": 5432, "redis": 6379, "evidently": 8000}
CUSTOMERS = Path(__file__).with_name("customers.py")
POD = "try-customers"
IMAGE = "intentflow-python:0.1.0"


def documented() -> dict[int, str]:
    """Return the ten commands of k8s/README.md by their numbers.

    >>> documented()[5]
    'kubectl apply -k k8s/overlays/local'
    """
    section = (
        README.read_text(encoding="utf-8").partition("## From nothing to recommendations")[2].partition("\n## ")[0]
    )
    return {int(number): command for number, command in re.findall(r"^(\d+)\. `([^`]+)`", section, re.MULTILINE)}


@dataclass(frozen=True)
class Seen:
    """What customers were told in a window of time."""

    told: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Return the reads that got no answer, or one that is no 200."""
        return [one for one in self.told if one["path"] == "/recommend" and one["status"] != 200]

    @property
    def reads(self) -> int:
        """Count the reads."""
        return sum(one["path"] == "/recommend" for one in self.told)

    @property
    def events(self) -> Counter[int]:
        """Count the answers to events by status."""
        return Counter(one["status"] for one in self.told if one["path"] == "/events")

    @property
    def degraded(self) -> int:
        """Count the reads that a lower rung answered."""
        return sum(bool(one.get("degraded")) for one in self.told)

    @property
    def slowest_ms(self) -> float:
        """Return how long the slowest read took."""
        return max((one.get("ms", 0.0) for one in self.told if one["path"] == "/recommend"), default=0.0)

    @property
    def releases(self) -> list[str]:
        """Return the releases that answered, in the order in which they first did."""
        return list(dict.fromkeys(one["release"] for one in self.told if one.get("release")))

    def reasons(self) -> str:
        """Say why reads failed, by status.

        >>> Seen(({"path": "/recommend", "status": 503},)).reasons()
        '503: 1'
        """
        return ", ".join(f"{status}: {n}" for status, n in Counter(one["status"] for one in self.failed).most_common())


@dataclass
class Kube:
    """One cluster by its kubectl context, and a checkout whose commands are tried on it."""

    context: str
    spec: Path
    work: Path  # what is written by a trial: specs, overlays, state, logs
    variables: dict[str, str] = field(default_factory=dict)  # of step 6
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Refuse a context that kubectl does not know, and make a kubeconfig that knows no other."""
        self.work.mkdir(parents=True, exist_ok=True)
        if shutil.which("kubectl") is None:
            raise SpecError("kubectl: not on the PATH; a kubectl of 1.27 or newer is needed")
        words = ["kubectl", "config", "view", "--minify", "--flatten", "--raw", "--context", self.context]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SpecError(
                f"--context {self.context}: {done.stderr.strip()}; `kubectl config get-contexts` lists them"
            )
        config = self.work / "kubeconfig"
        config.touch(mode=0o600)
        config.write_text(done.stdout, encoding="utf-8")
        self.environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            "KUBECONFIG": str(config),
            "INTENTFLOW_STATE": str(self.work / "state"),
            "PYTHONPATH": str(ROOT),
        }

    def shell(self, command: str, *, timeout_s: float = 600, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line at the top of the checkout, as a person would, with the secrets of the sixth."""
        done = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=self.environment | self.variables,
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise ServerError(
                f"`{command}` ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1500:]}"
            )
        return done

    def kubectl(self, words: str, *, timeout_s: float = 600, check: bool = True) -> str:
        """Run kubectl in the namespace and return what it prints."""
        return self.shell(f"kubectl -n {NAMESPACE} {words}", timeout_s=timeout_s, check=check).stdout.strip()

    def get(self, words: str) -> Any:
        """Return objects as the API has them."""
        return json.loads(self.kubectl(f"get {words} -o json"))

    def intentflow(self, words: str, *, spec: Path | None = None, timeout_s: float = 3600) -> dict[str, Any]:
        """Run our own command line against the overlay's servers and return the document that it prints."""
        verb, _, more = words.partition(" ")
        line = f"intentflow {verb} {spec or self.spec} --env k8s/overlays/local/environment.yaml {more} --json"
        found: dict[str, Any] = json.loads(self.shell(line, timeout_s=timeout_s).stdout)
        return found

    def wait(self, what: str, holds: Callable[[], bool], *, seconds: float = 420) -> float:
        """Wait until something holds; return the seconds that it took."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            try:
                if holds():
                    return time.monotonic() - started
            except (ServerError, KeyError, IndexError, ValueError):
                pass  # what is asked is away for a moment: that is what is tried
            time.sleep(1)
        raise ServerError(f"{what}: not in {seconds:.0f} s")

    def rolled_out(self, *names: str, seconds: float = 600) -> None:
        """Wait until Deployments are as they were asked for."""
        for name in names:
            self.kubectl(f"rollout status deployment/{name} --timeout={seconds:.0f}s", timeout_s=seconds + 30)

    def ready(self, name: str) -> int:
        """Count the ready pods of a Deployment."""
        return int(self.get(f"deployment {name}").get("status", {}).get("readyReplicas", 0))

    def routes(self) -> dict[str, Any]:
        """Return the routers' table: the rollout's, or before there is one that of the overlay."""
        held = self.kubectl("get configmap recommender-routes --ignore-not-found -o json")
        if not held:
            volumes = self.get("deployment router")["spec"]["template"]["spec"]["volumes"]
            (first,) = [one["configMap"]["name"] for one in volumes if one["name"] == "first-routes"]
            held = self.kubectl(f"get configmap {first} -o json")
        found: dict[str, Any] = json.loads(json.loads(held)["data"]["routes.json"])
        return found

    def pods(self, selector: str) -> list[str]:
        """Name the pods of a selector that are not going away."""
        items = self.get(f"pods -l {selector}")["items"]
        return [one["metadata"]["name"] for one in items if "deletionTimestamp" not in one["metadata"]]

    @contextmanager
    def forwards(self) -> Iterator[None]:
        """Keep the seventh command's port-forwards: kubectl ends one with its pod, a person would start it again."""
        self._stop.clear()
        threads = [threading.Thread(target=self._forward, args=it, daemon=True) for it in SERVERS.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=10)

    def _forward(self, service: str, port: int) -> None:
        words = ["kubectl", "-n", NAMESPACE, "port-forward", f"svc/{service}", str(port)]
        with (self.work / "forwards.log").open("ab") as log:
            while not self._stop.is_set():
                with subprocess.Popen(words, env=self.environment, stdout=log, stderr=log) as process:
                    while process.poll() is None and not self._stop.wait(0.5):
                        pass
                    process.terminate()
                self._stop.wait(1)  # one that cannot listen ends at once

    @contextmanager
    def customers(self, *, rate: float, users: int, items: list[str]) -> Iterator[None]:
        """Have customers ask from a pod all along; the pod ends with the block."""
        self.kubectl(f"delete pod {POD} --ignore-not-found --grace-period=0 --force")
        self.kubectl(
            f"create configmap {POD} --from-file={CUSTOMERS} --dry-run=client -o yaml"
            f" | kubectl -n {NAMESPACE} apply -f -"
        )
        (self.work / "customers.json").write_text(json.dumps(pod(rate, users, items)), encoding="utf-8")
        self.kubectl(f"apply -f {self.work / 'customers.json'}")
        self.kubectl(f"wait --for=condition=Ready pod/{POD} --timeout=120s")
        try:
            yield
        finally:
            self.kubectl(f"delete pod/{POD} configmap/{POD} --grace-period=0 --force", check=False)

    def seen(self, since: float, until: float) -> Seen:
        """Return what customers were told of requests that they sent in a window, in epoch seconds."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since - 1))
        lines = self.kubectl(f"logs {POD} --since-time={at}").splitlines()
        told = [json.loads(line) for line in lines]
        return Seen(tuple(one for one in told if since <= one["at"] < until))


def pod(rate: float, users: int, items: list[str]) -> Mapping[str, Any]:
    """Return the customers' pod, which a namespace with Pod Security `restricted` admits."""
    words = ["python", f"/customers/{CUSTOMERS.name}", "recommender", str(rate), str(users), ",".join(items)]
    alone = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        **{"name": "customers", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": words},
        **{"securityContext": alone, "volumeMounts": [{"name": "code", "mountPath": "/customers"}]},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    spec = {
        **{"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]},
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "code", "configMap": {"name": POD}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "labels": {"app": POD}}, "spec": spec}
