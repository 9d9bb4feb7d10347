"""The pages about people over a fake port."""

import re
from dataclasses import replace

import pytest

from bentos.console.pages.people import moved
from bentos.console.ports import Ports
from bentos.console.ports.people import Intent, Item
from feature_repo.errors import ServerError
from tests.console.visits import ANN, BOB, PERSON, RAW, FakePeople, client, csrf, send, text

PAGE = f"/console/people/{ANN}"


def test_somebody_is_found_by_a_typed_id_and_the_address_has_the_pseudonym() -> None:
    visitor = client(Ports(people=FakePeople()))
    found = send(visitor, "/console/people", user=f" {RAW} ")
    assert (found.status_code, found.headers["location"]) == (303, PAGE)
    page = visitor.get(PAGE)
    said = text(page)
    for words in ("bakers", "fresh: the models answered", "12.0 hours before", "39d0a928afd0", "buy:BREAD",
                  "66 %", "1. Bananas", "history", "1.50", "bought in 24 weeks", "Ripe.", "template@2",
                  "purchase"):  # fmt: skip
        assert words in said
    assert RAW not in page.text


def test_an_id_that_is_none_is_a_sentence_and_stays_in_the_form() -> None:
    visitor = client(Ports(people=FakePeople()))
    refused = send(visitor, "/console/people", user="  ")
    assert (refused.status_code, "user id: blanks; give an id as in your data" in text(refused)) == (422, True)


def test_whoever_was_answered_is_listed_and_shown_as_answered_last() -> None:
    visitor = client(Ports(people=FakePeople()))
    assert f'href="{PAGE}"' in visitor.get("/console/people").text
    page = text(visitor.get(PAGE))
    assert "As the service last answered, at 2026-01-31 12:03 UTC" in page
    assert "User id of this person" in page
    unknown = visitor.get(f"/console/people/{BOB}")
    assert (unknown.status_code, "no logged answer of that pseudonym" in text(unknown)) == (422, True)


def test_an_event_is_sent_in_the_owner_s_name_and_the_list_says_what_changed() -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    send(visitor, "/console/people", user=RAW)
    visitor.get(PAGE)
    sent = send(visitor, PAGE, event="purchase", item="i2")
    assert (sent.status_code, sent.headers["location"]) == (303, PAGE)
    assert people.sent == [(RAW, "purchase", "i2", "console")]
    page = text(visitor.get(PAGE))
    assert "The event purchase of item i2 was stored." in page
    assert "1. Rolls up 1" in page
    assert "2. Bananas down 1" in page
    assert "was stored" not in text(visitor.get(PAGE))


def test_a_form_that_is_sent_twice_is_one_event_and_each_form_is_another() -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    send(visitor, "/console/people", user=RAW)
    page = visitor.get(PAGE)
    every = re.findall(r'name="once" value="([0-9a-f]+)"', page.text)
    assert len({*every}) == 1 + len(PERSON.items)
    form = {"csrf": csrf(page), "once": every[0], "event": "view", "item": "i1"}
    assert [visitor.post(PAGE, data=form).status_code for _ in range(2)] == [303, 303]
    assert len(people.sent) == 1
    assert "was stored before: this form was sent twice" in text(visitor.get(PAGE))
    visitor.post(PAGE, data=form | {"once": every[1]})
    visitor.post(PAGE, data=form | {"once": "x' or 1"})
    assert (len(people.sent), people.once[-1]) == (3, "")


def test_htmx_gets_the_person_alone() -> None:
    visitor = client(Ports(people=FakePeople()))
    send(visitor, "/console/people", user=RAW)
    block = send(visitor, PAGE, htmx=True, event="view", item="i2")
    assert block.status_code == 200
    assert block.text.lstrip().startswith('<div id="person"')
    assert "<html" not in block.text
    assert "The event view of item i2 was stored." in text(block)
    refused = send(visitor, PAGE, htmx=True, event="view", item="i9")
    assert (refused.status_code, "<html" in refused.text) == (422, False)
    assert "'i9' is no item of the catalogue" in text(refused)


def test_an_unknown_item_is_a_sentence_and_what_was_typed_stays() -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    send(visitor, "/console/people", user=RAW)
    refused = send(visitor, PAGE, event="purchase", item="i9")
    assert refused.status_code == 422
    assert "Not done: item: 'i9' is no item of the catalogue; nothing was sent" in text(refused)
    assert 'name="item" value="i9"' in refused.text
    assert "<option selected>purchase</option>" in refused.text
    assert people.sent == []


