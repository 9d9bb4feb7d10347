"""What a ranker may see, by name: the features of any shop, then what each declaration adds, in one order."""

import pytest

from components.ranking.feature_names import CONTENT, FEATURES, KNOWN, PEOPLE, PLACES, UNUSED, features
from feature_repo.signs import Signs

TWO = Signs((("cart", 3.0), ("view", 1.0)))
UNWANTED = ("unwanted", "unwanted_since", "unwanted_target", "unwanted_brand")
BY_KIND = ("slow:cart", "since:cart", "slow:view", "since:view")


def test_of_any_shop_they_are_these() -> None:
    assert features() == FEATURES
    assert (len(FEATURES), FEATURES[0], FEATURES[-1]) == (46, "had", "offer_display_usual")
    assert len(set(KNOWN)) == len(KNOWN)
    assert set(KNOWN) > {*FEATURES, *UNUSED, *PEOPLE, *CONTENT, "knowledge"}
    assert "place:personal_popular" in PLACES


@pytest.mark.parametrize(
    ("declared", "more"),
    [
        ({"people": True}, PEOPLE),
        ({"content": True}, ("content", "content_known")),
        ({"knowledge": True}, ("knowledge",)),
        ({"signs": Signs((("cart", 3.0),))}, ()),
        ({"signs": TWO}, BY_KIND),
        ({"signs": Signs((("buy", 1.0), ("return", -1.0)))}, UNWANTED),
        ({"signs": Signs((("buy", 1.0),), shown="impression")}, ("shown", "shown_since", "ctr")),
        ({"learnt": ("ease", "als")}, ("by_ease", "by_als")),
        ({"start": "personal_popular"}, ("place:personal_popular",)),
        (
            {"start": "popular", "learnt": ("als",), "signs": TWO, "knowledge": True, "content": True, "people": True},
            (*PEOPLE, "content", "content_known", "knowledge", *BY_KIND, "by_als", "place:popular"),
        ),
    ],
)
def test_each_declaration_adds_its_own_behind_them(declared, more) -> None:
    assert features(**declared) == (*FEATURES, *more)
