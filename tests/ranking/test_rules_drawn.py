"""Ten thousand drawn lists under drawn rules, none of which breaks a rule."""

import datetime as dt
import itertools
import random
from collections import Counter
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from components.ranking.rules import book, listing
from components.ranking.rules.book import DAY, Asked, Items
from components.ranking.rules.spec import KINDS, RULE, RULES
from tests.ranking.test_rules import CATEGORIES, NOW, TAGS

WHERES = ("category = 'A'", "category in ['A', 'B'] or price < 2", "not tags has 'x'", "price is unknown", "stock > 1")


def world_of(seed: int) -> tuple[Items, list[int], list[Any], Asked, int]:
    """Make some items, an order of some of them, rules, and what is asked, by chance: hypothesis draws the seed."""
    chance = random.Random(seed)
    pick, n = chance.choice, chance.randint(1, 9)
    came = [None if (d := pick([0, 1, 5, None])) is None else dt.datetime.fromtimestamp(NOW - d * DAY, dt.UTC)
            for _ in range(n)]  # fmt: skip
    table = pa.table({
        "item_id": [f"i{i}" for i in range(n)],
        "category": pa.array([pick(CATEGORIES) for _ in range(n)], pa.string()),
        "price": pa.array([pick([1.0, 2.0, 3.0, None]) for _ in range(n)], pa.float64()),
        "stock": pa.array([pick([0, 1, 2, None]) for _ in range(n)], pa.int32()),
        "tags": pa.array([chance.sample(TAGS, chance.randint(0, 2)) for _ in range(n)], pa.list_(pa.string())),
        "first_seen": pa.array(came, pa.timestamp("us", "UTC")),
    })  # fmt: skip
    items = Items(table, {f"i{i}": i for i in range(n)}, chance.randint(0, n), impressions=True)

    def times() -> dict[int, int]:
        return {i: NOW - pick([0, 1, 3]) * DAY for i in chance.sample(range(n), chance.randint(0, n))}

    def fields() -> dict[str, Any]:
        return pick([
            lambda: {"kind": "filter", "where": pick(WHERES)},
            lambda: {"kind": "boost", "where": pick(WHERES), "places": chance.randint(1, 4)},
            lambda: {"kind": "bury", "where": pick(WHERES), "places": pick([None, 1, 3])},
            lambda: {"kind": "pin", "item": f"i{chance.randint(0, n)}", "place": chance.randint(1, 6)},
            lambda: {"kind": "cap", "column": pick(["category", "tags"]), "at_most": chance.randint(1, 2),
                     "where": pick([None, *WHERES])},
            lambda: {"kind": "stock", "column": "stock", "unknown": pick(["hide", "show"])},
            lambda: {"kind": "price", "least": pick([None, 2.0]), "most": 2.5, "unknown": pick(["hide", "show"])},
            lambda: {"kind": "bought", "days": pick([1.0, 2.0])},
            lambda: {"kind": "shown", "days": pick([1.0, 2.0])},
            lambda: {"kind": "new", "share": pick([0.3, 0.5, 1.0]), "days": pick([0.5, 2.0])},
        ])()  # fmt: skip

    def scope() -> dict[str, Any]:
        return {"placements": pick([[], [], ["home"]]), "segments": pick([[], [], ["s"]]),
                "start": pick([None, None, "2026-12-10T00:00:00Z", "2026-12-11T00:00:00Z"]),
                "end": pick([None, None, "2026-12-12T00:00:00Z"])}  # fmt: skip

    asked = Asked(NOW, pick(["home", "basket", None]), pick(["s", None]), {"": times()}, times())
    given = [{"name": f"r{i}"} | fields() | scope() for i in range(chance.randint(0, 5))]
    rules = [RULE.validate_python(one) for one in given]
    return items, chance.sample(range(n), chance.randint(0, n)), rules, asked, chance.randint(1, 6)


def row(items: Items, item: int) -> dict[str, Any]:
    found: dict[str, Any] = items.table.slice(item, 1).to_pylist()[0]
    return found


MEANS = {
    WHERES[0]: lambda r: r["category"] == "A",
    WHERES[1]: lambda r: r["category"] in ("A", "B") or (r["price"] is not None and r["price"] < 2),
    WHERES[2]: lambda r: "x" not in r["tags"],
    WHERES[3]: lambda r: r["price"] is None,
    WHERES[4]: lambda r: r["stock"] is not None and r["stock"] > 1,
}


