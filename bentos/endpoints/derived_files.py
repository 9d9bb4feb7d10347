"""Writes the files that follow from the endpoints: the client's methods, the gateway's paths, the tables of the docs.

`python -m bentos.endpoints.derived_files` writes them all; a test compares each with what the endpoints say. People
read these files, and editors and type checkers too, so they are committed rather than made at import.
"""

import datetime as dt
import inspect
import json
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import AwareDatetime, BaseModel

from bentos.endpoints.operations import OPERATIONS, Operation
from feature_repo import columns, files
from feature_repo.checkout import K8S, ROOT

COMMAND = "python -m bentos.endpoints.derived_files"
BEGIN, END = f"<!-- begin: written by `{COMMAND}` -->", "<!-- end -->"
WIDTH = 120
ASKED_FOR_S = 62  # serving.timeout_s is 60 s at most
LABELS = {
    "app.kubernetes.io/name": "recommender",
    "app.kubernetes.io/component": "routing",
    "app.kubernetes.io/part-of": "intentflow",
}


def client_methods(operations: Sequence[Operation], _: str) -> str:
    """Return bentos/client_methods.py: a typed method for each endpoint."""
    methods = "\n".join(_method(operation) for operation in operations)
    imports: dict[str, set[str]] = {
        "collections.abc": {name for name in ("Mapping", "Sequence") if f"{name}[" in methods},
        "typing": {"Any", "TypeVar", *(["Literal"] if "Literal[" in methods else [])},
    }
    for operation in operations:
        asks = operation.contract.asks
        for model in (asks, operation.contract.answers, *_nested(asks)):
            imports.setdefault(model.__module__, set()).add(model.__name__)
    lines = {
        module: f"from {module} import {', '.join(sorted(names, key=str.lower))}\n"
        for module, names in imports.items()
        if names
    }
    ours = "".join(line for module, line in sorted(lines.items()) if module.startswith("bentos."))
    theirs = lines.get("collections.abc", "") + lines["typing"]
    times = "import datetime as dt\n" if "dt." in methods else ""
    return f"{_ABOUT}{times}from abc import ABC, abstractmethod\n{theirs}{_BASES}{ours}{_CLASS}{methods}"


_ABOUT = f'''"""The client's methods, one an endpoint. Written by `{COMMAND}`; do not edit."""

'''
_BASES = "\nfrom pydantic import BaseModel\n\n"
_CLASS = '''
AnswerModel = TypeVar("AnswerModel", bound=BaseModel)


class Methods(ABC):
    """A method for each endpoint; what is None is left out of the request."""

    @abstractmethod
    def _ask(
        self,
        path: str,
        asks: type[BaseModel],
        fields: dict[str, Any],
        answers: type[AnswerModel],
        *,
        method: str = "POST",
    ) -> AnswerModel:
        """Send a request of the fields that are not None; return its answer."""

'''


def _method(operation: Operation) -> str:
    """Write one method: what a request needs, and whose it is, by position, all else by name."""
    asks, answers = operation.contract.asks, operation.contract.answers
    needed = [f"{name}: {typed(f.annotation)}" for name, f in asks.model_fields.items() if f.is_required()]
    others = [
        f"{name}: {typed(f.annotation).removesuffix(' | None')} | None = None"
        for name, f in asks.model_fields.items()
        if not f.is_required()
    ]
    if others and next(iter(asks.model_fields)) == columns.USER_ID and not needed:
        needed.append(others.pop(0))
    arguments = ["self", *needed, *(["*", *others] if others else [])]
    fields = ", ".join(f'"{name}": {name}' for name in asks.model_fields)
    about = (inspect.getdoc(operation.contract.answer) or "").splitlines()[0]
    return "\n".join(
        [
            *_call(f"    def {operation.endpoint.name}", arguments, f" -> {answers.__name__}:"),
            f'        """{about}"""',
            *_call(
                "        return self._ask",
                [f'"{operation.path}"', asks.__name__, f"{{{fields}}}", answers.__name__, *_method_of(operation)],
                "",
            ),
            "",
        ]
    )


def _method_of(operation: Operation) -> list[str]:
    return [] if operation.endpoint.method == "POST" else [f'method="{operation.endpoint.method}"']


def _call(head: str, arguments: list[str], tail: str) -> Iterator[str]:
    """Yield the lines of a call as ruff writes them: on one line where it fits."""
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= WIDTH:
        yield line
        return
    indent = " " * (len(head) - len(head.lstrip()))
    inner = f"{indent}    {', '.join(arguments)}"
    body = [inner] if len(inner) <= WIDTH else [f"{indent}    {argument}," for argument in arguments]
    yield from [f"{head}(", *body, f"{indent}){tail}"]


