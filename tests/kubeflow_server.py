"""A stand-in of Kubeflow's pipelines API (v2beta1) on a real socket, as strict as the models of `kfp-server-api`.

Every request and every answer goes through those models and back: an unknown field, or a value of the wrong type, is
refused with 400. Uploaded IR is read as a protobuf PipelineSpec, and a run's parameters are held to it. A run's life is
a script, one frame a look. It starts no pod and is no test of Kubeflow's own scheduling.
"""

import datetime as dt
import itertools
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from kfp_server_api import models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.kubernetes_server import listening

Object = dict[str, Any]
PREFIX = "/apis/v2beta1"
PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}
INT64 = {("V2beta1RecurringRun", "max_concurrency")}  # on the wire a number or a string: the models say string
DEFAULT_PAGE = 20
# What Kubeflow 2.17 holds a text to: names by backend/src/apiserver/validation/length.go, in bytes; the others by their
# columns in MySQL, VARCHAR(255) where nothing is said (client_manager.go). Descriptions of pipelines and versions are
# long texts.
COLUMN = 255
NAMES = {"pipelines": ("name", 128), "versions": ("name", 127), "experiments": ("display_name", 128)}
COLUMNS = {
    "pipelines": ("display_name",),
    "versions": ("display_name",),
    "experiments": ("description",),
    "runs": ("display_name", "description"),
    "recurringruns": ("display_name", "description"),
}


class Refusal(Exception):
    """What the server answers instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked(value: Any, kind: str, at: str = "") -> Any:
    """Hold a JSON value to a model of kfp-server-api; refuse unknown fields and wrong types."""
    if value is None or kind == "object":
        return value
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        _require(isinstance(value, list), at, kind)
        return [checked(one, inner[1], f"{at}[]") for one in value]
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        _require(isinstance(value, dict), at, kind)
        return {key: checked(one, inner[1], f"{at}.{key}") for key, one in value.items()}
    if kind == "datetime":
        _require(isinstance(value, str), at, kind)
        dt.datetime.fromisoformat(value)
        return value
    if kind in PLAIN:
        _require(isinstance(value, PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool)), at, kind)
        return value
    return _model(value, kind, at)


def _model(value: Any, kind: str, at: str) -> Any:
    model = getattr(models, kind)
    if not model.openapi_types:  # an enumeration
        _require(value in model.allowable_values, at, f"one of {model.allowable_values}")
        return value
    _require(isinstance(value, dict), at, kind)
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, one in value.items():
        if key not in names:
            raise Refusal(400, f"unknown field {at}.{key} of {kind}")
        if (kind, key) not in INT64 or not isinstance(one, int):
            checked(one, model.openapi_types[names[key]], f"{at}.{key}")
    made = _api().deserialize(_Body(json.dumps(value)), kind)
    again = _api().sanitize_for_serialization(made)
    plain = {key: one for key, one in value.items() if one is not None}
    if set(again) != set(plain):
        raise Refusal(400, f"{at}: {kind} keeps {sorted(again)} of {sorted(plain)}")
    return plain


@dataclass
class _Body:
    data: str


def _api() -> Any:
    return kfp_server_api.ApiClient(kfp_server_api.Configuration())


def _require(fine: bool, at: str, kind: str) -> None:
    if not fine:
        raise Refusal(400, f"wrong type at {at}: {kind} is wanted")


FILTERED = {"pipelines": ("name", "display_name"), "versions": ("name", "display_name")}


@dataclass(frozen=True)
class Frame:
    """A run at one look: its state, its tasks' states, and what failed tasks say."""

    state: str
    tasks: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """What the server holds, and what tests change about it."""

    token: str = ""
    multi_user: bool = False
    namespace: str = "team"
    script: Callable[[Object], list[Frame]] = lambda run: [Frame("PENDING"), Frame("RUNNING"), Frame("SUCCEEDED")]
    faults: list[int] = field(default_factory=list)  # statuses of the next answers, before anything is done
    lost: int = 0  # answers to POST that do their work and are then lost
    delay_s: float = 0.0
    kept: dict[str, dict[str, Object]] = field(default_factory=dict)  # kind -> id -> object
    requests: list[str] = field(default_factory=list)
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock: Iterator[int] = field(default_factory=itertools.count)

    def of(self, kind: str) -> dict[str, Object]:
        """Return the objects of a kind by id."""
        return self.kept.setdefault(kind, {})

    def names(self, kind: str) -> list[str]:
        """Return the names of what is there."""
        return sorted(one["display_name"] for one in self.of(kind).values())

    def add(self, kind: str, key: str, body: Object, *, unique: tuple[str, ...] = ()) -> Object:
        """Keep a new object; refuse a second of its name."""
        for there in self.of(kind).values():
            if unique and all(there.get(name) == body.get(name) for name in unique):
                raise Refusal(409, f"{kind} {body['display_name']} already exists")
        if kind in NAMES:
            name, most = NAMES[kind]
            if len(body[name].encode()) > most:
                raise Refusal(400, f"{kind}.{name} length cannot exceed {most}")
        for column in COLUMNS[kind]:
            if len(body.get(column) or "") > COLUMN:
                raise Refusal(500, f"Error 1406 (22001): Data too long for column '{column}' at row 1")
        made = body | {key: str(uuid.uuid4()), "created_at": self.now()}
        self.of(kind)[made[key]] = made
        return made

    def now(self) -> str:
        """Return a time that grows by a second with each asking."""
        return (dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=next(self.clock))).isoformat()

    def one(self, kind: str, key: str) -> Object:
        """Return an object, or 404."""
        if key not in self.of(kind):
            raise Refusal(404, f"{kind} {key} not found")
        return self.of(kind)[key]

    def page(self, kind: str, query: Object, fits: Callable[[Object], bool] = lambda one: True) -> Object:
        """List a kind, filtered by name, a page at a time."""
        key, wanted = "display_name", None
        if query.get("filter"):
            (predicate,) = json.loads(query["filter"])["predicates"]
            key, wanted = predicate["key"], predicate["stringValue"]
            if predicate["operation"] not in (1, "EQUALS") or key not in FILTERED.get(kind, ("display_name",)):
                raise Refusal(400, f"filter: {predicate}")
        found = [one for one in self.of(kind).values() if fits(one) and wanted in (None, one.get(key))]
        if order := query.get("sort_by"):
            field_name, _, way = order.partition(" ")
            if field_name != "created_at" or way not in ("", "asc", "desc"):
                raise Refusal(400, f"sort_by: {order}")
            found.sort(key=lambda one: str(one[field_name]), reverse=way == "desc")
        start, size = int(query.get("page_token") or 0), int(query.get("page_size") or DEFAULT_PAGE)
        more = {"next_page_token": str(start + size)} if start + size < len(found) else {}
        return {"rows": found[start : start + size], "total_size": len(found)} | more

    def inside(self, namespace: str | None) -> str:
        """Hold a namespace to the installation."""
        if not self.multi_user:
            if namespace:
                raise Refusal(400, "In single-user mode, namespace must be empty")
            return ""
        if namespace != self.namespace:
            raise Refusal(404, f'namespaces "{namespace}" not found')
        return str(namespace)

    def ended_frame(self, run: Object) -> Object:
        """Return a run at its next frame."""
        frames = self.frames.setdefault(run["run_id"], list(self.script(run)))
        frame = frames.pop(0) if len(frames) > 1 else frames[0]
        tasks = []
        for name, state in frame.tasks.items():
            task = {"run_id": run["run_id"], "task_id": name, "display_name": name, "state": state}
            task |= {"create_time": self.now(), "start_time": self.now(), "end_time": self.now()}
            tasks.append(
                task | ({"error": {"code": 13, "message": frame.errors[name]}} if name in frame.errors else {})
            )
        return run | {"state": frame.state, "run_details": {"task_details": tasks}}


