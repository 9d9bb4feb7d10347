"""A stand-in of the Kubernetes API on a real socket: it keeps objects and refuses what a real server refuses.

Bodies are held to the schemas of Kubernetes 1.36 (unknown fields too), writes to resourceVersion, pods to Pod Security
`restricted`, and each request to the rules of a Role where one is given. It keeps who owns which field, so that
server-side apply conflicts as it does on a server. Of the controllers it has just enough to make a Deployment's pods
ready or not. It is no test of scheduling, networks or the kubelet.
"""

import copy
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import kubernetes_objects
from tests.field_managers import Owners
from tests.kubernetes_objects import Object, Refusal, dropped

KINDS = {
    "configmaps": ("", "v1", "ConfigMap"),
    "services": ("", "v1", "Service"),
    "pods": ("", "v1", "Pod"),
    "deployments": ("apps", "v1", "Deployment"),
    "jobs": ("batch", "v1", "Job"),
    "cronjobs": ("batch", "v1", "CronJob"),
    "secrets": ("", "v1", "Secret"),
    "networkpolicies": ("networking.k8s.io", "v1", "NetworkPolicy"),
    "leases": ("coordination.k8s.io", "v1", "Lease"),
    "trainjobs": ("trainer.kubeflow.org", "v1alpha1", "TrainJob"),
    "horizontalpodautoscalers": ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    "poddisruptionbudgets": ("policy", "v1", "PodDisruptionBudget"),
}
CLUSTER_WIDE = {
    "namespaces": ("", "v1", "Namespace"),
    "storageclasses": ("storage.k8s.io", "v1", "StorageClass"),
    "selfsubjectaccessreviews": ("authorization.k8s.io", "v1", "SelfSubjectAccessReview"),
}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class Cluster:
    """The state of the server, and what tests change about it."""

    namespace: str = "intentflow"
    role: list[Object] | None = None  # rules; None lets everything pass
    pod_status: Callable[[Object], Object] = lambda pod: READY  # what becomes of a Deployment's pod
    refused_pods: str = ""  # why the API server admits no pod of a Deployment
    slow: bool = False  # a Deployment's pods stay those of the template before until `settle`
    away: bool = False
    version: str = "v1.36.2"
    groups: tuple[str, ...] = ("metrics.k8s.io/v1beta1",)  # that an API server of another program answers for
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # verb, resource, name
    lock: threading.RLock = field(default_factory=threading.RLock)
    _version: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    templates: dict[str, list[Object]] = field(default_factory=dict)  # of each Deployment, the newest last
    _owners: dict[tuple[str, str], Owners] = field(default_factory=dict)

    def get(self, resource: str, name: str) -> Object:
        """Return a copy of an object that is there."""
        with self.lock:
            return copy.deepcopy(self.objects[resource, name])

    def names(self, resource: str) -> list[str]:
        """Return the names of what is there."""
        with self.lock:
            return sorted(name for kind, name in self.objects if kind == resource)

    def put(self, resource: str, body: Object, *, manager: str = "another") -> Object:
        """Store an object as another client would."""
        with self.lock:
            there = self.objects.get((resource, body["metadata"]["name"]))
            return copy.deepcopy(self._store(resource, body, there, manager=manager))

    def apply(self, resource: str, body: Object, *, manager: str, force: bool = False) -> Object:
        """Apply an object on the server side as another client would."""
        with self.lock:
            name = body["metadata"]["name"]
            query = {"fieldManager": manager, "force": str(force).lower()}
            return self._apply(resource, name, body, self.objects.get((resource, name)), query)

    def delete(self, resource: str, name: str) -> None:
        """Delete an object as another client would."""
        with self.lock:
            self._delete(resource, name)

    def kept(self) -> dict[str, Any]:
        """Return a copy of all that was written so far, for `restore`."""
        with self.lock:
            names = ("objects", "requests", "templates", "_owners")
            parts: dict[str, Any] = {name: getattr(self, name) for name in names}
            return copy.deepcopy(parts) | {"version": next(self._version)}

    def restore(self, kept: dict[str, Any]) -> None:
        """Hold what another cluster held; what tests say of pods, roles and failures stays."""
        found = copy.deepcopy(kept)
        with self.lock:
            self._version = itertools.count(found.pop("version"))
            for name, value in found.items():
                setattr(self, name, value)

    def settle(self, name: str) -> None:
        """Let a Deployment's pods become those of its newest template."""
        with self.lock:
            self._roll(self.objects["deployments", name], slow=False)

    def answer(self, verb: str, resource: str, name: str, request: Request, body: Any) -> Any:
        """Do what one request asks for."""
        with self.lock:
            self.requests.append((verb, resource, name))
            if resource == "selfsubjectaccessreviews":
                return self._reviewed(body)
            self._authorize(verb, resource, name)
            there = self.objects.get((resource, name))
            manager = str(request.query_params.get("fieldManager", "client"))
            if verb == "list":
                return self._list(resource, request.query_params.get("labelSelector", ""))
            if verb == "create":
                name = body["metadata"]["name"]
                if (resource, name) in self.objects:
                    raise Refusal(409, "AlreadyExists", f'{resource} "{name}" already exists')
                if body["metadata"].get("resourceVersion"):
                    raise Refusal(400, "BadRequest", "resourceVersion should not be set on objects to be created")
                return self._store(resource, body, None, manager=manager)
            if verb == "patch" and request.headers["content-type"] == "application/apply-patch+yaml":
                return self._apply(resource, name, body, there, dict(request.query_params))
            if there is None:
                raise Refusal(404, "NotFound", f'{resource} "{name}" not found')
            if verb == "get":
                return there
            if verb == "delete":
                wanted = ((body or {}).get("preconditions") or {}).get("resourceVersion")
                if wanted and wanted != there["metadata"]["resourceVersion"]:
                    raise Refusal(409, "Conflict", f'Precondition failed: {resource} "{name}" has another version')
                return self._delete(resource, name)
            if verb == "update":
                return self._store(resource, body, there, manager=manager)
            if request.headers["content-type"] != "application/merge-patch+json":
                raise Refusal(415, "UnsupportedMediaType", f"no patch by {request.headers['content-type']} here")
            merged = kubernetes_objects.merged(there, body)
            return self._store(resource, merged, there, expected=kubernetes_objects.version_of(body), manager=manager)

    def _reviewed(self, body: Object) -> Object:
        """Say whether this account may do what a SelfSubjectAccessReview asks for; anybody may ask."""
        kubernetes_objects.validate(body)
        asked = body["spec"]["resourceAttributes"]
        try:
            self._authorize(asked["verb"], asked["resource"], asked.get("name", ""), group=asked.get("group", ""))
        except Refusal:
            return body | {"status": {"allowed": False}}
        return body | {"status": {"allowed": True}}

    def _authorize(self, verb: str, resource: str, name: str, *, group: str | None = None) -> None:
        if self.role is None:
            return
        group = (KINDS | CLUSTER_WIDE)[resource][0] if group is None else group
        for rule in self.role:
            names = rule.get("resourceNames")
            fits = group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            if fits and (not names or (name in names and verb not in ("list", "create"))):
                return
        raise Refusal(403, "Forbidden", f'{resource} "{name}" is forbidden: cannot {verb} resource "{resource}"')

    def _list(self, resource: str, selector: str) -> Object:
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        found = [o for (kind, _), o in sorted(self.objects.items()) if kind == resource]
        items = [o for o in found if wanted.items() <= (o["metadata"].get("labels") or {}).items()]
        return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items or None}

    def _apply(self, resource: str, name: str, body: Object, there: Object | None, query: dict[str, str]) -> Object:
        """Server-side apply: what this manager wrote before and leaves out now goes; lists are replaced whole."""
        manager = query.get("fieldManager")
        if not manager:
            raise Refusal(400, "BadRequest", "PatchOptions: fieldManager: is required for apply patch")
        owners = self._owners.setdefault((resource, name), Owners()) if there is not None else Owners()
        conflicts = owners.conflicts(manager, body, there or {})
        if conflicts and query.get("force") != "true":
            words = "; ".join(f'conflict with "{other}": .{".".join(path)}' for other, path in conflicts)
            raise Refusal(409, "Conflict", f"Apply failed with {len(conflicts)} conflicts: {words}")
        owners = copy.deepcopy(owners)
        owners.taken(conflicts)
        given_up = owners.applied(manager, body, now=next(self._version))
        base = copy.deepcopy(there or {})
        for path in given_up:
            dropped(base, path)
        return self._store(resource, kubernetes_objects.overlaid(base, copy.deepcopy(body)), there, owners=owners)

    def _store(
        self,
        resource: str,
        body: Object,
        there: Object | None,
        *,
        expected: str | None = None,
        manager: str = "",
        owners: Owners | None = None,
    ) -> Object:
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        metadata.pop("managedFields", None)
        name = metadata["name"]
        asked = expected if expected is not None else metadata.get("resourceVersion")
        if there is not None and asked and asked != there["metadata"]["resourceVersion"]:
            raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": modified; try again')
        kubernetes_objects.validate(body)
        kubernetes_objects.admit(resource, body, there)
        old = there["metadata"] if there else {"uid": f"uid-{next(self._version)}", "generation": 0}
        key = (resource, name)
        if owners is None:
            owners = self._owners.get(key, Owners()) if there is not None else Owners()
            owners.updated(manager, there or {}, body, now=next(self._version))
        self._owners[key] = owners
        if there is not None and kubernetes_objects.same(body, there):
            there["metadata"]["managedFields"] = owners.managed()
            return there  # a write that changes nothing gets no new version
        changed = there is None or body.get("spec") != there.get("spec")
        metadata |= {
            "namespace": self.namespace,
            "uid": old["uid"],
            "generation": old["generation"] + int(changed),
            "resourceVersion": str(next(self._version)),
            "managedFields": owners.managed(),
        }
        self.objects[resource, name] = body
        if resource == "deployments":
            seen = self.templates.setdefault(name, [])
            if not seen or seen[-1] != body["spec"]["template"]:
                seen.append(copy.deepcopy(body["spec"]["template"]))
            self._roll(body, slow=self.slow)
        if resource == "pods" and "status" not in body:
            body["status"] = {"phase": "Pending"}
        return body

    def _roll(self, deployment: Object, *, slow: bool) -> None:
        """Be the Deployment's controller and the kubelet: pods from the template, at once ready or not."""
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        count = deployment["spec"].get("replicas", 1)
        old = [o for key, o in self.objects.items() if key[0] == "pods" and key[1].startswith(f"{name}-pod-")]
        if slow and count and any(pod["metadata"]["labels"] != template["metadata"]["labels"] for pod in old):
            deployment["status"] = {
                "observedGeneration": deployment["metadata"]["generation"],
                **{"replicas": count + 1, "updatedReplicas": 1, "readyReplicas": count, "availableReplicas": count},
            }
            return
        for old in [key for key in self.objects if key[0] == "pods" and key[1].startswith(f"{name}-pod-")]:
            del self.objects[old]
        ready = 0
        for number in range(0 if self.refused_pods else count):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-pod-{number}"}}
            pod["metadata"] |= copy.deepcopy(template["metadata"])
            version = str(next(self._version))
            pod["metadata"] |= {"namespace": self.namespace, "resourceVersion": version}
            pod["metadata"] |= {"uid": f"uid-{version}", "generation": 1}
            pod |= {"spec": copy.deepcopy(template["spec"])}
            pod["status"] = copy.deepcopy(self.pod_status(pod))
            ready += any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
            self.objects["pods", pod["metadata"]["name"]] = pod
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            **{"replicas": count, "updatedReplicas": count, "readyReplicas": ready, "availableReplicas": ready},
        }
        if self.refused_pods:
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
            deployment["status"] |= {"conditions": [failure | {"message": self.refused_pods}]}

    def _delete(self, resource: str, name: str) -> Object:
        gone = self.objects.pop((resource, name))
        self._owners.pop((resource, name), None)
        self.templates.pop(name, None)
        if resource in ("deployments", "jobs"):
            for key in [key for key in self.objects if key[0] == "pods" and key[1].startswith(f"{name}-pod-")]:
                del self.objects[key]
        return {"apiVersion": "v1", "kind": "Status", "status": "Success", "details": {"uid": gone["metadata"]["uid"]}}


