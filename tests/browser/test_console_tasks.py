"""What a shop's owner does in the console, beside a real service: find, why, event, rule and its cost, roll back.

Each begins on the first page and counts every press of the mouse, also those into fields. Slow, since two releases are
trained and rolled out first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bentos.client import Recommender
from bentos.console import words
from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.releases import processes
from tests.browser import console_world
from tests.browser.conftest import QUIET, chromium
from tests.browser.console_world import USERS, Console
from tests.browser.page import browsed
from tests.browser.visitor import Keyboard, Visitor
from tests.pipelines.conftest import RAW
from tests.pipelines.rollout.laptop import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("unruled")]
MOST_CLICKS = 4
ANN, BOB, CAT, DAN = USERS[2], USERS[4], USERS[6], USERS[8]  # all like even items


def said(key: str, language: str = "en", **values: object) -> str:
    """Return the console's words."""
    return words.text(language, key, **values)


def find(visitor: Visitor, user: str, language: str = "en") -> str:
    """Go to somebody's page; return what it shows."""
    visitor.click(said("frame.people", language))
    visitor.fill(said("people.user", language), user)
    visitor.enter()
    return visitor.sees(said("people.live", language))


@contextmanager
def another(console: Console, folder: Path, kind: type[Visitor] = Visitor, language: str = "en") -> Iterator[Visitor]:
    """A browser of its own, signed in."""
    with browsed(chromium(), folder / "profile", QUIET) as page:
        visitor = kind(page)
        console_world.sign_in(visitor, console, language=language)
        yield visitor


@pytest.fixture
def quick(owner: Visitor, console: Console) -> Iterator[Visitor]:
    """The owner on the first page, who may click four times."""
    owner.open(console.url)
    yield owner
    assert 0 < owner.clicks <= MOST_CLICKS, owner.visited


def first_items(console: Console, user: str) -> list[str]:
    """Ask the service as the shop does."""
    with Recommender(console.door, api_key=console.reader) as client:
        return [item.item_id for item in client.recommend(user, k=5).items]


def test_find_a_person(quick: Visitor, console: Console) -> None:
    shown = find(quick, ANN)
    hidden = pseudonym(ANN, (console.place.home / "secrets" / "pseudonym.key").read_text())
    assert hidden in shown
    assert hidden in quick.page.run("location.pathname")
    assert RAW not in shown + quick.page.run("location.href")
    for part in ("people.intents", "people.items", "people.events"):
        assert said(part) in shown


def test_see_why(quick: Visitor, console: Console) -> None:
    shown = find(quick, ANN)
    assert f"{said('people.because')}: " in shown
    reasons = [line for line in shown.splitlines() if line.startswith(said("people.because"))]
    assert len(reasons) >= 3
    assert all("item_count" not in line and "_" not in line for line in reasons), "reasons in words"


def test_send_an_event_and_watch_the_list_change(quick: Visitor, console: Console) -> None:
    shown = find(quick, BOB)
    before = titles(quick)
    last = before[-1]
    quick.click(said("people.quick_about", event="purchase", title=last))
    quick.sees(said("people.sent", event="purchase", item=last.lower()))
    after = titles(quick)
    assert after != before
    assert said("people.since", at="").split("{")[0][:8] in quick.page.text()
    assert said("people.from_service") in quick.page.text()
    assert shown != quick.page.text()
    assert first_items(console, BOB) == [title.lower() for title in after][:5], "what the shop shows now"


def titles(visitor: Visitor) -> list[str]:
    """Return the titles of the items on somebody's page."""
    script = "[...document.querySelectorAll('ol.items h3')].map((e) => e.firstChild.textContent.trim())"
    return [text.partition(". ")[2] for text in visitor.page.run(script)]


def test_write_a_rule_and_see_what_it_costs(quick: Visitor, console: Console) -> None:
    hidden = first_items(console, CAT)[0]
    category = f"C{int(hidden[1:]) % 4}"
    quick.click(said("frame.rules"))
    quick.click(said("rules.kind_filter"))
    quick.loaded()
    write_condition(quick, "category", category)
    quick.enter()
    shown = quick.sees(said("rules.cost"))
    assert "NDCG@10" in shown
    assert said("rules.previewed_about") in shown
    assert hidden in first_items(console, CAT), "a preview changes nothing"
    quick.click(said("rules.save"))
    quick.sees("every door keeps to it".capitalize())
    until(lambda: hidden not in first_items(console, CAT), seconds=10, what="the rule holds", tell=console.tell)
    owner = f"key {console.admin.split('_')[1]}, console"
    assert owner in quick.page.text()
    quick.click(said("frame.changes"))
    assert owner in quick.sees(owner)


def write_condition(visitor: Visitor, column: str, value: str) -> None:
    """Fill the first condition from the keyboard: the form has put the focus there."""
    for letter in column:
        visitor.page.call("Input.dispatchKeyEvent", type="char", text=letter)
    label = said("rules.condition_column", n=1)
    assert visitor.page.run("document.activeElement.labels[0].textContent.trim()") == label
    assert visitor.page.run("document.activeElement.value") == column
    visitor.page.press("Tab")
    visitor.page.press("Tab")
    visitor.page.type(value)


