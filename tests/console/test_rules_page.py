"""The page of rules over a real document log: put, change, remove, undo; two owners at once; what is refused."""

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.console.pages.rules import NOBODY, _moves
from bentos.console.ports.rules import ListedItem, Preview, UserLists
from bentos.recommender import rule_changes
from feature_repo.documents.changes import RULE
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.errors import ServerError, StoreAway
from pipelines import rules as live
from pipelines.console import rules as filled
from tests.console.owners import Installed, beer
from tests.console.pages import Page, opened, pressed


def test_the_page_of_an_editor_without_a_rule_says_so_as_the_log_does() -> None:
    assert rule_changes.seen_as(None) == NOBODY


def test_rules_of_the_spec_are_listed_and_every_kind_can_be_begun(browser: Callable[[], TestClient]) -> None:
    visit = browser()
    page = opened(visit, "/console/rules")
    assert "two each At most 2 items of one category, of all items. the spec" in page.text
    assert "No rule was changed live." in page.text
    kinds = re.findall(r"new\?kind=(\w+)", visit.get("/console/rules").text)
    assert len(kinds) == 9, "all but `shown`: this release does not know what was shown"
    for kind in kinds:
        assert "Preview" in opened(visit, f"/console/rules/new?kind={kind}").text
    assert visit.get("/console/rules/new?kind=nonsense", follow_redirects=False).headers["location"] == "/console/rules"


def test_a_rule_is_previewed_then_saved_and_read_back(browser: Callable[[], TestClient], shopped: Installed) -> None:
    visit = browser()
    page = beer(visit, placement="home")
    assert "Hides items where category = 'SOUP'." in page.text
    assert "NDCG@10 changes by -0.0200 (95 %: -0.0300 to -0.0100)" in page.text
    assert "Coverage of the catalogue 0.5000 0.4000" in page.text
    assert "25 %" in page.text
    where = "category = 'SOUP'"
    asked = {"rules": [{"kind": "filter", "name": "no soup", "where": where}]}
    assert shopped.costs == [(asked, "home")]
    assert shopped.changes() == [], "a preview writes nothing"
    done = pressed(visit, page, "Save")
    assert "Version 1 of the catalogue, as read back: no soup put." in done.text
    assert "no soup Hides items where category = 'SOUP'. version 1," in done.text
    assert "by console" in done.text
    assert shopped.changes() == [(1, "console", "no soup", {"kind": "filter", "name": "no soup", "where": where})]
    assert "as read back" not in opened(visit, "/console/rules").text, "it is said once"


def test_what_was_not_previewed_is_not_saved_but_shown(browser: Callable[[], TestClient], shopped: Installed) -> None:
    visit = browser()
    page = beer(visit)
    other = pressed(visit, page, "Save", status=409, value__0="BREAD")
    assert "Not saved yet: this text was not previewed." in other.text
    assert "Hides items where category = 'BREAD'." in other.text, "the preview is of the new text"
    assert shopped.changes() == []
    pressed(visit, other, "Save")
    assert shopped.changes()[0][3]["where"] == "category = 'BREAD'"


def test_a_save_that_is_sent_twice_is_one(browser: Callable[[], TestClient], shopped: Installed) -> None:
    visit = browser()
    page = beer(visit)
    assert "Version 1" in pressed(visit, page, "Save").text
    again = pressed(visit, page, "Save")
    assert "It was saved before, as version 1: no soup put. Nothing was changed twice." in again.text
    assert len(shopped.changes()) == 1