def _read(text: bytes) -> Any:
    """Read a body: JSON, or the YAML that a server-side apply may be."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def _application(cluster: Cluster) -> Starlette:
    async def handle(request: Request) -> JSONResponse:
        if cluster.away:
            return JSONResponse({"message": "etcd is away", "code": 503}, status_code=503)
        resource, name = request.path_params["resource"], request.path_params.get("name", "")
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = verbs.get(request.method, "get" if name else "list")
        group, version, kind = (KINDS | CLUSTER_WIDE).get(resource, ("?", "?", "?"))
        prefix = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
        prefix += "" if resource in CLUSTER_WIDE else f"namespaces/{cluster.namespace}/"
        try:
            text = await request.body()
            body = _read(text) if text else None
            if not request.url.path.startswith(f"{prefix}{resource}"):
                raise Refusal(404, "NotFound", "the server could not find the requested resource")
            if verb in ("create", "update") and body.get("kind") != kind:
                raise Refusal(400, "BadRequest", f"{body.get('kind')} is no {kind}")
            return JSONResponse(cluster.answer(verb, resource, name, request, body))
        except Refusal as refusal:
            status = {"kind": "Status", "status": "Failure", "message": str(refusal), "reason": refusal.reason}
            return JSONResponse(status | {"code": refusal.code}, status_code=refusal.code)

    async def known(request: Request) -> JSONResponse:
        """Answer for what is no object: the version, and groups of the API."""
        if request.url.path == "/version":
            major, minor = cluster.version.removeprefix("v").split(".")[:2]
            return JSONResponse({"major": major, "minor": minor, "gitVersion": cluster.version})
        if "{group}/{version}".format(**request.path_params) in cluster.groups:
            return JSONResponse({"kind": "APIResourceList", "resources": []})
        return JSONResponse({"kind": "Status", "message": "could not find the resource", "code": 404}, status_code=404)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    paths = ("/api/v1", "/apis/{group}/{version}")
    tails = ("/namespaces/{namespace}/{resource}", "/namespaces/{namespace}/{resource}/{name}")
    tails += ("/{resource}", "/{resource}/{name}")  # of the whole cluster
    routes = [Route(path + tail, handle, methods=methods) for path in paths for tail in tails]
    asked = [Route(path, known, methods=["GET"]) for path in ("/version", "/apis/{group}/{version}")]
    return Starlette(routes=[*asked, *routes])


@contextmanager
def listening(
    application: Any, *, host: str = "127.0.0.1", port: int = 0, tls: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve an ASGI application from a thread on a real socket, by TLS with uvicorn's settings; yield its URL."""
    bound = socket.create_server((host, port))
    config = uvicorn.Config(
        application, log_level="error", lifespan="off", timeout_graceful_shutdown=1, **dict(tls or {})
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://{host}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@contextmanager
def serving(cluster: Cluster, *, tls: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve a cluster's API; yield its URL."""
    with listening(_application(cluster), tls=tls) as url:
        yield url


def kubeconfig(url: str) -> str:
    """Return a kubeconfig that names the server."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stand-in",
        "clusters": [{"name": "stand-in", "cluster": {"server": url}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "someone"}}],
        "users": [{"name": "someone", "user": {"token": "a-token"}}],
    }
    return json.dumps(document)