def test_an_event_of_somebody_listed_needs_that_person_s_id() -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    assert send(visitor, PAGE, event="view", item="i1").status_code == 422
    wrong = send(visitor, PAGE, event="view", item="i1", user="somebody-else")
    assert "is another person's" in text(wrong)
    assert people.sent == []
    assert send(visitor, PAGE, event="view", item="i1", user=RAW).status_code == 303


def test_another_visitor_does_not_know_whose_pseudonym_it_is() -> None:
    people = FakePeople()
    first = client(Ports(people=people))
    send(first, "/console/people", user=RAW)
    first.cookies.clear()
    assert "As the service last answered" in text(first.get(PAGE))


def test_a_service_that_is_away_is_a_sentence() -> None:
    visitor = client(Ports(people=FakePeople(error=ServerError("the service of shop does not run here"))))
    send(visitor, "/console/people", user=RAW)
    page = visitor.get(PAGE)
    assert (page.status_code, "the service of shop does not run here" in text(page)) == (503, True)


def test_markup_in_titles_appears_as_text() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    item = Item(1, evil, evil, evil, (evil,), text=evil, author=evil)
    person = replace(PERSON, items=(item,), segment=evil, intents=(Intent(evil, 0.5),), note=evil)
    visitor = client(Ports(people=FakePeople(person)))
    send(visitor, "/console/people", user=RAW)
    page = visitor.get(PAGE)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert page.text.count("&lt;script&gt;alert(1)") > 5


def test_a_picture_is_an_image_that_names_no_page() -> None:
    item = replace(PERSON.items[0], picture="https://img.example/1.jpg")
    visitor = client(Ports(people=FakePeople(replace(PERSON, items=(item,)))), image_origins=("https://img.example",))
    send(visitor, "/console/people", user=RAW)
    page = visitor.get(PAGE).text
    assert '<img src="https://img.example/1.jpg" alt=""' in page
    assert 'referrerpolicy="no-referrer"' in page


def test_a_look_that_counts_and_texts_that_are_missing_are_said() -> None:
    person = replace(PERSON, counts=True, untold="events is not among its scopes")
    visitor = client(Ports(people=FakePeople(person)))
    send(visitor, "/console/people", user=RAW)
    said = text(visitor.get(PAGE))
    assert "the request log counts it as an answer that somebody saw" in said
    assert "No customer saw this answer" not in said
    assert "No texts: events is not among its scopes" in said
    assert "热门" in text(visitor.get(f"{PAGE}?lang=zh"))


def test_the_page_speaks_chinese_and_remembers_it() -> None:
    visitor = client(Ports(people=FakePeople()))
    assert 'lang="zh-Hans"' in visitor.get("/console/people?lang=zh").text
    assert "查找用户" in text(visitor.get("/console/people"))
    assert "Find somebody" in text(visitor.get("/console/people?lang=en"))
    accepting = client(Ports(people=FakePeople()))
    assert "查找用户" in text(accepting.get("/console/people", headers={"Accept-Language": "zh-CN,en;q=0.5"}))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("rung", ["fresh", "stale", "segment", "popular"])
def test_every_rung_has_words(language: str, rung: str) -> None:
    bare = replace(PERSON, rung=rung, degraded="timeout", intents=(), items=(), events=(), age_days=None, segment="")
    visitor = client(Ports(people=FakePeople(bare)))
    send(visitor, "/console/people", user=RAW)
    assert visitor.get(f"{PAGE}?lang={language}").status_code == 200


def test_what_moved() -> None:
    before, now = PERSON, replace(
        PERSON,
        intents=(Intent("buy:BREAD", 0.76), Intent("buy:TEA", 0.1)),
        items=(replace(PERSON.items[1], position=1), Item(2, "i3", "Tea", "popular", ())),
    )  # fmt: skip
    found = moved(before, now)
    assert (found.items, found.gone) == ({"i2": 1, "i3": None}, ("Bananas",))
    assert found.intents == {"buy:BREAD": pytest.approx(0.1)}


def test_a_raw_id_in_an_address_is_refused() -> None:
    visitor = client(Ports(people=FakePeople()))
    page = visitor.get(f"/console/people/{RAW}")
    assert (page.status_code, "it names no pseudonym" in text(page)) == (404, True)
