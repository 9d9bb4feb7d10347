"""Two names of one person between a change of the key and `rotate`: which is which, and lines read as if renamed."""

from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.privacy import new_names

OLD, NEW = "11" * 16, "22" * 16
ANA, BO = "ana@example.org", "bo@example.org"


def test_names_under_every_earlier_key_lead_to_the_new_one() -> None:
    older = "33" * 16
    names = new_names.of([ANA, BO], (NEW, OLD, older))
    assert names[pseudonym(ANA, OLD)] == names[pseudonym(ANA, older)] == pseudonym(ANA, NEW)
    assert len(names) == 4
    assert new_names.of([ANA], (NEW,)) == {}


def test_lines_have_new_names_and_strangers_keep_theirs() -> None:
    names = {"old": "new"}
    lines = [{"user_id": "old", "item_id": "old"}, {"user_id": "stranger"}, {"folded": ["k"]}]
    found = list(new_names.renamed(lines, names, people=False))
    assert found == [{"user_id": "new", "item_id": "old"}, {"user_id": "stranger"}, {"folded": ["k"]}]
    assert lines[0]["user_id"] == "old", "what was read stays as it is"


def test_items_that_are_people_have_new_names_too() -> None:
    line = {"user_id": "a", "items": [{"item_id": "old", "position": 1}, {"item_id": "b", "position": 2}]}
    (found,) = new_names.renamed(
        [
            line,
        ],
        {"old": "new"},
        people=True,
    )
    assert [one["item_id"] for one in found["items"]] == ["new", "b"]
    (event,) = new_names.renamed([{"user_id": "a", "item_id": "old"}], {"old": "new"}, people=True)
    assert event["item_id"] == "new"
