"""The ranker `basket`: served as trained, told what is due, chosen on a hold-out, nothing where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from components.ranking import basket_fit, item_signals
from components.ranking.basket_fit import FORMS, KERNEL, SET
from components.ranking.history import History
from components.ranking.past import Past
from components.ranking.score import Ranker
from components.ranking.sources import basket
from feature_repo.rows import Ragged
from tests.ranking.board import CALENDAR, ITEMS, Happened, checkerboard, known_row, start, user_rows

EVERY = pytest.mark.parametrize("form", FORMS)


def past_of(world: dict[str, Happened], weeks: range) -> Past:
    rows = [known_row(user, world[user], week) for week in weeks for user in world if world[user].get(week)]
    bought = [row["bought"] for row in rows]
    labels = Ragged(np.array([item for items in bought for item in items]), np.cumsum([0, *map(len, bought)]))
    return Past(user_rows(*rows), np.array([row["week"] for row in rows]), labels, CALENDAR)


def cadenced() -> dict[str, Happened]:
    """Let everybody have item 0 every second week and item 1 every fourth, 2 always, and 3 and 4 once."""
    world: dict[str, Happened] = {}
    for user in range(32):
        mine: Happened = {week: [2] for week in range(1, 21)}
        for week in mine:
            mine[week] += ([0] if (week + user) % 2 == 0 else []) + ([1] if (week + user) % 4 == 0 else [])
        mine[1 + user % 3] += [3, 4]
        world[f"u{user:02}"] = mine
    return world


def served(arrays: dict[str, np.ndarray], ranker: Ranker, *rows: dict[str, object]) -> np.ndarray:
    known = replace(ranker.neighbours, learnt={basket.NAME: arrays})
    return basket.scores(History.of(user_rows(*rows), known, calendar=CALENDAR))


@pytest.fixture(scope="module")
def learnt() -> dict[str, dict[str, np.ndarray]]:
    """Give the arrays of each form, learnt of the cadenced world; epochs are few users' rows there."""
    past = past_of(cadenced(), range(14, 20))
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for form, batches in ((SET, 200), (KERNEL, 800)):
            patch.setattr(basket_fit, "LEAST_BATCHES", batches)
            patch.setattr(basket_fit, "FORMS", (form,))
            found[form] = basket_fit.learn(past, ITEMS)
    return found


@EVERY
def test_what_is_served_is_the_trained_network(form: str) -> None:
    torch.manual_seed(4)
    net = basket_fit.NETS[form](ITEMS).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    arrays = basket_fit.arrays_of(net)
    assert basket.form(arrays) == form
    rows = user_rows(*(known_row(user, happened, 18) for user, happened in list(checkerboard().items())[:5]))
    known = item_signals.read(item_signals.of_rows(rows, CALENDAR, basket_fit.HORIZON))
    items = rows.lists["history_items"]
    sets = basket_fit.Sets(items.values.astype(np.int64), known.signal, known.numbers,
                           np.zeros(len(items.values), np.float32), items.offsets)  # fmt: skip
    batch = sets.batch(np.arange(5))
    with torch.inference_mode():
        trained = net(batch.item, batch.signal, batch.number, batch.there).numpy()
    for b in range(5):
        mine = items.row(b)
        np.testing.assert_allclose(basket.logits(arrays, mine, known, b), trained[b, : len(mine)], atol=1e-5)
    assert basket.HORIZON == basket_fit.HORIZON
    assert basket.TAPS == basket_fit.TAPS


@EVERY
def test_what_is_due_is_likelier_than_what_was_had_last_week(
    form: str, learnt: dict[str, dict[str, np.ndarray]], ranker: Ranker
) -> None:
    """Item 0 comes every second week: of users for whom it is due it is likely, for the others it is not."""
    world = cadenced()
    scores = served(learnt[form], ranker, *(known_row(user, world[user], 20) for user in world))
    due = (20 + np.arange(32)) % 2 == 0
    assert scores[due, 0].min() > scores[~due, 0].max() + 0.2
    assert (scores[:, 2] > 0.8).all()
    assert (scores[:, 3] < 0.2).all()
    everybody = known_row("u00", world["u00"], 20)
    decayed = dict(zip(everybody["history_items"], everybody["history_slow"], strict=True))
    assert decayed[0] > decayed[3], "frequency cannot tell the due from the others"


