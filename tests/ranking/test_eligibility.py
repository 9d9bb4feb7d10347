"""What nobody may be shown: no candidate, label, baseline or answer holds it, whatever the history."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ranking import eligibility, examples, metrics
from components.ranking.baselines import BASELINES
from components.ranking.batch import GROUP, recommended
from components.ranking.candidates import candidates
from components.ranking.card import write as card
from components.ranking.eligibility import Eligibility
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.served import served
from components.ranking.spec import Candidates, Ranking
from components.ranking.train import train
from feature_repo.errors import DataError, SpecError
from feature_repo.fallback import RUNG, Fallback, ListedItem
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.rows import UserRows
from tests.ranking import board
from tests.ranking.board import ITEMS, SPEC, Happened, intents, known_row, user_rows

NEW = Ranking.model_validate(SPEC.model_dump() | {"repeat": "forbid"})
KEY = "5eed"
Rows = Callable[[list[list[int]]], UserRows]


def had(*histories: list[int]) -> UserRows:
    """Return a row for each history, all bought in week 20."""
    return user_rows(*(known_row(f"u{n:02}", {20: items}, 21) for n, items in enumerate(histories)))


@pytest.fixture(scope="module")
def new_world(folders: tuple[Path, Path]) -> World:
    return examples.load(*folders, NEW)


@pytest.fixture(scope="module")
def new_ranker(new_world: World) -> Ranker:
    return train(new_world, NEW).ranker


def test_labels_are_the_items_that_are_new_to_the_user(new_world: World, world: World) -> None:
    before, now = world.examples, new_world.examples
    assert len(now) == len(before)  # rows without a label still say what was known of a user
    for b in range(len(before)):
        history = set(before.rows.lists["history_items"].row(b).tolist())
        assert now.bought.row(b).tolist() == [i for i in before.bought.row(b).tolist() if i not in history]
    assert not now.labelled.all()
    assert now.of_weeks([19, 20]).labelled.all()
    assert len(now.of_weeks([19, 20])) < len(before.of_weeks([19, 20]))


def test_what_is_allowed_today_is_what_it_was(folders: tuple[Path, Path], world: World) -> None:
    again = examples.load(*folders, Ranking(repeat="allow"))
    assert again.examples.bought.values.tolist() == world.examples.bought.values.tolist()
    assert not again.eligible.bars
    assert not {"repeat", "exclude_self"} & Ranking(repeat="allow", exclude_self=False).model_dump().keys()


def test_weeks_without_anything_new_are_named(tmp_path: Path) -> None:
    same: Happened = {week: [int(week % 2)] for week in range(1, 21)}
    folders = board.write(tmp_path, {f"u{n:02}": same for n in range(4)})
    with pytest.raises(DataError, match=r"vocabulary item that was new to them in the test weeks .*`repeat: allow`"):
        examples.load(*folders, NEW).weeks("test")


def test_a_ranker_trained_without_repeats_is_judged_on_new_items_alone(new_ranker: Ranker, new_world: World) -> None:
    found = evaluate(new_ranker, new_world)
    assert found.test["rows"] == len(new_world.examples.of_weeks([19, 20]))
    assert found.test["ndcg_at_10"] == found.test["explore_ndcg_at_10"] > found.baselines["popular"]["ndcg_at_10"]
    assert found.baselines["popular"] == found.baselines["unseen_popular"]
    otherwise = evaluate(new_ranker, dataclasses.replace(new_world, eligible=eligibility.ANY))
    assert found.rows_digest != otherwise.rows_digest  # the same rows, by another rule
    measured = served(new_ranker, new_world, trained=new_ranker, memory={})
    assert measured["variant"] == {"score_gap": pytest.approx(0, abs=1e-5), "ndcg_loss": 0.0}
    config = {"candidates": {}, "features": [], "width": 1, "repeat": "forbid"}
    assert "never before" in card(found, {"rows": {"train": 1}, "best_epoch": 0, "epochs": [{}]}, config)


def test_the_rule_travels_with_the_model(new_ranker: Ranker, ranker: Ranker, tmp_path: Path) -> None:
    for name, one in (("new", new_ranker), ("any", ranker)):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name)
    assert Ranker.load(tmp_path / "new").eligible.repeat == "forbid"
    assert Ranker.load(tmp_path / "any").eligible == eligibility.ANY
    assert "repeat" not in json.loads((tmp_path / "any" / "config.json").read_text())


HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, unique=True), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(histories=HISTORIES, k=st.integers(1, ITEMS), selves=st.booleans(), limit=st.integers(1, 40))
def test_no_path_shows_what_is_barred(
    ranker: Ranker, histories: list[list[int]], k: int, selves: bool, limit: int
) -> None:
    rows = had(*histories)
    own = {f"u{n:02}": (n * 7) % ITEMS for n in range(len(histories))} if selves else {}
    barred = [{*items, *([own[f"u{n:02}"]] if selves else [])} for n, items in enumerate(histories)]
    strict = dataclasses.replace(
        ranker,
        eligible=Eligibility("forbid", own),
        spec=Candidates(history=limit, neighbours=limit, offers=limit, popular=limit),
    )
    chances = np.stack([np.asarray(intents("u00"), np.float32)] * len(rows))
    found = candidates(
        History.of(rows, ranker.neighbours), ranker.catalogue, strict.spec, barred=strict.eligible.dense(rows, ITEMS)
    )
    shown = [("candidates", b, found.item[found.row == b].tolist()) for b in range(len(rows))]
    for b in range(len(rows)):
        answer = strict.recommend(rows.take(np.array([b])), chances[b], k=k)
        assert len(answer) == min(k, ITEMS - len(barred[b]))  # short only where nothing else is left
        shown.append(("online", b, [one.item_index for one in answer]))
    for name, baseline in BASELINES.items():
        best = baseline(rows, ranker.catalogue, ranker.neighbours, k=k, barred=strict.eligible.barred(rows))
        shown += [(name, b, items.tolist()) for b, items in enumerate(best)]
    for rung in ("fresh", "segment", "popular"):
        answers = recommended(table(histories, rung), chances, strict, standby(), k=k)
        assert [len(answer) for answer in answers] == [min(k, ITEMS - len(gone)) for gone in barred]
        shown += [(f"batch {rung}", b, [item for item, *_ in answer]) for b, answer in enumerate(answers)]
    assert [(path, b, items) for path, b, items in shown if barred[b] & set(items)] == []


def table(histories: list[list[int]], rung: str) -> pa.Table:
    """Return a group of batch rows on one rung."""
    made = board.table([known_row(f"u{n:02}", {20: items}, 21) for n, items in enumerate(histories)])
    made = made.drop(["week", "bought"]).append_column(RUNG, pa.array([rung] * len(histories)))
    return made.append_column(GROUP, pa.array([0 if rung == "segment" else 1] * len(histories)))


def standby() -> Fallback:
    """Return a segment that likes the first items, and everyone who likes the last."""
    listed = [ListedItem(np.asarray(items), np.full(5, 0.2)) for items in (range(5), range(ITEMS - 5, ITEMS))]
    return Fallback("d", ("one",), np.zeros((2, 7), np.float32), tuple(listed))


def test_a_user_who_had_everything_gets_nothing(ranker: Ranker) -> None:
    strict = dataclasses.replace(ranker, eligible=Eligibility("forbid"))
    everything = had(list(range(ITEMS)))
    assert strict.recommend(everything, np.asarray(intents("u00"), np.float32), k=5) == []
    assert len(strict.rank(everything, np.asarray([intents("u00")], np.float32)).found.item) == 0


def test_a_user_is_found_among_the_items_by_the_one_form_of_an_id() -> None:
    spec = Ranking(exclude_self=True)
    found = eligibility.of(spec, ["ann", "bob"], key=KEY)
    assert found.own[pseudonym(" bob", KEY)] == 1
    assert eligibility.own_item(spec, {"ann": 0, "bob": 1}, "bob ") == {1}
    assert eligibility.own_item(spec, {"ann": 0}, "carl") == frozenset()
    assert eligibility.own_item(Ranking(), {"ann": 0}, "ann") == frozenset()


def test_without_the_key_nobody_is_taken_for_nobody() -> None:
    with pytest.raises(SpecError, match=r"exclude_self: needs INTENTFLOW_PSEUDONYM_KEY"):
        eligibility.of(Ranking(exclude_self=True), ["ann"], key=None)


def people(folder: Path, happened: dict[str, Happened], raw: Callable[[int], str]) -> tuple[Path, Path]:
    """Write the checkerboard with the pseudonyms of raw ids; items are called i00 to i29."""
    rows, intent = board.write(folder, happened)
    hidden = {user: pseudonym(raw(n), KEY) for n, user in enumerate(happened)}
    for path in (rows / "ranking.parquet", intent / "out_of_time.parquet"):
        made = pq.read_table(path)
        ids = pa.array([hidden[user] for user in made["user_id"].to_pylist()])
        pq.write_table(made.set_column(made.column_names.index("user_id"), "user_id", ids), path)
    return rows, intent


def test_a_user_who_is_an_item_is_no_label_and_no_candidate(tmp_path: Path, happened: dict[str, Happened]) -> None:
    spec = Ranking.model_validate(SPEC.model_dump() | {"exclude_self": True})
    world = examples.load(*people(tmp_path, happened, lambda n: f"i{n:02}"), spec, key=KEY)
    own = {pseudonym(f"i{n:02}", KEY): n for n in range(ITEMS)}
    some = world.examples
    users = [own.get(str(user), -1) for user in some.rows.user_id]
    assert not any(users[b] in some.bought.row(b) for b in range(len(some)))
    mask = world.eligible.dense(some.rows, ITEMS)
    assert mask.sum(axis=1).tolist() == [int(mine >= 0) for mine in users]


def test_items_that_are_no_users_are_refused(tmp_path: Path, happened: dict[str, Happened]) -> None:
    with pytest.raises(DataError, match=r"exclude_self: none of the 30 items has the id of a user"):
        examples.load(*people(tmp_path, happened, lambda n: f"user {n}"), Ranking(exclude_self=True), key=KEY)


def test_history_alone_could_never_bring_a_candidate() -> None:
    for history in ({"history": 10}, {}):  # left out, it is on
        with pytest.raises(ValueError, match="history alone brings nothing under `repeat: forbid`"):
            Ranking(repeat="forbid", candidates=history | {"neighbours": 0, "offers": 0})
    for candidates_of in ({"history": 0, "neighbours": 0, "offers": 0}, {"neighbours": 0}, {}):
        made = Ranking(repeat="forbid", candidates=candidates_of)
        assert Ranking.model_validate_json(made.model_dump_json()) == made  # steps read what the spec's dump says


def test_a_metric_without_any_label_is_undefined() -> None:
    nothing = metrics.per_row(np.array([[1, 2]]), metrics.without(_lists([1]), _lists([1]), 9), 9)
    assert nothing.mean() == {}
    assert metrics.intervals({"ndcg": nothing.ndcg}, np.array(["u"]), nothing.counts) == {}


def _lists(items: list[int]) -> examples.Ragged:
    return examples.Ragged(np.asarray(items), np.asarray([0, len(items)]))