def parsed(text: bytes) -> Object:
    """Read IR as the server does: YAML into the protobuf messages; anything else is refused."""
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        for more in documents[1:]:
            json_format.ParseDict(more, pipeline_spec_pb2.PlatformSpec())
    except (yaml.YAMLError, json_format.ParseError, IndexError) as error:
        raise Refusal(400, f"invalid pipeline spec: {error}") from error
    found: Object = json_format.MessageToDict(spec)
    return found


HELD: dict[str, tuple[type, ...]] = {  # what a value must be, by the type that the IR declares
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "STRUCT": (dict,),
    "LIST": (list,),
}


def _parameters(server: Server, body: Object) -> None:
    """Hold the parameters of a run to its version: none unknown, none missing, none of another type."""
    version = server.one("versions", body["pipeline_version_reference"]["pipeline_version_id"])
    known = version["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    given = body.get("runtime_config", {}).get("parameters", {})
    missing = [n for n, p in known.items() if n not in given and "defaultValue" not in p and not p.get("isOptional")]
    if missing or (unknown := sorted(set(given) - set(known))):
        raise Refusal(400, f"parameters: missing {missing}" if missing else f"parameters: unknown {unknown}")
    for name, value in given.items():
        if not isinstance(value, HELD[known[name]["parameterType"]]):
            raise Refusal(400, f"parameters: {name} must be {known[name]['parameterType']}")


async def _upload_first(server: Server, request: Request, query: Object) -> Object:
    """Make a pipeline and its first version of a file, as the UI's upload form does."""
    if unknown := set(query) - {"name", "display_name", "description", "namespace", "tags"}:
        raise Refusal(400, f"unknown field {sorted(unknown)}")
    server.inside(query.get("namespace"))
    name = query["name"]
    body = {"display_name": name, "name": name, "description": query.get("description", "")}
    made = server.add("pipelines", "pipeline_id", body, unique=("display_name",))
    await _upload(server, request, {"name": name, "pipelineid": made["pipeline_id"]})
    return made


async def _upload(server: Server, request: Request, query: Object) -> Object:
    if unknown := set(query) - {"name", "display_name", "description", "pipelineid", "tags"}:
        raise Refusal(400, f"unknown field {sorted(unknown)}")
    form = await request.form()
    spec = parsed(await form["uploadfile"].read())  # type: ignore[union-attr]
    server.one("pipelines", query["pipelineid"])
    body = {"pipeline_id": query["pipelineid"], "display_name": query.get("display_name") or query["name"]}
    body |= {"name": query["name"]}
    body |= {"description": query.get("description", ""), "pipeline_spec": spec}
    return server.add("versions", "pipeline_version_id", body, unique=("pipeline_id", "name"))


def _answer(server: Server, method: str, path: str, query: Object, body: Object) -> tuple[str, Object]:
    """Return the model's name and the answer."""
    plural, _, rest = path.partition("/")
    key, _, action = rest.partition(":")
    if path == "healthz":
        return "V2beta1GetHealthzResponse", {"multi_user": server.multi_user}
    if re.fullmatch(r"pipelines/[^/]+/versions", path) and method == "GET":
        found = server.page("versions", query, lambda one: one["pipeline_id"] == path.split("/")[1])
        return "V2beta1ListPipelineVersionsResponse", {"pipeline_versions": found.pop("rows")} | found
    if plural not in KINDS:
        raise Refusal(404, f"no such path: {path}")
    kind, listing, field_name, id_name = KINDS[plural]
    if method == "GET" and not rest:
        if "namespace" in query or not query.get("experiment_id"):
            server.inside(query.get("namespace"))
        wanted = query.get("experiment_id")
        found = server.page(plural, query, lambda one: wanted in (None, one.get("experiment_id")))
        return listing, {field_name: found.pop("rows")} | found
    if method == "GET":
        one = server.one(plural, key)
        return kind, server.ended_frame(one) if plural == "runs" else one
    if method == "DELETE":
        server.one(plural, key)
        del server.of(plural)[key]
        return "", {}
    if action in ("enable", "disable"):
        server.one(plural, key)["status"] = f"{action.upper()}D"
        return "", {}
    body = checked(body, kind)
    if plural in ("pipelines", "experiments"):
        server.inside(body.get("namespace"))
        return kind, server.add(plural, id_name, body, unique=("namespace", "display_name"))
    server.one("experiments", body["experiment_id"])
    _parameters(server, body)
    if plural == "recurringruns":
        if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
            raise Refusal(400, "cron: six fields are wanted")
        body |= {"status": "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"}
        body |= {"max_concurrency": str(body["max_concurrency"])}
    return kind, server.add(plural, id_name, body)


KINDS = {
    "pipelines": ("V2beta1Pipeline", "V2beta1ListPipelinesResponse", "pipelines", "pipeline_id"),
    "experiments": ("V2beta1Experiment", "V2beta1ListExperimentsResponse", "experiments", "experiment_id"),
    "runs": ("V2beta1Run", "V2beta1ListRunsResponse", "runs", "run_id"),
    "recurringruns": (
        *("V2beta1RecurringRun", "V2beta1ListRecurringRunsResponse"),
        *("recurringRuns", "recurring_run_id"),  # as the proto has it
    ),
}


def _application(server: Server) -> Starlette:
    async def handle(request: Request) -> JSONResponse:
        path = request.url.path.removeprefix(f"{PREFIX}/")
        with server.lock:
            server.requests.append(f"{request.method} {path}")
        try:
            if server.delay_s:
                time.sleep(server.delay_s)
            if server.faults:
                raise Refusal(server.faults.pop(0), "the server is not itself")
            if server.token and request.headers.get("authorization") != f"Bearer {server.token}":
                raise Refusal(401, f"unknown token {request.headers.get('authorization')}")
            query: Object = {key: value for key, value in request.query_params.items() if value}
            if path == "pipelines/upload_version":
                kind, found = "V2beta1PipelineVersion", await _upload(server, request, query)
            elif path == "pipelines/upload":
                kind, found = "V2beta1Pipeline", await _upload_first(server, request, query)
            else:
                text = await request.body()
                body = json.loads(text) if text else {}
                with server.lock:
                    kind, found = _answer(server, request.method, path, query, body)
            if request.method == "POST" and server.lost:
                server.lost -= 1
                raise Refusal(503, "the answer was lost")
            return JSONResponse(checked(found, kind) if kind else found)
        except Refusal as refusal:
            said = {"code": refusal.status, "message": str(refusal), "details": []}
            return JSONResponse(said, status_code=refusal.status)

    return Starlette(routes=[Route("/{path:path}", handle, methods=["GET", "POST", "DELETE"])])


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """Serve it; yield its URL."""
    with listening(_application(server)) as url:
        yield url
