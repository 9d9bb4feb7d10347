"""Several kinds of events: carts tell what is bought, skipped items drop, hidden and bought ones are not shown."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from components.ranking import encode, examples, feature_names
from components.ranking.baselines import BASELINES
from components.ranking.candidates import CandidateSet, given
from components.ranking.catalogue import Catalogue
from components.ranking.eligibility import of_kinds
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.lists import fit_until, of_weeks, with_shown
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.short import Short
from components.ranking.spec import Ranking
from components.ranking.train import train
from feature_repo import columns, records
from feature_repo.rows import Ragged, UserRows
from feature_repo.update import Folding
from tests.ranking import board, kinds
from tests.ranking.board import SPEC
from tests.ranking.test_known_answers import FACTS

FUNNEL = Ranking.model_validate(
    SPEC.model_dump() | {"kinds": {"view": 1, "cart": 20, "purchase": 30}, "repeat": {"purchase": "forbid"}}
)
ALIKE = FUNNEL.model_copy(update={"kinds": {"view": 1.0, "cart": 1.0, "purchase": 1.0}})
LISTEN = Ranking.model_validate(SPEC.model_dump() | {"kinds": {"play": 1, "skip": -1}, "epochs": 8})


def loaded(folder: Path, events: kinds.Events, spec: Ranking) -> World:
    return examples.load(*kinds.write(folder, events, spec.signs()), spec)


@pytest.fixture(scope="module")
def funnel(tmp_path_factory: pytest.TempPathFactory) -> World:
    return loaded(tmp_path_factory.mktemp("funnel"), kinds.funnel(), FUNNEL)


@pytest.fixture(scope="module")
def shop(funnel: World) -> Ranker:
    return train(funnel, FUNNEL).ranker


def of_purchases(world: World, first: np.ndarray, purchases: World) -> float:
    """Return the share of the test rows with a purchase whose first item is one."""
    own, truth = (w.examples.of_weeks(w.weeks("test")) for w in (world, purchases))
    hits, order = [], {(u, w): n for n, (u, w) in enumerate(zip(own.rows.user_id, own.week, strict=True))}
    for b, key in enumerate(zip(truth.rows.user_id, truth.week, strict=True)):
        assert truth.worth is not None
        bought = truth.bought.row(b)[truth.worth.row(b) == 1.0]
        if len(bought):
            hits.append(first[order[key]] in bought)
    return float(np.mean(hits))


def most_had(world: World) -> np.ndarray:
    """Return the first item of each test row by the plain baseline of decayed history."""
    found = world.examples.of_weeks(world.weeks("test"))
    table, catalogue = fit_until(world.examples, 30, until=19), Catalogue.of(world.vocabulary, world.item_state)
    barred = world.eligible.barred(found.rows)
    return BASELINES["decayed_personal"](found.rows, catalogue, table, k=1, barred=barred)[:, 0]


def test_labels_are_graded_by_the_weights(funnel: World) -> None:
    assert funnel.examples.worth is not None
    assert sorted(set(np.round(funnel.examples.worth.values, 3).tolist())) == [0.033, 0.667, 1.0]
    assert funnel.rule == "cart 20, purchase 30, view 1; once purchase"


def test_weights_matter_where_carts_tell_what_is_bought(tmp_path: Path, funnel: World) -> None:
    alike = loaded(tmp_path, kinds.funnel(), ALIKE)
    weighed, plain = of_purchases(funnel, most_had(funnel), funnel), of_purchases(alike, most_had(alike), funnel)
    assert weighed > plain + 0.2, (weighed, plain)


def test_a_ranker_finds_the_cart_behind_the_purchase(funnel: World, shop: Ranker) -> None:
    assert {"slow:cart", "since:cart", "slow:view"} <= set(shop.features)
    assert not set(feature_names.UNWANTED) & set(shop.features)  # no kind says that an item was not wanted
    found = funnel.examples.of_weeks(funnel.weeks("test"))
    scored = shop.rank(found.rows, found.probabilities)
    first = scored.found.item[top(scored, 1)[:, 0]]
    assert of_purchases(funnel, first, funnel) > 0.75
    result = evaluate(shop, funnel)
    assert result.test["ndcg_at_10"] > result.baselines["popular"]["ndcg_at_10"]


def test_what_was_bought_is_no_candidate_and_no_label(funnel: World, shop: Ranker) -> None:
    found = funnel.examples
    scored = shop.rank(found.rows, found.probabilities)
    bought = {}
    for user, events in kinds.funnel().items():
        bought[user] = [(e.at, int(e.item_id[1:])) for e in events if e.event == "purchase"]
    barred = funnel.eligible.barred(found.rows)
    for b, (user, week) in enumerate(zip(found.rows.user_id, found.week, strict=True)):
        before = {item for at, item in bought[user] if at < board.start(int(week))}
        offered = scored.found.item[scored.found.offsets[b] : scored.found.offsets[b + 1]]
        assert set(barred.row(b).tolist()) == before
        assert not before & {*offered.tolist(), *found.bought.row(b).tolist()}
    assert len(barred.values)


def test_skipped_items_drop(tmp_path: Path) -> None:
    events = kinds.listeners()
    world = loaded(tmp_path / "told", events, LISTEN)
    deaf = LISTEN.model_copy(update={"kinds": {"play": 1.0, "skip": 0.0}})
    shares = []
    for asked, spec in ((world, LISTEN), (loaded(tmp_path / "deaf", events, deaf), deaf)):
        found = asked.examples.of_weeks(asked.weeks("test"))
        ranker = train(asked, spec).ranker
        scored = ranker.rank(found.rows, found.probabilities)
        items = scored.found.item[top(scored, 5)]
        gone = [
            kinds.skipped(events[user], int(week)) for user, week in zip(found.rows.user_id, found.week, strict=True)
        ]
        shares.append(np.mean([len(set(row) & skipped) / 5 for row, skipped in zip(items.tolist(), gone, strict=True)]))
    assert shares[0] < 0.02 < 0.1 < shares[1], shares


def test_what_was_not_wanted_is_a_feature_of_the_item_its_category_and_its_brand(tmp_path: Path) -> None:
    # u00 skipped item 4 (C4, EVEN) in week 14 and 15; item 10 is of its category and brand, item 3 of neither.
    events = dict(kinds.listeners())
    events["u00"] = [kinds.happened("play", 2, 13, day=0)] + [
        kinds.happened("skip", 4, week, day=0) for week in (14, 15)
    ]
    events["u00"] += [kinds.happened("play", 2, 19, day=0)]
    world = loaded(tmp_path, events, LISTEN)
    examples = world.examples
    rows = examples.rows.take(np.flatnonzero((examples.rows.user_id == "u00") & (examples.week == 19)))
    history, items = History.of(rows, fit_until(examples, 30, until=19)), np.asarray([4, 10, 3])
    facts = encode.facts(
        rows, given(history, items), history=history, probabilities=np.zeros((1, 7), np.float32),
        catalogue=Catalogue.of(world.vocabulary, world.item_state), calendar=world.calendar, signs=LISTEN.signs(),
    )  # fmt: skip
    aged = 0.96**5 + 0.96**4
    assert facts["unwanted"].tolist() == pytest.approx([aged, 0, 0])
    assert facts["unwanted_since"].tolist() == [4, 60, 60]
    assert facts["unwanted_target"].tolist() == pytest.approx([aged, aged, 0])
    assert facts["unwanted_brand"].tolist() == pytest.approx([aged, aged, 0])
    seen = dict(
        zip(feature_names.features(LISTEN.signs())[-4:], encode.matrix(facts, feature_names.UNWANTED)[0], strict=True)
    )
    assert seen["unwanted"] == pytest.approx(np.log1p(aged))
    assert seen["unwanted_since"] == pytest.approx(np.log(4))


def row_of(*events: tuple[str, int]) -> UserRows:
    """Return the stored row of a user after (kind, item) events of week 20."""

    spec = Ranking(kinds={"view": 1, "purchase": 5, "hide": -1}, hide=("hide",))
    known = dataclasses.replace(board.vocabulary(), whole_history=True, signs=spec.signs())
    folding = Folding(board.CALENDAR, known, columns.WINDOWS_DAYS)
    state = folding.fold(
        folding.empty(), [kinds.happened(kind, item, 20, day=n) for n, (kind, item) in enumerate(events)]
    )
    lists = {name: [value] for name, value in state.items() if isinstance(value, np.ndarray)}
    numbers = {name: [state[name]] for name in (*columns.profile_columns(), columns.SEGMENT)}
    return UserRows.from_online(
        {"user_id": ["u"], "state_at": [state["state_at"]]} | numbers | lists, now=board.start(21)
    )


def test_what_was_hidden_is_shown_on_no_path() -> None:
    spec = Ranking(kinds={"view": 1, "purchase": 5, "hide": -1}, hide=("hide",))
    eligible = of_kinds(spec)
    assert eligible.bars
    assert eligible.barred(row_of(("view", 3), ("hide", 5))).row(0).tolist() == [5]
    assert eligible.barred(row_of(("view", 3))).row(0).tolist() == []
    assert eligible.dense(row_of(("hide", 5)), 30).sum() == 1


def test_a_served_ranker_reads_stored_rows_itself(tmp_path: Path, funnel: World, shop: Ranker) -> None:
    shop.save(tmp_path)
    served = Ranker.load(tmp_path)
    assert served.vocabulary.signs == FUNNEL.signs()
    assert served.eligible.signs == FUNNEL.signs()
    assert served.features == shop.features
    rows = funnel.examples.rows.take(np.asarray([0]))
    assert records.BARRED in rows.lists
    answer = served.recommend(rows, funnel.examples.probabilities[0], k=10)
    assert [one.item_index for one in answer] == [
        one.item_index for one in shop.recommend(rows, funnel.examples.probabilities[0], k=10)
    ]


def test_a_row_that_is_cut_keeps_the_last_events_of_interest_with_their_kinds(funnel: World) -> None:
    how = Short.of(funnel, FUNNEL.model_copy(update={"short_histories": 1.0}), funnel.weeks("train"))
    assert how is not None
    some = funnel.examples.of_weeks([16]).take(np.arange(8))
    cut = how.cut(some, np.full(8, 2)).rows
    assert set(cut.lists) == set(some.rows.lists)
    for b in range(8):
        last = sorted(some.rows.lists[records.LAST_OF].row(b).tolist())
        assert sorted(cut.lists[records.LAST_OF].row(b).tolist()) == last[-2:]
        pairs = {*zip(*(some.rows.lists[name].row(b).tolist() for name in records.RECORDS[:2]), strict=True)}
        assert {*zip(*(cut.lists[name].row(b).tolist() for name in records.RECORDS[:2]), strict=True)} < pairs


READ = Ranking.model_validate(
    SPEC.model_dump() | {"kinds": {"click": 1, "impression": 0}, "impression": "impression", "passed_over": 2}
)


def found_of(*rows: list[int]) -> CandidateSet:
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.asarray([item for row in rows for item in row], dtype=np.int64)
    return CandidateSet(items, np.zeros(len(items), dtype=np.int8), offsets)


def ragged(*rows: list[int]) -> Ragged:
    return Ragged(np.asarray([i for row in rows for i in row], dtype=np.int64), np.cumsum([0, *map(len, rows)]))


def test_what_was_shown_joins_the_candidates_all_that_was_wanted_and_a_few_of_the_rest() -> None:
    allowed = np.ones((3, 10), dtype=bool)
    allowed[0, 9] = False  # was hidden
    shown, wanted = ragged([1, 2, 3, 4, 5, 9], [], [0, 1, 2, 3]), ragged([1, 2, 7], [3], [0, 1, 2, 3])
    found = with_shown(found_of([1, 6], [8], []), shown, wanted, allowed, most=1)
    rows = [found.item[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    assert {1, 2, 6} < set(rows[0])
    assert len(rows[0]) == 4  # 1 and 6 were candidates, 2 was wanted, and one of 3, 4, 5
    assert len({3, 4, 5} & set(rows[0])) == 1
    assert rows[1:] == [[8], [0, 1, 2, 3]]
    none = with_shown(found_of([1, 6], [8], []), shown, wanted, allowed, most=0)
    assert none.item.tolist() == [1, 2, 6, 8, 0, 1, 2, 3]
    every = with_shown(found_of([1, 6], [8], []), shown, wanted, allowed, most=512)
    assert every.item.tolist() == [1, 2, 3, 4, 5, 6, 8, 0, 1, 2, 3]


@drawn(
    shown=st.lists(st.lists(st.integers(0, 19), max_size=12, unique=True), min_size=2, max_size=5),
    most=st.integers(0, 6),
)
def test_no_row_has_more_of_what_was_passed_over_than_the_bound(shown: list[list[int]], most: int) -> None:
    wanted = [row[::3] for row in shown]
    candidates = found_of(*([2, 4] for _ in shown))
    found = with_shown(candidates, ragged(*shown), ragged(*wanted), np.ones((len(shown), 20), dtype=bool), most=most)
    for b, (row, liked) in enumerate(zip(shown, wanted, strict=True)):
        items = found.item[found.offsets[b] : found.offsets[b + 1]].tolist()
        assert items == sorted(set(items))
        assert {2, 4, *liked} <= set(items)
        passed = set(row) - set(liked) - {2, 4}
        assert len(set(items) & passed) == min(most, len(passed))


def test_impressions_teach_and_are_no_interest(tmp_path: Path) -> None:
    world = loaded(tmp_path, kinds.readers(), READ)
    items = world.examples.rows.lists["history_items"]
    owner = np.asarray([int(user[1:]) % 2 for user in world.examples.rows.user_id])
    assert (items.values % 2 == owner[items.row_of_value()]).all()  # shown were both colours, clicked is one
    assert set(feature_names.SHOWN) <= set(world.features)
    weeks = world.weeks("train")[-2:]
    table = fit_until(world.examples, 30, until=weeks[0])
    tables = dict.fromkeys(weeks, table)
    plain, taught = (
        of_weeks(world, weeks, tables, READ.candidates, report=lambda done: None, passed_over=most)
        for most in (None, 2)
    )
    assert taught.recall == plain.recall  # of what the sources bring
    assert taught.bought.sum() > plain.bought.sum()  # what was clicked and no source brought
    added = np.diff(taught.offsets) - np.diff(plain.offsets)
    assert added.max() > 2  # clicks, and two of the others
    result = evaluate(train(world, READ).ranker, world)
    assert result.test["ndcg_at_10"] > result.baselines["popular"]["ndcg_at_10"]


def test_how_often_an_item_is_wanted_when_it_is_shown_is_a_feature() -> None:
    facts = {"share_slow": np.asarray([0.1, 0.1]), columns.SHOWN_SLOW: np.asarray([0.2, 0.9])}
    rest = {name: np.ones(2) for name in FACTS}
    ctr = encode.matrix(rest | facts, ["ctr"])[:, 0]
    assert ctr.tolist() == pytest.approx(np.log([0.1001 / 0.201, 0.1001 / 0.901]).tolist(), rel=1e-4)
