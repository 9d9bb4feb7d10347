"""Bad input in the console, beside a real service: each is a sentence on the page, and nothing typed is lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos import keys
from bentos.client import Recommender
from bentos.endpoints.items import ItemChange
from tests.browser.conftest import QUIET, chromium
from tests.browser.console_world import USERS, Console
from tests.browser.page import browsed
from tests.browser.test_console_tasks import another, find, first_items, said
from tests.browser.visitor import Visitor
from tests.pipelines.rollout.laptop import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("unruled")]
MARKUP = '<b>Bold</b><script>document.title = "taken"</script> & "tea"'


@pytest.fixture
def home(owner: Visitor, console: Console) -> Visitor:
    """The owner on the first page."""
    owner.open(console.url)
    return owner


@pytest.fixture
def admin(console: Console) -> Iterator[Recommender]:
    with Recommender(console.door, api_key=console.admin) as client:
        yield client


def alert(visitor: Visitor) -> str:
    """Wait for the sentence that says what was not done."""
    visitor._until("!!document.querySelector('[role=alert]')", "no sentence")
    return str(visitor.page.run("document.querySelector('[role=alert]').textContent.replace(/\\s+/g, ' ').trim()"))


def pin(visitor: Visitor, item: str, name: str) -> None:
    """Fill the form of a pin at the first place, and preview it."""
    visitor.click(said("frame.rules"))
    visitor.click(said("rules.kind_pin"))
    visitor.fill(said("rules.field_name"), name)
    visitor.fill(said("rules.field_item"), item)
    visitor.fill(said("rules.field_place"), "1")
    visitor.click(said("rules.preview"))


def test_a_rule_that_clashes(home: Visitor, console: Console) -> None:
    pin(home, "i2", "first pin")
    home.sees(said("rules.cost"))
    home.click(said("rules.save"))
    home.sees("Every door keeps to it")
    pin(home, "i4", "second pin")
    sentence = alert(home)
    assert "first pin" in sentence
    assert "second pin" in sentence
    fields = "Object.fromEntries([...document.querySelectorAll('input')].map((e) => [e.name, e.value]))"
    typed = json.loads(home.page.run(f"JSON.stringify({fields})"))
    assert (typed["name"], typed["item"], typed["place"]) == ("second pin", "i4", "1"), "nothing typed is lost"


def test_an_event_of_an_unknown_item(home: Visitor, console: Console) -> None:
    find(home, USERS[12])
    before = first_items(console, USERS[12])
    home.fill(said("people.item"), "i0815")
    home.click(said("people.send_button"))
    sentence = alert(home)
    assert "'i0815' is no item of the catalogue" in sentence
    assert "nothing was sent" in sentence
    assert home.page.run("document.querySelector('#item').value") == "i0815"
    assert first_items(console, USERS[12]) == before


def test_two_owners_of_one_rule_the_later_sees_the_earlier_s(home: Visitor, console: Console, tmp_path: Path) -> None:
    pin(home, "i6", "both want it")
    home.click(said("rules.save"))
    home.sees("Every door keeps to it")
    with another(console, tmp_path) as later:
        for visitor in (home, later):
            visitor.click(said("frame.rules"))
            visitor.click(said("rules.change_of", name="both want it"))
            visitor.loaded()
        for visitor, item in ((later, "i8"), (home, "i10")):
            visitor.fill(said("rules.field_item"), item)
            visitor.click(said("rules.preview"))
            visitor.sees(said("rules.cost"))
        home.click(said("rules.save"))
        home.sees("Every door keeps to it")
        later.click(said("rules.save"))
        assert said("rules.overtaken", name="both want it") in alert(later)
        shown = later.page.text()
        assert "i10" in shown, "the earlier's"
        assert "i8" in shown, "one's own"
    until(lambda: first_items(console, USERS[0])[0] == "i10", seconds=10, what="the earlier's", tell=console.tell)


def test_a_key_that_ends_keeps_what_was_typed(console: Console, tmp_path: Path) -> None:
    short = keys.make(console.keys, name="guest", scopes=("admin",), server=True)
    with browsed(chromium(), tmp_path / "profile", QUIET) as page:
        visitor = Visitor(page)
        time.sleep(1.1)  # the console looks at its keys each second
        visitor.open(f"{console.url}?lang=en")
        visitor.fill(said("frame.key"), short)
        visitor.enter()
        visitor.sees(said("frame.sign_out"))
        find(visitor, USERS[14])
        visitor.fill(said("people.item"), "i0")
        keys.revoke(console.keys, short.split("_")[1])
        time.sleep(1.1)
        visitor.click(said("people.send_button"))
        shown = visitor.sees(said("frame.revoked"))
        assert said("frame.kept") in shown
        visitor.fill(said("frame.key"), console.admin)
        visitor.enter()
        visitor.click(said("frame.send"))
        visitor.sees(said("people.id_again"))  # the raw id was the ended session's
        assert page.run("document.querySelector('#item').value") == "i0"
        visitor.fill(said("people.id_here"), USERS[14])
        visitor.click(said("people.send_button"))
        visitor.sees(said("people.sent", event="purchase", item="i0"))


def test_a_title_with_markup_is_text(home: Visitor, console: Console, admin: Recommender) -> None:
    name = first_items(console, USERS[16])[0]
    done = admin.items(items=[ItemChange(item_id=name, title=MARKUP, category=f"C{int(name[1:]) % 4}")])
    try:
        find(home, USERS[16])
        assert MARKUP in home.sees(MARKUP)
        assert home.page.run("document.title") != "taken"
        assert home.page.run("document.querySelectorAll('main b, main script').length") == 0
    finally:
        admin.items(undo=done.version)
