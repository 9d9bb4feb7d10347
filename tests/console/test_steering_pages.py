"""The pages that change things over doubles of their ports: in both languages, with markup as text."""

import re
from pathlib import Path

import pytest

from bentos import keys
from tests.console import steering
from tests.console.pages import Page, opened, pressed, visitor

PATHS = (
    *("/console/rules", "/console/rules/edit?name=no+beer", "/console/rules/remove?name=no+beer"),
    *(f"/console/rules/new?kind={kind}" for kind in ("filter", "cap", "pin", "boost", "bury")),
    *(f"/console/rules/new?kind={kind}" for kind in ("price", "stock", "bought", "shown", "new")),
    *("/console/releases", "/console/releases/rollback", "/console/changes", "/console/changes?what=rule&until=3"),
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PATHS)
def test_every_page_opens_in_both_languages_and_every_field_has_a_label(path: str, language: str) -> None:
    visit = visitor(rules=steering.rules(), releases=steering.releases(), changes=steering.changes())
    reply = visit.get(path + ("&" if "?" in path else "?") + f"lang={language}")
    assert reply.status_code == 200, reply.text
    html = reply.text
    fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", html)
    named = [re.search(r'\bid="([^"]*)"', one) for one in fields if "hidden" not in one and "checkbox" not in one]
    assert [one for one in named if one is None or f'<label for="{one[1]}">' not in html] == [], "each has a label"
    assert steering.TITLE not in html, "markup is text"
    assert html.count("<h1>") == 1


def test_where_a_page_is_not_filled_it_says_so() -> None:
    visit = visitor()
    for path in ("/console/rules", "/console/releases", "/console/changes"):
        reply = visit.get(path)
        assert reply.status_code == 503
        assert "not filled here yet" in Page(reply.text).text


def test_the_doubles_do_what_the_pages_ask() -> None:
    rules, releases = steering.rules(), steering.releases()
    visit = visitor(rules=rules, releases=releases)
    page = opened(visit, "/console/rules/edit?name=no+beer")
    seen = pressed(visit, page, "Preview", value__0="WINE", user="u1")
    assert "NDCG@10 changes by -0.0103" in seen.text
    rules.overtaken.add("no beer")
    assert "changed by somebody else" in pressed(visit, seen, "Save", status=409).text
    done = pressed(visit, opened(visit, "/console/releases/rollback"), "Roll back now")
    assert "release r1 serves, as read back" in done.text


def test_a_key_that_is_revoked_before_a_save_loses_no_rule_and_the_new_one_is_who_saved_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bentos.http.auth.LOOK_S", -1.0)
    file, rules = tmp_path / "keys.json", steering.rules()
    first = keys.make(file, name="owner", scopes=("admin",), server=True)
    visit = visitor(keys=file, rules=rules)
    pressed(visit, Page(visit.get("/console/rules").text), "Sign in", key=first)
    seen = pressed(visit, opened(visit, "/console/rules/edit?name=no+beer"), "Preview", value__0="WINE")
    keys.revoke(file, first.split("_")[1])
    asked = pressed(visit, seen, "Save", status=401)
    assert "What you typed is kept" in asked.text
    assert rules.log == []
    second = keys.make(file, name="owner", scopes=("admin",), server=True)
    again = pressed(visit, asked, "Sign in", key=second)
    assert rules.log == [], "signing in alone saves nothing"
    assert "no beer put" in pressed(visit, again, "Send it now").text
    (change,) = rules.log
    assert (change.who, change.document["where"]) == (f"key {second.split('_')[1]}, console", "category = 'WINE'")  # type: ignore[index]