def test_the_later_of_two_owners_sees_the_earlier_s_and_loses_nothing(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    ann, bob = browser(), browser()
    pressed(ann, beer(ann), "Save")
    path = "/console/rules/edit?name=no%20soup"
    for_ann, for_bob = opened(ann, path), opened(bob, path)
    for_ann = pressed(ann, for_ann, "Preview", value__0="BREAD")
    for_bob = pressed(bob, for_bob, "Preview", value__0="FRUIT", placements=["home"])
    pressed(ann, for_ann, "Save")
    refused = pressed(bob, for_bob, "Save", status=409)
    assert "Rule no soup was changed by somebody else since you opened it, so yours was not saved." in refused.text
    assert "Version 2," in refused.text
    assert "Hides items where category = 'BREAD'." in refused.text, "theirs"
    assert '"where": "category = \'FRUIT\'"' in refused.text, "one's own"
    kept = dict(refused.form("Preview").fields)
    assert (kept["value.0"], kept["placements"]) == ("FRUIT", "home"), "nothing that was typed is lost"
    assert [entry[0] for entry in shopped.changes()] == [1, 2]
    assert "Save" not in [label for label, _ in refused.form("Preview").buttons], "not without another look"
    pressed(bob, pressed(bob, refused, "Preview"), "Save")
    assert shopped.changes()[-1][3]["where"] == "category = 'FRUIT'"


def test_two_owners_with_one_new_name_do_not_write_over_each_other(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    ann, bob = browser(), browser()
    for_ann, for_bob = beer(ann), beer(bob, value__0="BREAD")
    pressed(ann, for_ann, "Save")
    refused = pressed(bob, for_bob, "Save", status=409)
    assert "Theirs is below" in refused.text
    renamed = pressed(bob, refused, "Preview", name="no bread")
    pressed(bob, renamed, "Save")
    assert [entry[2] for entry in shopped.changes()] == ["no soup", "no bread"]


def test_a_rule_that_is_gone_meanwhile_is_not_put_back_unseen(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    ann, bob = browser(), browser()
    for_ann = pressed(ann, opened(ann, "/console/rules/edit?name=two%20each"), "Preview", at_most="3")
    removal = pressed(bob, opened(bob, "/console/rules/remove?name=two%20each"), "Preview")
    assert "It holds no longer" in removal.text
    assert "two each removed" in pressed(bob, removal, "Remove it").text
    refused = pressed(ann, for_ann, "Save", status=409)
    assert "There is no rule of this name now." in refused.text
    assert "by console" in refused.text
    assert shopped.changes() == [(1, "console", "two each", {"removed": True})]


def test_one_who_is_quicker_between_the_look_and_the_write_is_not_written_over(
    browser: Callable[[], TestClient], shopped: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = browser(), browser()
    pressed(ann, beer(ann), "Save")
    path = "/console/rules/edit?name=no%20soup"
    for_ann = pressed(ann, opened(ann, path), "Preview", value__0="BREAD")
    for_bob = pressed(bob, opened(bob, path), "Preview", value__0="FRUIT")
    write, written = DocumentLog.put, list[str]()

    def later(log: DocumentLog, *args: Any, **named: Any) -> Any:
        if not written:
            written.append("ann")
            assert "Version 2" in pressed(ann, for_ann, "Save").text
        return write(log, *args, **named)

    monkeypatch.setattr(DocumentLog, "put", later)
    assert "changed by somebody else" in pressed(bob, for_bob, "Save", status=409).text
    assert shopped.changes()[-1][3]["where"] == "category = 'BREAD'"


def test_a_rule_that_a_newer_version_wrote_is_named_and_not_written_over(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    newer = {"kind": "mirror", "name": "no soup", "times": 2}
    log = shopped.world.log()
    log.put(RULE, [("no soup", newer)], who="key 1", at=dt.datetime.now(dt.UTC), after=log.refreshed(Snapshot()))
    visit = browser()
    assert "and this one cannot read them: no soup." in opened(visit, "/console/rules").text
    refused = pressed(visit, beer(visit), "Save", status=409)
    assert "Version 1," in refused.text
    assert [entry[3] for entry in shopped.changes()] == [newer]


def test_a_change_is_undone_and_the_undo_is_one_too(browser: Callable[[], TestClient], shopped: Installed) -> None:
    visit = browser()
    pressed(visit, beer(visit), "Save")
    listed = opened(visit, "/console/rules")
    done = pressed(visit, listed, "Undo")
    assert "Version 2 of the catalogue, as read back: no soup taken back." in done.text
    assert "(undoes version 1)" in done.text
    assert "It was saved before, as version 2" in pressed(visit, listed, "Undo").text, "pressed twice"
    form = listed.form("Undo")
    stale = {name: value for name, value in form.fields if name != "change_id"} | {"change_id": "another"}
    reply = visit.post("/console/rules/undo", data=stale)
    assert reply.status_code == 422
    assert "version 2 changed it again; undo version 2 first" in Page(reply.text).text
    assert [entry[3] is None for entry in shopped.changes()] == [False, True]


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("pin", {"name": "p", "item": "i9", "place": "1"}, "rules: pin 'p': item: 'i9' is no item that is shown"),
        ("pin", {"name": "p", "item": "i1", "place": "x"}, "place: 'x' is no whole number"),
        ("filter", {"name": "A b", "column__0": "category", "value__0": "SOUP"}, "name: 'A b' is not allowed"),
        ("filter", {"name": "a", "column__0": "price", "operator__0": ">", "value__0": "0"}, "is unknown"),
        ("filter", {"name": "a"}, "where"),
        ("price", {"name": "a"}, "say least, most, or both"),
        ("shown", {"name": "a", "days": "3"}, "shown needs models.ranking.impression"),
    ],
)
def test_what_cannot_be_kept_is_a_sentence_and_what_was_typed_stays(
    browser: Callable[[], TestClient], shopped: Installed, kind: str, typed: dict[str, str], said: str
) -> None:
    visit = browser()
    page = opened(visit, f"/console/rules/new?kind={kind}")
    if kind == "filter" and said == "is unknown":
        found = pressed(visit, page, "Preview", **typed)
        assert "Hides items where price > 0." in found.text
        return
    refused = pressed(visit, page, "Preview", status=422, **typed)
    assert "Not done:" in refused.text
    assert said in refused.text
    kept = dict(refused.form("Preview").fields)
    assert {name: kept[name.replace("__", ".")] for name in typed} == typed
    assert shopped.changes() == []


def test_a_clash_is_refused_by_name_also_where_it_came_between_preview_and_save(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    ann, bob = browser(), browser()
    pin = opened(ann, "/console/rules/new?kind=pin")
    for_ann = pressed(ann, pin, "Preview", name="first", item="i2", place="1")
    pressed(bob, beer(bob), "Save")
    refused = pressed(ann, for_ann, "Save", status=422)
    assert "pin 'first': pins 'i2', which filter 'no soup' hides; change one of the two" in refused.text
    assert dict(refused.form("Preview").fields)["item"] == "i2"
    assert len(shopped.changes()) == 1


def test_a_rule_that_is_about_no_item_is_said_to_do_nothing(browser: Callable[[], TestClient]) -> None:
    visit = browser()
    assert "It is about 2 of 6 items. Such as: leek soup, pea soup." in beer(visit).text
    typo = beer(visit, value__0="soup")
    assert "It is about none of the 6 items: as it stands it does nothing." in typo.text
    page = opened(visit, "/console/rules/new?kind=bought")
    assert "It is about" not in pressed(visit, page, "Preview", days="3").text, "that is each user's own"


def test_where_items_are_people_no_form_names_one(browser: Callable[[], TestClient], shopped: Installed) -> None:
    shopped.people = True
    visit = browser()
    assert "kind=pin" not in visit.get("/console/rules").text
    page = visit.get("/console/rules/new?kind=filter").text
    assert "<option>category</option>" in page
    for name in ("item_id", "title", "leek soup", "i2"):
        assert f'<option value="{name}">' not in page
        assert f"<option>{name}</option>" not in page
    seen = beer(visit)
    assert "It is about 2 of 6 items." in seen.text
    assert "leek soup" not in seen.text


def test_a_second_cost_waits_for_the_first_and_says_so(
    browser: Callable[[], TestClient], shopped: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filled, "COSTS_S", 0.01)
    visit = browser()
    port = visit.app.state.ports.rules  # type: ignore[attr-defined]
    with port._one:
        assert "The cost was not measured: another preview is being measured" in beer(visit).text
    assert "NDCG@10 changes by" in beer(visit).text


def test_a_user_s_list_is_shown_before_and_after(browser: Callable[[], TestClient], shopped: Installed) -> None:
    shopped.world.knows("ann", 3)
    visit = browser()
    page = beer(visit, user="ann")
    shown = page.text.partition("The user's list ")[2].partition(" This is what")[0]
    assert shown == "Before pea soup i3 gone apple i0 pear i1 After apple i0 pear i1 bread i4 new"
    assert shopped.changes() == []
    assert dict(page.form("Preview").fields)["user"] == "ann"


def test_a_user_s_list_that_nobody_can_be_asked_for_is_said(
    browser: Callable[[], TestClient], shopped: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Any) -> Any:
        raise ServerError("the service of shop does not run here")

    monkeypatch.setattr(shopped, "service", away)
    visit = browser()
    page = beer(visit, user="ann")
    assert "The user's list was not had: the service of shop does not run here" in page.text
    pressed(visit, page, "Save")
    assert len(shopped.changes()) == 1


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("abc", "bcd", ["", "", "came"]),
        ("abc", "cab", ["moved", "moved", "moved"]),
        ("abc", "acb", ["", "moved", "moved"]),
        ("", "a", ["came"]),
        ("a", "", []),
    ],
)
def test_an_item_moved_where_it_passed_another_that_was_there(before: str, after: str, said: list[str]) -> None:
    lists = UserLists(*(tuple(ListedItem(one, one) for one in side) for side in (before, after)))
    assert [how for how, _ in _moves(Preview(None, None, "", lists, ""))] == said


def test_what_cannot_be_measured_is_said_and_does_not_stand_in_the_way(
    browser: Callable[[], TestClient], shopped: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    shopped.no_cost = "rules preview: not for specs with vectors"
    visit = browser()
    page = beer(visit)
    assert "The cost was not measured: rules preview: not for specs with vectors" in page.text
    assert "NDCG@10" not in page.text
    pressed(visit, page, "Save")
    assert len(shopped.changes()) == 1


def test_a_store_that_is_away_is_a_sentence_on_the_page(
    browser: Callable[[], TestClient], shopped: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = browser()
    page = beer(visit)

    def away(_: Any) -> Any:
        raise StoreAway("redis://store:6379 does not answer")

    monkeypatch.setattr(live, "catalogue_of", away)
    reply = visit.get("/console/rules")
    assert reply.status_code == 503
    assert "redis://store:6379 does not answer" in Page(reply.text).text
    assert "redis://store:6379 does not answer" in pressed(visit, page, "Save", status=503).text


def test_markup_in_names_of_items_and_in_what_is_typed_is_text(browser: Callable[[], TestClient]) -> None:
    visit = browser()
    reply = visit.get("/console/rules/edit?name=<script>alert(1)</script>")
    assert reply.status_code == 422
    assert "<script>alert" not in reply.text
    assert "There is no rule <script>alert(1)</script> any more." in Page(reply.text).text


def test_the_page_speaks_chinese(browser: Callable[[], TestClient]) -> None:
    visit = browser()
    assert "同一 category 的商品最多 2 个" in opened(visit, "/console/rules?lang=zh").text
    assert "预览" in opened(visit, "/console/rules/new?kind=filter").text


def test_a_rule_that_is_edited_untouched_stays_word_for_word(
    browser: Callable[[], TestClient], shopped: Installed
) -> None:
    visit = browser()
    told = {"kind": "filter", "name": "odd", "where": "not (category='SOUP' or  price<1)", "segments": ["keen"],
            "start": "2026-12-01T00:00:00Z"}  # fmt: skip
    catalogue, segments = shopped.catalogue(None)
    ask = live.asked("put", [str(_file(shopped.world.folder, [told]))])
    rule_changes.write(catalogue, ask, who="key 1", segments=segments)
    page = opened(visit, "/console/rules/edit?name=odd")
    pressed(visit, pressed(visit, page, "Preview"), "Save")
    assert shopped.changes()[-1][3] == shopped.changes()[0][3]


def _file(folder: Path, rules: Any) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps(rules))
    return path
