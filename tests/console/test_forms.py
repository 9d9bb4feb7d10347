"""Forms as their bytes come: fields, blanks, bounds and what is refused."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from bentos.console import forms
from bentos.console.forms import Form, parsed
from bentos.http.problems import Rejected

FORM = Form((("a", " 1 "), ("b", ""), ("a", "2"), ("a", " ")))


def asked(body: bytes, kind: str) -> Request:
    """Return a request with a body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}, receive)


def test_a_field_s_first_value_all_of_them_and_the_rest() -> None:
    assert (FORM.get("a"), FORM.get("b", "x"), FORM.get("c"), FORM.get("c", "x")) == ("1", "", "", "x")
    assert (FORM.all("a"), FORM.all("b")) == (["1", "2"], [])
    assert list(FORM.without("a", "c")) == [("b", "")]
    assert list(Form()) == []


def test_bytes_become_text_and_empty_fields_stay() -> None:
    assert list(parsed(b"name=T%C3%A9+x&note=&t=%E9%BE%99")) == [("name", "Té x"), ("note", ""), ("t", "龙")]
    assert list(parsed(b"")) == []


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&".join(b"a=1" for _ in range(forms.MOST_FIELDS + 1))])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Rejected) as found:
        parsed(body)
    assert (found.value.status, str(found.value)) == (400, "form: is none; allowed: at most 500 fields of text")
    assert len(list(parsed(b"&".join(b"a=1" for _ in range(forms.MOST_FIELDS))))) == forms.MOST_FIELDS


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"]
)
def test_a_form_is_read(kind: str) -> None:
    assert list(asyncio.run(forms.read(asked(b"a=1", kind)))) == [("a", "1")]


def test_another_kind_of_body_is_refused_and_none_is_an_empty_form() -> None:
    kind = "text/" + "x" * 80
    with pytest.raises(Rejected) as found:
        asyncio.run(forms.read(asked(b"a=1", kind)))
    said = f"Content-Type: '{kind[:60]}' is no form's; allowed: application/x-www-form-urlencoded"
    assert (found.value.status, str(found.value), found.value.problem.where) == (400, said, "Content-Type")
    assert list(asyncio.run(forms.read(asked(b"", "")))) == []


def test_a_form_has_so_many_bytes() -> None:
    kind = "application/x-www-form-urlencoded"
    most = b"a=" + b"x" * (forms.MOST_BYTES - 2)
    assert len(asyncio.run(forms.read(asked(most, kind))).get("a")) == forms.MOST_BYTES - 2
    with pytest.raises(Rejected) as found:
        asyncio.run(forms.read(asked(most + b"x", kind)))
    assert found.value.status == 413
