"""Two names of one person between a change of the key and `rotate`: which is which, and lines read as if renamed."""

from feature_repo.privacy import new_names
from feature_repo.privacy.new_names import NewNames
from feature_repo.privacy.pseudonyms import pseudonym

OLD, NEW = "11" * 16, "22" * 16
ANA, BO = "ana@example.org", "bo@example.org"


def test_names_under_every_earlier_key_lead_to_the_new_one() -> None:
    older = "33" * 16
    names = new_names.of([ANA, BO], (NEW, OLD, older))
    assert names[pseudonym(ANA, OLD)] == names[pseudonym(ANA, older)] == pseudonym(ANA, NEW)
    assert len(names) == 4
    assert new_names.of([ANA], (NEW,)) == {}
    both = {pseudonym(ANA, key) for key in (NEW, OLD, older)}
    for name in both:
        assert set(NewNames(names).every([name])) == both


def test_lines_have_new_names_and_strangers_keep_theirs() -> None:
    names = NewNames({"old": "new"})
    lines: list[dict[str, object]] = [{"user_id": "old", "item_id": "old"}, {"user_id": "stranger"}, {"folded": ["k"]}]
    found = list(names.lines(lines))
    assert found == [{"user_id": "new", "item_id": "old"}, {"user_id": "stranger"}, {"folded": ["k"]}]
    assert lines[0]["user_id"] == "old", "what was read stays as it is"
    assert list(NewNames().lines(lines)) == lines


def test_items_that_are_people_have_new_names_too() -> None:
    names = NewNames({"old": "new"}, people=True)
    line = {"user_id": "a", "items": [{"item_id": "old", "position": 1}, {"item_id": "b", "position": 2}]}
    (found,) = names.lines([line])
    assert [one["item_id"] for one in found["items"]] == ["new", "b"]
    (event,) = names.lines([{"user_id": "a", "item_id": "old"}])
    assert event["item_id"] == "new"
    (kept,) = names.lines([{"user_id": "old", "items": line["items"]}], items=False)
    assert (kept["user_id"], kept["items"]) == ("new", line["items"])