def test_the_form_that_orders_the_hold_out_better_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {SET: [(0.2, -1.0), (0.4, -1.0)], KERNEL: [(0.3, -0.5)]}
    made = {form: (basket_fit.NETS[form](ITEMS).eval(), told[form]) for form in FORMS}
    monkeypatch.setattr(basket_fit, "fit_form", lambda form, *_, **__: made[form])
    past = past_of(cadenced(), range(17, 20))
    found = basket_fit.learn(past, ITEMS)
    assert basket.form(found) == SET
    assert {name: float(found[f"form/{name}"][0]) for name in FORMS} == pytest.approx({SET: 0.4, KERNEL: 0.3})
    told[KERNEL].append((0.4, -0.5))
    assert basket.form(basket_fit.learn(past, ITEMS)) == KERNEL


def test_the_last_step_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int] = {}

    def noted(form: str, early: basket_fit.Sets, check: basket_fit.Sets, *_: object, **__: object) -> object:
        seen["early"], seen["check"] = len(early), len(check)
        return basket_fit.NETS[form](ITEMS).eval(), [(0.1, 0.0)]

    monkeypatch.setattr(basket_fit, "fit_form", noted)
    basket_fit.learn(past_of(cadenced(), range(16, 20)), ITEMS)
    assert seen == {"early": 3 * 32, "check": 32}
    monkeypatch.setattr(basket_fit, "MOST_SETS", 40)
    basket_fit.learn(past_of(cadenced(), range(16, 20)), ITEMS)
    assert seen == {"early": 3 * 10, "check": 10}, "of many rows some are learnt from"


def test_an_item_that_is_new_to_a_user_scores_as_often_as_users_take_it_up(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basket_fit, "fit_form", lambda form, *_, **__: (basket_fit.NETS[form](ITEMS), [(0.1, 0.0)]))
    world = {f"u{user:02}": {1: [0], 2: [0], 3: [0] + [7] * (user < 3)} for user in range(12)}
    arrays = basket_fit.learn(past_of(world, range(2, 4)), ITEMS)
    scores = served(arrays, ranker, known_row("u20", {1: [0], 2: [9]}, 3))
    assert scores[0, 7] == pytest.approx(3 / 24)
    assert scores[0, 8] == 0


def test_with_one_step_of_labels_or_none_decayed_counts_answer(ranker: Ranker) -> None:
    world = checkerboard()
    one = past_of(world, range(18, 19))
    nothing = replace(
        one, rows=one.rows.take(np.empty(0, np.int64)), step=one.step[:0], bought=one.bought.take(np.empty(0, np.int64))
    )
    for past in (one, nothing):
        arrays = basket_fit.learn(past, ITEMS)
        assert set(arrays) == {"new"}
        row = known_row("u00", world["u00"], 19)
        scores = served(arrays, ranker, row)[0]
        decayed = np.array(
            [dict(zip(row["history_items"], row["history_slow"], strict=True)).get(i, 0) for i in range(ITEMS)]
        )
        had = decayed > 0
        np.testing.assert_array_equal(np.argsort(scores[had]), np.argsort(decayed[had]))


@EVERY
def test_a_row_scores_the_same_alone_and_asked_later_as_told_later(
    form: str, learnt: dict[str, dict[str, np.ndarray]], ranker: Ranker
) -> None:
    """What is known at week 16, asked at week 21, is what a user has at 21 who had nothing since."""
    world = cadenced()
    until = {user: {week: items for week, items in mine.items() if week < 16} for user, mine in world.items()}
    stored = [known_row(user, until[user], 16) | {"now": start(21)} for user in list(world)[:6]]
    told = [known_row(user, until[user], 21) for user in list(world)[:6]]
    stale, fresh = (served(learnt[form], ranker, *rows) for rows in (stored, told))
    np.testing.assert_allclose(stale, fresh, atol=2e-3)  # sums as float32 say steps beyond four a little otherwise
    for b, row in enumerate(stored):
        np.testing.assert_allclose(served(learnt[form], ranker, row)[0], stale[b], atol=1e-5)


def test_a_history_without_a_calendar_is_refused(learnt: dict[str, dict[str, np.ndarray]], ranker: Ranker) -> None:
    rows = user_rows(known_row("u00", cadenced()["u00"], 20))
    known = replace(ranker.neighbours, learnt={basket.NAME: learnt[SET]})
    with pytest.raises(TypeError, match="basket: a history without its rows and a calendar"):
        basket.scores(History.of(rows, known))