class TestKeyboard:
    """The same without a mouse."""

    @pytest.fixture(scope="class")
    def keys(self, console: Console, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyboard]:
        with another(console, tmp_path_factory.mktemp("keys"), Keyboard) as visitor:
            assert isinstance(visitor, Keyboard)
            yield visitor

    def test_an_event_is_sent_and_the_list_changes(self, keys: Keyboard, console: Console) -> None:
        keys.open(console.url)
        find(keys, DAN)
        before = titles(keys)
        keys.click(said("people.quick_about", event="purchase", title=before[-1]))
        keys.sees(said("people.sent", event="purchase", item=before[-1].lower()))
        assert titles(keys) != before
        assert keys.page.run("document.activeElement !== document.body"), "the focus is not lost"

    def test_a_rule_is_written_previewed_and_taken_back(self, keys: Keyboard, console: Console) -> None:
        keys.open(console.url)
        keys.click(said("frame.rules"))
        keys.click(said("rules.kind_pin"))
        keys.fill(said("rules.field_item"), "i3")
        keys.fill(said("rules.field_place"), "1")
        keys.click(said("rules.preview"))
        keys.sees(said("rules.cost"))
        keys.click(said("rules.save"))
        keys.sees("Every door keeps to it")
        until(lambda: first_items(console, ANN)[0] == "i3", seconds=10, what="the pin", tell=console.tell)
        keys.click("Undo version")
        until(lambda: first_items(console, ANN)[0] != "i3", seconds=10, what="no pin", tell=console.tell)

    def test_the_skip_link_comes_first_and_skips(self, keys: Keyboard, console: Console) -> None:
        keys.open(console.url)
        keys.page.press("Tab")
        assert keys.page.run("document.activeElement.textContent.trim()") == said("frame.skip")
        keys.page.press("Enter")
        keys.page.press("Tab")
        assert keys.page.run("!!document.activeElement.closest('main')")


def test_in_chinese_a_person_is_found(console: Console, tmp_path: Path) -> None:
    with another(console, tmp_path, language="zh") as visitor:
        visitor.open(console.url)
        shown = find(visitor, ANN, "zh")
        assert visitor.clicks <= MOST_CLICKS
        assert visitor.page.run("document.documentElement.lang").startswith("zh")
    for part in ("people.intents", "people.items", "people.because", "people.segment"):
        assert said(part, "zh") in shown
    for part in ("people.intents", "people.items", "people.because", "people.segment"):
        assert said(part) not in shown


def test_without_javascript_somebody_is_found_an_event_sent_and_a_rule_saved(console: Console, tmp_path: Path) -> None:
    with browsed(chromium(), tmp_path / "profile", QUIET) as page:
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        visitor = Visitor(page)
        console_world.sign_in(visitor, console)
        visitor.open(console.url)
        assert page.run("typeof htmx") == "undefined"
        find(visitor, USERS[10])
        before = titles(visitor)
        visitor.click(said("people.quick_about", event="purchase", title=before[-1]))
        visitor.sees(said("people.sent", event="purchase", item=before[-1].lower()))
        assert titles(visitor) != before
        visitor.click(said("frame.rules"))
        visitor.click(said("rules.kind_cap"))
        visitor.choose(said("rules.field_column"), "category")
        visitor.fill(said("rules.field_at_most"), "2")
        visitor.click(said("rules.preview"))
        visitor.sees(said("rules.cost"))
        visitor.click(said("rules.save"))
        visitor.sees("Every door keeps to it")


def test_roll_back(quick: Visitor, console: Console) -> None:
    """Last: it ends the experiment, and another release serves."""
    champion, before = (console.shop.aliases()[alias] for alias in ("champion", "previous"))
    quick.click(said("frame.releases"))
    quick.click(said("releases.back_to", to=before))
    quick.click(said("releases.confirm"))
    shown = quick.sees(said("releases.champion", version=before))
    assert f"key {console.admin.split('_')[1]}, console" in shown
    console.serves(before)
    assert console.shop.aliases()["champion"] == before != champion
    assert [s.state for s in processes.status(console.place.home) if s.name == "router"] == ["running"]


def test_while_a_rollout_runs_there_is_no_way_back(owner: Visitor, console: Console) -> None:
    """A third release passes its gates; nobody asks, so that its rollout waits for answers."""
    console.shop.edit(serving={"k": 6})
    for verb in ("apply", "run"):
        console.run(verb)
    third = console.shop.aliases()["champion"]
    until(lambda: console.standing()["candidate"], seconds=60, what="a rollout", tell=console.tell)
    owner.open(f"{console.url}/releases/rollback")
    owner.sees("is under way")
    assert console.shop.aliases()["champion"] == third, "nothing was moved"