def in_force(one: Any, asked: Asked) -> bool:
    at = dt.datetime.fromtimestamp(asked.now, dt.UTC)
    return (
        (not one.placements or asked.placement in one.placements)
        and (not one.segments or asked.segment in one.segments)
        and (one.start is None or one.start <= at)
        and (one.end is None or at < one.end)
    )


def hides(one: Any, r: dict[str, Any], item: int, asked: Asked) -> bool:
    """Say in the rule's own words whether it hides an item: nothing here is the code under test."""
    if one.kind == "filter":
        return bool(MEANS[one.where](r))
    if one.kind == "stock":
        return r["stock"] < 1 if r["stock"] is not None else one.unknown == "hide"
    if one.kind == "price":
        if r["price"] is None:
            return bool(one.unknown == "hide")
        return bool((one.least is not None and r["price"] < one.least) or r["price"] > one.most)
    acted = asked.had[""] if one.kind == "bought" else asked.shown if one.kind == "shown" else {}
    return item in acted and acted[item] >= asked.now - one.days * DAY


def is_new(one: Any, r: dict[str, Any], item: int, items: Items, asked: Asked) -> bool:
    if r["first_seen"] is None:
        return item >= items.learnt
    return bool(r["first_seen"].timestamp() > asked.now - one.days * DAY)


def above_cap(found: list[int], rules: list[Any], rows: dict[int, dict[str, Any]]) -> bool:
    for one in (one for one in rules if one.kind == "cap"):
        about = [i for i in found if one.where is None or MEANS[one.where](rows[i])]
        values = [rows[i][one.column] for i in about]
        each = itertools.chain(*(v if isinstance(v, list) else [v] for v in values if v is not None))
        if any(count > one.at_most for count in Counter(each).values()):
            return True
    return False


QUIET: dict[str, Any] = {
    "deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(hypothesis.HealthCheck)
}  # fmt: skip


SEEDS = st.integers(0, 2**48)


@hypothesis.settings(max_examples=1_500, **QUIET)
@hypothesis.given(SEEDS)
def test_no_list_breaks_a_rule(seed: int) -> None:
    require_kept(seed)


@pytest.mark.slow  # 20 s of a core: the same, as often as docs/rules.md says
def test_none_of_ten_thousand_lists_breaks_a_rule() -> None:
    seen = []

    @hypothesis.settings(max_examples=10_000, **QUIET)
    @hypothesis.given(SEEDS)
    def kept(seed: int) -> None:
        seen.append(seed)
        require_kept(seed)

    kept()
    assert len({*seen}) >= 9_900, "a strategy that gives up early would prove less"


def require_kept(seed: int) -> None:
    """Make a list and compare it with what its rules say in their own words."""
    items, ranked, rules, asked, k = world_of(seed)
    held = book.read(rules, {}, items).for_list(asked)
    found = listing.listed(ranked, held, asked, k=k)
    mine = [one for one in rules if in_force(one, asked)]
    assert [one.rule.name for one in held] == [one.name for one in mine]
    shown, rows = list(found.items), {i: row(items, i) for i in range(items.table.num_rows)}
    unmet = {one.rule for one in found.unmet}
    assert len(shown) <= k
    assert len({*shown}) == len(shown)
    assert {*shown} <= {*ranked}
    hidden = {i for i in ranked for one in mine if hides(one, rows[i], i, asked)}
    assert not hidden & {*shown}
    assert not above_cap(shown, mine, rows)
    assert not list(listing.violations(shown, [one for one in held if one.rule.name not in unmet], asked))
    if len(shown) < k:  # nothing more could be shown
        left = [i for i in ranked if i not in hidden and i not in shown]
        assert all(above_cap([*shown, i], mine, rows) for i in left)
        assert found.took or not {*ranked} - {*shown}, "and it is said what kept the others out"
    for one in mine:
        if one.name in unmet:
            continue
        if one.kind == "pin":
            assert shown[one.place - 1] == items.places[one.item]
        if one.kind == "new":
            new = sum(is_new(one, rows[i], i, items, asked) for i in shown)
            assert new >= one.share * len(shown) - 1e-6
    if not mine:
        assert shown == ranked[:k], "without rules a list is the ranker's"


def test_all_kinds_are_drawn_and_documented() -> None:
    names = {kind.model_fields["kind"].annotation.__args__[0] for kind in KINDS}  # type: ignore[union-attr]
    assert names == {"filter", "boost", "bury", "pin", "cap", "stock", "price", "bought", "shown", "new"}
    assert RULES.validate_python([]) == []
