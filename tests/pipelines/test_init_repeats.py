"""What a draft says of repeats, and of people who are items."""

import datetime as dt
import random
from pathlib import Path

import pytest
import yaml

from components.ranking.spec import Ranking
from pipelines.init import draft
from pipelines.spec import load

START = dt.datetime(2024, 1, 1)
PEOPLE = 60


def drafted(folder: Path, header: str, pairs: list[tuple[object, object]]) -> tuple[Ranking, str]:
    """Draft a spec for (user, item) rows spread over ten weeks; return its ranking and its text."""
    dice = random.Random(1)
    times = sorted(dice.randrange(70 * 86_400) for _ in pairs)
    lines = [f"{u},{i},{START + dt.timedelta(seconds=at)}" for (u, i), at in zip(pairs, times, strict=True)]
    (folder / "log.csv").write_text("\n".join([header, *lines]) + "\n")
    text = draft(folder / "log.csv", name="log", folder=folder).text
    return Ranking.model_validate(yaml.safe_load(text)["models"]["ranking"]), text


def numbers(seed: int, *, selves: bool, once: bool) -> list[tuple[int, int]]:
    """Pair people 0..59 with items 0..59, with themselves or never, each pair once or as it comes."""
    dice = random.Random(seed)
    pairs = [(dice.randrange(PEOPLE), dice.randrange(PEOPLE)) for _ in range(3000)]
    pairs = [pair for pair in pairs if selves or pair[0] != pair[1]]
    return dice.sample(sorted(set(pairs)), len(set(pairs))) if once else pairs


def test_a_file_in_which_nothing_repeats_forbids_repeats(tmp_path: Path) -> None:
    ranking, text = drafted(tmp_path, "user_id,movie_id,timestamp", numbers(1, selves=True, once=True))
    assert (ranking.repeat, ranking.exclude_self) == ("forbid", False)
    assert "0.0% of events repeat an item that the user had: only new ones are shown" in text
    assert "history" not in text  # of candidates: it would bring none


def test_a_file_in_which_things_repeat_says_nothing_of_it(tmp_path: Path) -> None:
    ranking, text = drafted(tmp_path, "user_id,movie_id,timestamp", numbers(1, selves=True, once=False))
    assert (ranking.repeat, ranking.exclude_self) == ("allow", False)  # ids of two lists, by chance alike
    assert "repeat:" not in text
    assert "exclude_self" not in text


@pytest.mark.parametrize("header", ["src,dst,time", "user_id,contact,timestamp"])
def test_items_that_are_people_are_found_by_their_names_or_since_nobody_meets_themselves(
    tmp_path: Path, header: str
) -> None:
    header = header.replace("contact", "item_id")
    ranking, text = drafted(tmp_path, header, numbers(2, selves=False, once=False))
    assert yaml.safe_load(text)["data"]["source"]["items"] == {"from": "users"}
    assert "100% of the items have a user's id: both ends of an event get one pseudonym" in text
    assert not ranking.exclude_self  # follows from the items
    assert "if these are users too" not in text  # that is settled
    assert "level:" not in text  # no question for each person
    (tmp_path / "log.yaml").write_text(text)
    drawn = load(tmp_path / "log.yaml").models.ranking
    assert (drawn.people, drawn.exclude_self, drawn.candidates.limit("reciprocity")) == (True, True, 100)


def test_a_pair_of_two_kinds_is_no_pair_of_people(tmp_path: Path) -> None:
    pairs = [(f"u{u}", f"page{i}") for u, i in numbers(3, selves=True, once=False)]
    ranking, text = drafted(tmp_path, "source,target,time", pairs)
    assert not ranking.exclude_self
    assert "if these are users too, `items: {from: users}` in data.source makes them people" in text
