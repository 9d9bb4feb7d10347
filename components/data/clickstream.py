"""Make a shop's clickstream whose truth is known: visits of views, carts and purchases by people who come seldom.

After each event a visit ends, or goes on with a purchase, a cart or a view, by chances that depend on two things of the
visit so far: whether something was put into the cart, and whether an item was looked at again. Both may lie far back,
so the last events do not tell. The chance that the rest of a visit holds a purchase, a cart, or nothing follows from
these chances exactly: the truth, beside the tables.

Letters: V visits, N events.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.data.synthetic import price

VERSION = 1  # counts up when the same seed gives other rows
USER_COLUMNS: dict[str, str] = {}  # columns of its users that are theirs
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
VIEW, CART, PURCHASE = range(3)
KINDS = pa.array(["view", "cart", "purchase"])
DAY_S = 86_400
# By (in the cart, looked at again): chances of what comes next; the rest is a view.
LEAVE = np.array([[0.16, 0.10], [0.12, 0.07]])
CARTS = np.array([[0.05, 0.16], [0.03, 0.05]])
BUYS = np.array([[0.003, 0.01], [0.07, 0.24]])
AGAIN = 0.10  # of views, those of an item that the visit has seen
LEAVE_AFTER = 0.7  # once something was bought nothing more is, and a visit soon ends
BOUGHT = 4  # the state after a purchase; before it 2 * in the cart + looked at again
LIKED = 0.7  # of views, those in the user's own category


@dataclass(frozen=True)
class Visits:
    """Events of all visits, in their order."""

    visit: np.ndarray  # [N]
    kind: np.ndarray  # [N]
    item: np.ndarray  # [N] from 0
    state: np.ndarray  # [N] after the event, 0..BOUGHT


def chances() -> dict[str, np.ndarray]:
    """Return by state [5] the chance that the rest of a visit holds a purchase, a cart, or nothing."""
    leave = np.append(LEAVE.ravel(), LEAVE_AFTER)
    go = 1 - leave
    buy, cart = (np.append(x.ravel(), 0.0) for x in (BUYS, CARTS))
    again = AGAIN * (go - buy - cart)
    view = go - buy - cart - again
    step = np.zeros((5, 5))
    for state in range(4):
        carted, focused = divmod(state, 2)
        step[state, BOUGHT] += buy[state]
        step[state, 2 + focused] += cart[state]
        step[state, 2 * carted + 1] += again[state]
        step[state, state] += view[state]
    step[BOUGHT, BOUGHT] = go[BOUGHT]
    # To meet a purchase: once it happens nothing else is asked. To meet a cart: likewise.
    before_buy = step.copy()
    before_buy[:4, BOUGHT] = 0
    before_cart = step.copy()
    for state in range(4):
        before_cart[state, 2 + state % 2] -= cart[state]
    return {
        "purchase": np.linalg.solve(np.eye(5) - before_buy, buy),
        "cart": np.linalg.solve(np.eye(5) - before_cart, cart),
        "leave": leave,
    }


def write_events(
    folder: Path, *, users: int, items: int, categories: int, days: int, visits_per_user: float, seed: int
) -> int:
    """Write events/, items.parquet, users.parquet and truth.parquet; return the number of events."""
    rng = np.random.default_rng(seed)
    categories = min(categories, items)
    V_of = 1 + rng.poisson(max(visits_per_user - 1, 0), size=users)
    user = np.repeat(np.arange(1, users + 1), V_of)  # [V]
    liked = rng.integers(categories, size=users)
    begins = rng.integers(days, size=len(user)) * DAY_S + rng.integers(8 * 3600, 22 * 3600, size=len(user))
    made = _visits(len(user), liked[user - 1], rng, items=items, categories=categories)
    pause = np.where(np.diff(made.visit, prepend=-1) != 0, 0, 1 + rng.exponential(40, size=len(made.visit)).astype(int))
    running = np.cumsum(pause)
    first = np.searchsorted(made.visit, np.arange(len(user)))
    at = begins[made.visit] + running - running[first][made.visit]
    bought = made.kind == PURCHASE
    stamp = pa.array((int(START.timestamp()) + at) * 1000).cast(pa.timestamp("ms", tz="UTC"))
    events = {
        "user_id": user[made.visit],
        "item_id": made.item + 1,
        "event": pa.DictionaryArray.from_arrays(made.kind.astype(np.int8), KINDS),
        "timestamp": stamp,
        "session_id": made.visit + 1,
        "value": np.where(bought, price(made.item + 1), 0.0),
    }
    (folder / "events").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(events), folder / "events" / "part-00000.parquet")
    truth = {name: by_state[made.state] for name, by_state in chances().items()}
    keys = {name: events[name] for name in ("user_id", "session_id", "timestamp", "item_id", "event")}
    pq.write_table(pa.table(keys | truth), folder / "truth.parquet")
    people = {"user_id": np.arange(1, users + 1)}
    pq.write_table(pa.table(people), folder / "users.parquet")
    item = np.arange(1, items + 1)
    names = [f"category {c + 1:02}" for c in range(categories)]
    listed = {
        "item_id": item,
        "title": [f"Item {i}" for i in item],
        "category": [names[c] for c in (item - 1) % categories],
        "price": price(item),
    }
    pq.write_table(pa.table(listed), folder / "items.parquet")
    return len(made.visit)


def _visits(V: int, liked: np.ndarray, rng: np.random.Generator, *, items: int, categories: int) -> Visits:
    """Draw all visits side by side, event by event, until everyone has left."""
    active, state, views = np.arange(V), np.zeros(V, dtype=np.int64), np.zeros(V, dtype=np.int64)
    begin = rng.random(V) ** 2  # where in a category's list a visit begins to look
    last = _items(liked, begin, views, rng, items=items, categories=categories)
    parts = [(active, np.full(V, VIEW), last.copy(), state.copy())]
    leave = np.append(LEAVE.ravel(), LEAVE_AFTER)
    while True:
        active = active[rng.random(len(active)) >= leave[state[active]]]
        if not len(active):
            break
        now, draw = state[active], rng.random(len(active))
        buy, cart = (np.append(x.ravel() / (1 - LEAVE.ravel()), 0.0)[now] for x in (BUYS, CARTS))
        kind = np.where(draw < buy, PURCHASE, np.where(draw < buy + cart, CART, VIEW))
        again = (kind == VIEW) & (rng.random(len(active)) < AGAIN)
        views[active] += (kind == VIEW) & ~again
        seen = _items(liked[active], begin[active], views[active], rng, items=items, categories=categories)
        item = np.where((kind == VIEW) & ~again, seen, last[active])
        carted, focused = now // 2, now % 2
        after = 2 * np.where(kind == CART, 1, carted) + np.where(again, 1, focused)
        state[active] = np.where((now == BOUGHT) | (kind == PURCHASE), BOUGHT, after)
        last[active] = item
        parts.append((active, kind, item, state[active]))
    visit, kind, item, after = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(visit, kind="stable")
    return Visits(visit[order], kind[order], item[order], after[order])


def _items(
    liked: np.ndarray, begin: np.ndarray, views: np.ndarray, rng: np.random.Generator, *, items: int, categories: int
) -> np.ndarray:
    """Choose the next items, from 0: down the list of a category, mostly the liked one, so that none comes twice."""
    other = rng.integers(categories, size=len(liked))
    category = np.where(rng.random(len(liked)) < LIKED, liked, other)
    size = (items - 1 - category) // categories + 1
    return np.asarray(category + categories * (((size * begin).astype(np.int64) + views) % size))
