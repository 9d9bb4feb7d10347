"""Forms as browsers send them: fields with their values, bounded, in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bentos.console.settings import MOST_BYTES, MOST_FIELDS
from bentos.http.bodies import whole_body
from bentos.http.problems import MALFORMED, refused

if TYPE_CHECKING:
    from starlette.requests import Request

KIND = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Form:
    """What was sent, in order; a field may come more than once."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """Return a field's first value, without blanks around it."""
        return next((value.strip() for field, value in self.fields if field == name), default)

    def all(self, name: str) -> list[str]:
        """Return all values of a field, without blanks around them; empty ones are left out."""
        return [value.strip() for field, value in self.fields if field == name and value.strip()]

    def without(self, *names: str) -> "Form":
        """Return it without some fields."""
        return Form(tuple(pair for pair in self.fields if pair[0] not in names))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)


async def read(request: "Request") -> Form:
    """Read a request's body as a form, or refuse it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await whole_body(request, most_bytes=MOST_BYTES)
    if kind != KIND and body:
        raise refused("Content-Type", f"{kind[:60]!r} is no form's", KIND, status=MALFORMED)
    return parsed(body)


def parsed(body: bytes) -> Form:
    """Read a form's bytes.

    >>> parsed(b"a=1&b=+x+&a=2").all("a"), parsed(b"b=+x+").get("b")
    (['1', '2'], 'x')
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # too many fields, or bytes that are no text
        raise refused("form", "is none", f"at most {MOST_FIELDS} fields of text", status=MALFORMED) from None
    return Form(tuple(pairs))
