"""Refusals of a request: one line that says what is wrong, where, and what is allowed. Never a stack trace."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from feature_repo.errors import nearest

MALFORMED = 400
UNAUTHENTICATED = 401
FORBIDDEN = 403
CONFLICT = 409
UNACCEPTABLE = 422
TOO_LARGE = 413
OVERLOADED = 429
HEADERS_TOO_LARGE = 431
FAULT = 500
UNAVAILABLE = 503
TIMEOUT = 504

BROKEN = "rule_broken"  # a rule of the data contract; the error's context says which

# What pydantic's kinds of error allow, in the words of this interface; `{…}` comes from the error's context.
ALLOWED = {
    "missing": "a value",
    "string_type": "a string",
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "at most {max_length} characters",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "timezone_aware": "an ISO 8601 time with its offset, such as 2017-12-25T10:00:00Z",
    "datetime_type": "an ISO 8601 time with its offset, such as 2017-12-25T10:00:00Z",
    "datetime_parsing": "an ISO 8601 time with its offset, such as 2017-12-25T10:00:00Z",
    "datetime_from_date_parsing": "an ISO 8601 time with its offset, such as 2017-12-25T10:00:00Z",
}


class Problem(BaseModel):
    """Why a request was refused."""

    error: str
    where: str
    allowed: str


OUR_FAULT = Problem(error="a fault of the service; its log says more", where="service", allowed="a retry")


class Rejected(Exception):
    """A request that is refused with a status and a problem."""

    def __init__(self, error: str, *, where: str, allowed: str, status: int = UNACCEPTABLE) -> None:
        super().__init__(error)
        self.status = status
        self.problem = Problem(error=error, where=where, allowed=allowed)
        self.headers = {"Retry-After": "1"} if status in (OVERLOADED, UNAVAILABLE) else {}

    def with_header(self, header: str, value: str) -> "Rejected":
        """Return it with one header more on its answer."""
        self.headers[header] = value
        return self


def rejected(error: ValidationError, asks: type[BaseModel]) -> Rejected:
    """Turn the first of pydantic's complaints about a body into a refusal."""
    first = error.errors(include_url=False)[0]
    kind, where = first["type"], place(first["loc"])
    if kind == "json_invalid":
        detail = first.get("ctx", {}).get("error", first["msg"])
        return refused("body", f"no JSON: {detail}", "a JSON object", status=MALFORMED)
    if kind == BROKEN:
        broken = first["ctx"]
        where = place((*first["loc"], broken["column"]))
        return refused(where, f"{broken['given']} breaks the rule {broken['rule']}", broken["allowed"])
    if kind == "extra_forbidden":
        fields = fields_beside(first["loc"], asks)
        return refused(where, f"no such field{nearest(str(first['loc'][-1]), fields)}", ", ".join(fields))
    allowed = ALLOWED.get(kind, first["msg"]).format(**first.get("ctx", {}))
    return refused(where, "is missing" if kind == "missing" else f"{short(first['input'])} is not allowed", allowed)


def refused(where: str, what: str, allowed: str, *, status: int = UNACCEPTABLE) -> Rejected:
    """Write a refusal in the one form: place, value, what is allowed."""
    return Rejected(f"{where}: {what}; allowed: {allowed}", where=where, allowed=allowed, status=status)


def place(location: Sequence[int | str]) -> str:
    r"""Write the place of an error as a path, in one line: names of fields are the caller's.

    >>> place(("events", 2, "user_id"))
    'events[2].user_id'
    >>> print(place(("a\nb",)))
    a\nb
    """
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() else part.encode("unicode_escape").decode("ascii")
            text += f".{name}" if text else name
    return text or "body"


def short(value: Any) -> str:
    """Show a value that was given, cut to what fits in a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def fields_beside(location: Sequence[int | str], asks: type[BaseModel]) -> list[str]:
    """Name the fields of the model that an unknown field was given to."""
    model: type[BaseModel] = asks
    for part in location[:-1]:
        if isinstance(part, str):
            inner = model.model_fields[part].annotation
            model = next((a for a in getattr(inner, "__args__", ()) if isinstance(a, type)), model)
    return list(model.model_fields)
