"""What a real server does with an object before it keeps it: merges, validates, refuses."""

import copy
from typing import Any

from tests.k8s import pod_security, schemas

Object = dict[str, Any]


class Refusal(Exception):
    """What the server answers instead of an object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


def dropped(value: Any, path: tuple[str, ...]) -> None:
    """Take a field out of an object."""
    for key in path[:-1]:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.pop(path[-1], None)


def version_of(body: Object) -> str | None:
    return (body.get("metadata") or {}).get("resourceVersion")


def merged(base: Any, patch: Any) -> Any:
    """Merge as RFC 7386 says."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def overlaid(base: Any, wanted: Any) -> Any:
    if isinstance(base, dict) and isinstance(wanted, dict):
        return base | {key: overlaid(base.get(key), value) for key, value in wanted.items()}
    return wanted


def same(body: Object, there: Object) -> bool:
    def plain(found: Object) -> Object:
        own = ("namespace", "uid", "generation", "resourceVersion", "managedFields")
        metadata = {key: value for key, value in found["metadata"].items() if key not in own}
        return {key: value for key, value in found.items() if key != "status"} | {"metadata": metadata}

    return plain(body) == plain(there)


def validate(body: Object) -> None:
    if problem := next(schemas.problems(body), None):
        raise Refusal(422, "Invalid", f"{body['kind']}: {problem}")


def admit(resource: str, body: Object, there: Object | None) -> None:
    """Refuse what schemas cannot: what may not change, pods outside `restricted`, selectors that select nothing."""
    if there is not None and there.get("immutable") and body.get("data") != there.get("data"):
        raise Refusal(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
    if resource not in ("deployments", "jobs"):
        return
    if there is not None and body["spec"].get("selector") != there["spec"].get("selector"):
        raise Refusal(422, "Invalid", "spec.selector: Invalid value: field is immutable")
    template = body["spec"]["template"]
    wanted = body["spec"].get("selector", {}).get("matchLabels", {})
    if not wanted.items() <= (template.get("metadata", {}).get("labels") or {}).items():
        raise Refusal(422, "Invalid", "spec.template.metadata.labels: `selector` does not match template `labels`")
    if resource == "jobs" and template["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        raise Refusal(422, "Invalid", "spec.template.spec.restartPolicy: Required value: OnFailure or Never")
    if problems := list(pod_security.problems(template["spec"])):
        raise Refusal(403, "Forbidden", f'violates PodSecurity "restricted:latest": {problems[0]}')