def typed(annotation: Any) -> str:
    """Write a field's type as the client takes it.

    >>> typed(dict[str, int | None]), typed(list[str])
    ('Mapping[str, int | None]', 'Sequence[str]')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return typed(arguments[0])
    if origin in (list, tuple):
        return f"Sequence[{typed(arguments[0])}]"
    if origin is dict:
        return f"Mapping[{typed(arguments[0])}, {typed(arguments[1])}]"
    if origin in (Union, types.UnionType):
        return " | ".join(typed(one) for one in arguments)
    if origin is Literal:
        return f"Literal[{', '.join(json.dumps(one) for one in arguments)}]"
    if annotation in (AwareDatetime, dt.datetime):
        return "dt.datetime"
    if annotation is type(None):
        return "None"
    return str(annotation.__name__)


def _nested(model: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a model's fields hold, which the client's callers make."""
    for field in model.model_fields.values():
        for one in (field.annotation, *get_args(field.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield one


def gateway_route(operations: Sequence[Operation], _: str) -> str:
    """Return the HTTPRoute of k8s/components/gateway: the paths that callers outside may ask."""
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateway"}
    timeout = f"{ASKED_FOR_S}s"
    rule = {
        "matches": [{"path": {"type": "Exact", "value": o.path}} for o in operations if o.endpoint.kind != "admin"],
        "timeouts": {"request": timeout, "backendRequest": timeout},
        "backendRefs": [{"group": "", "kind": "Service", "name": "recommender", "port": 80, "weight": 1}],
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "recommender", "labels": LABELS},
        "spec": {"parentRefs": [gateway], "hostnames": ["recommendations.example.org"], "rules": [rule]},
    }
    head = (
        f"# Written by `{COMMAND}`; do not edit. An overlay patches the Gateway and the hostname.\n"
        "# What callers may ask, path by path; /metrics, the routers' own paths and what changes items are not among\n"
        "# them. There are no retries: the router repeats what is safe to repeat.\n"
    )
    return head + yaml.safe_dump(route, sort_keys=False, width=WIDTH)


def serving_table(operations: Sequence[Operation], page: str) -> str:
    """Return docs/serving.md with its table of endpoints."""
    rows = [
        f"| `{o.endpoint.method} {o.path}` | {o.endpoint.about} | {_asked(o.contract.asks)} | "
        f"{_answered(o.contract.answers)} |"
        for o in operations
    ]
    return between(page, "\n".join(["| endpoint | what | in | out |", "| --- | --- | --- | --- |", *rows]))


def _asked(model: type[BaseModel]) -> str:
    return ", ".join(name if field.is_required() else f"{name}?" for name, field in model.model_fields.items())


def _answered(model: type[BaseModel]) -> str:
    """Name an answer's fields, of a list its entries' fields; those of every answer come last."""
    fields = dict(model.model_fields)
    ends = [name for name in ("profile", "catalogue_version", "release", "request_id") if name in fields]
    parts = []
    for name in (*(name for name in fields if name not in ends), *ends):
        inner = [one for one in get_args(fields[name].annotation) if isinstance(one, type)]
        entries = [one for one in inner if issubclass(one, BaseModel)]
        parts.append(f"{name} ({', '.join(entries[0].model_fields)})" if entries else name)
    return ", ".join(parts)


def curl_examples(operations: Sequence[Operation], page: str) -> str:
    """Return docs/client.md with a call of curl for each endpoint."""
    blocks = []
    for operation in operations:
        verb = "" if operation.endpoint.method == "POST" else f" -X {operation.endpoint.method}"
        head = f"curl -s{verb} localhost:3000{operation.path} -H 'Content-Type: application/json'"
        body = f"-d '{json.dumps(operation.contract.example.ask, ensure_ascii=False)}'"
        gap = " " if len(head) + len(body) < WIDTH else " \\\n  "
        blocks.append(f"```bash\n{head}{gap}{body}\n```")
    return between(page, "\n\n".join(blocks))


def between(page: str, text: str) -> str:
    r"""Put a text between a page's markers.

    >>> between(f"a {BEGIN} b {END} c", "new").replace(BEGIN, "<").replace(END, ">")
    'a <\n\nnew\n\n> c'
    """
    head, found, rest = page.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no '{BEGIN}' with '{END}' after it")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


FILES: dict[Path, Callable[[Sequence[Operation], str], str]] = {
    ROOT / "bentos" / "client_methods.py": client_methods,
    K8S / "components" / "gateway" / "route.yaml": gateway_route,
    ROOT / "docs" / "serving.md": serving_table,
    ROOT / "docs" / "client.md": curl_examples,
}


def write() -> list[Path]:
    """Write every file; return their paths."""
    for path, made in FILES.items():
        text = made(OPERATIONS, path.read_text() if path.is_file() else "")
        with files.written(path) as part:
            part.write_text(text)
    return list(FILES)


if __name__ == "__main__":
    write()
