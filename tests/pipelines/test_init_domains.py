"""`init` names the domain that raw files are nearest to, with the facts, and weighs kinds of events by their words."""

import csv
import datetime as dt
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from components.data.contract import validate
from components.data.guess_kinds import guess_kinds
from components.data.ingest import ingest
from pipelines import spec
from pipelines.init import Draft, draft

START = dt.datetime(2024, 1, 1)
Row = tuple[object, ...]


def drafted(folder: Path, header: str, rows: Iterator[Row]) -> Draft:
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    made = draft(folder / "log.csv", name="log", folder=folder)
    (folder / "log.yaml").write_text(made.text)
    spec.load(folder / "log.yaml")  # it loads, as it is written
    return made


def at(day: float) -> str:
    return (START + dt.timedelta(days=day)).isoformat(timespec="seconds")


def baskets(dice: random.Random) -> Iterator[Row]:
    """Members who come each eight days and buy three of a dozen things."""
    for member in range(30):
        for visit in range(12):
            for thing in dice.sample(range(12), 3):
                yield member, f"thing {thing}", at(member % 7 + 8 * visit)[:10]


def stars(dice: random.Random) -> Iterator[Row]:
    """People who rate ten films each, every film once, in two evenings three weeks apart."""
    for user in range(40):
        for n, film in enumerate(dice.sample(range(60), 10)):
            yield user, f"f{film}", dice.randrange(1, 6), at(user + 21 * (n // 5) + n / 100)


def visits(dice: random.Random) -> Iterator[Row]:
    """Visitors of whom most come once: they look at three things, put one aside and buy it every other time."""
    for visitor in range(120):
        for again in range(2 if visitor % 4 == 0 else 1):
            day, session = dice.random() * 55 + again, f"s{visitor}-{again}"
            yield visitor, "", "search", session, at(day)
            for n, thing in enumerate(dice.sample(range(15), 3)):
                yield visitor, f"p{thing}", "view", session, at(day + n / 500)
            yield visitor, f"p{thing}", "cart", session, at(day + 0.01)
            yield visitor, f"p{thing}", ("purchase", "remove_from_cart")[visitor % 2], session, at(day + 0.02)


def listens(dice: random.Random) -> Iterator[Row]:
    """Listeners who play six of their own eight songs every other day, and skip one."""
    for listener in range(20):
        own = dice.sample(range(30), 8)
        for day in range(listener % 2, 60, 2):
            for n, song in enumerate(dice.choices(own, k=6)):
                yield listener, f"s{song}", "play" if n else "skip", at(day + n / 200)


def articles(dice: random.Random) -> Iterator[Row]:
    """Readers who come every day for twelve days and read two of the day's twenty articles, none twice."""
    for reader in range(60):
        for day in range(12):
            for article in dice.sample(range(20), 2):
                yield reader, f"a{day}-{article}", at(day + dice.random() * 0.9)


def messages(dice: random.Random) -> Iterator[Row]:
    """People who write to each other, nobody to themselves."""
    for n in range(1500):
        sender, receiver = dice.sample(range(40), 2)
        yield sender, receiver, at(n / 20)


@pytest.mark.parametrize(
    ("domain", "header", "rows", "since"),
    [
        ("grocery", "Member_number,itemDescription,Date", baskets, "there is one kind of event, the step is a week"),
        ("movies", "userId,movieId,rating,timestamp", stars, "rows have stars, 0% of events repeat an item"),
        ("clickstream", "visitor_id,item_id,event,session,timestamp", visits, "kinds are a funnel: view, cart, purch"),
        ("music", "listener_id,item_id,event,timestamp", listens, "6.0 events of a user in an active day"),
        ("news", "reader_id,item_id,timestamp", articles, "half of the items are seen over 0."),
        ("social", "src,dst,time", messages, "100% of the items are users"),
    ],
)
def test_the_nearest_domain_is_named_with_its_facts(
    tmp_path: Path, domain: str, header: str, rows: Callable[[random.Random], Iterator[Row]], since: str
) -> None:
    made = drafted(tmp_path, header, rows(random.Random(0)))
    (line,) = [one for one in made.said if one.startswith("nearest of the six domains: ")]
    assert line.startswith(f"nearest of the six domains: {domain}")
    assert since in line
    assert f"# - {line}" in made.text  # in the file as well


def test_a_shop_s_kinds_are_weighed_and_what_has_no_item_is_declared(tmp_path: Path) -> None:
    made = drafted(tmp_path, "visitor_id,item_id,event,session,timestamp", visits(random.Random(0)))
    document = yaml.safe_load(made.text)
    ranking = document["models"]["ranking"]
    assert ranking["kinds"] == {"view": 1, "cart": 3, "remove_from_cart": 0, "purchase": 5}
    assert ranking["undo"] == {"remove_from_cart": "cart"}
    assert document["data"]["without_item"] == ["search"]
    assert document["data"]["contract"]["events"][1] == {"expect": "not_null", "column": "item_id"}  # no `mostly`
    assert document["intents"][0]["event"] == "purchase"
    assert "# a draft by the kinds' words: looked at 1, kept 3, had 5; below 0 not wanted" in made.text
    assert "`horizon: session` asks of the visit under way" in made.text
    assert "events of search have no item: `data.without_item` counts them as activity" in made.said
    data = spec.load(tmp_path / "log.yaml").judged_data()
    ingest(data, tmp_path / "tables", key="00" * 16, base=tmp_path)
    assert validate(tmp_path / "tables", data, tmp_path / "clean").kept["events"] == made.found.rows  # none set aside


def test_an_intent_is_of_a_kind_that_was_wanted_even_where_most_events_are_skips(tmp_path: Path) -> None:
    rows = [(u, f"i{n % 9}", "skip" if n % 4 else "play", at(u / 20 + 3 * n)) for u in range(20) for n in range(20)]
    document = yaml.safe_load(drafted(tmp_path, "user_id,item_id,event,timestamp", iter(rows)).text)
    assert document["models"]["ranking"]["kinds"] == {"skip": -1, "play": 1}
    assert document["intents"][0]["event"] == "play"


def test_stars_beside_weighed_kinds_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [
        (u, f"i{n % 9}", "view" if n % 3 else "like", "" if n % 3 else 5, at(u / 20 + 3 * n))
        for u in range(20)
        for n in range(20)
    ]
    made = drafted(tmp_path, "user_id,item_id,event,rating,timestamp", iter(rows))
    assert "strength" not in yaml.safe_load(made.text)["data"]["source"]["events"]["columns"]
    assert "column 'rating' is left out: models.ranking.kinds says how much an item is wanted" in made.said


def test_whom_one_follows_already_is_not_shown_until_it_is_taken_back(tmp_path: Path) -> None:
    dice = random.Random(0)
    rows = [(*dice.sample(range(40), 2), dice.choice(["follow", "unfollow", "view"]), at(n / 20)) for n in range(1200)]
    made = drafted(tmp_path, "follower,followee,action,time", iter(rows))
    ranking = yaml.safe_load(made.text)["models"]["ranking"]
    assert (ranking["repeat"], ranking["undo"]) == ({"follow": "forbid"}, {"unfollow": "follow"})
    assert "repeat: {follow: forbid}  # whom one follows already is not shown, until it is taken back" in made.text


def test_kinds_of_no_known_word_are_named_and_count_alike(tmp_path: Path) -> None:
    rows = [(u, f"i{n % 9}", f"step_{n % 2}", at(u / 20 + 3 * n)) for u in range(20) for n in range(20)]
    made = drafted(tmp_path, "user_id,item_id,event,timestamp", iter(rows))
    assert "kinds:" not in made.text.replace("models.ranking.kinds", "")
    assert any(
        one.startswith("the kinds step_0, step_1 have no known words, so each event counts") for one in made.said
    )


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        ({"pv": 80, "fav": 9, "cart": 8, "buy": 3}, {"kinds": {"pv": 1, "fav": 3, "cart": 3, "buy": 5}}),
        (
            {"impression": 90, "click": 9, "hide": 1},
            {"kinds": {"impression": 0, "click": 1, "hide": -2}, "hide": ["hide"], "impression": "impression"},
        ),
        (
            {"Follow": 9, "Unfollow": 3, "like": 5, "unlike": 1},
            {
                "kinds": {"Follow": 3, "Unfollow": -1, "like": 3, "unlike": 0},
                "undo": {"Unfollow": "Follow", "unlike": "like"},
            },
        ),
        (
            {"order_placed": 9, "return": 1, "refund": 1},
            {
                "kinds": {"order_placed": 5, "return": -1, "refund": -1},
                "undo": {"return": "order_placed", "refund": "order_placed"},
            },
        ),
        ({"click": 9, "not_clicked": 9}, {}),  # no word says what the second means, so that one is known alone
        ({"skip": 5, "dislike": 5}, {}),  # nothing is wanted
        ({"event": 100}, {}),
    ],
)
def test_words_say_weights(rows: dict[str, int], fields: dict[str, object]) -> None:
    assert guess_kinds(rows).fields() == fields
