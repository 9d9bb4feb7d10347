"""User x item features from a user row, the item arrays, the clock and the intents: the one code that training,
evaluation and serving share.

`facts` says what is so, in natural units (an answer's reasons quote it); `matrix` turns facts into the numbers
that the model sees. Ages are whole weeks up to the upcoming week, decayed sums are rebased to it. Pure numpy.

Letters: B rows, I items, C targets, L levels of an item, N history entries, M candidates over all rows, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.ranking import derived, places, sources
from components.ranking.candidates import CandidateSet
from components.ranking.catalogue import Catalogue
from components.ranking.derived import NEVER as NEVER
from components.ranking.derived import SINCE_OF, SLOW_OF
from components.ranking.feature_names import FEATURES
from components.ranking.graph import Ties
from components.ranking.history import History
from components.ranking.levels import ITEM, RECORD, TARGET, USER, Facts, Level
from components.ranking.sources import OF_LEARNT, graph
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.records import RECORDS
from feature_repo.rows import DAY_S, UserRows
from feature_repo.signs import NONE, Signs


@dataclass(frozen=True)
class User:
    """What of each row every candidate shares, in natural units; each array [B] float64."""

    numbers: Mapping[str, np.ndarray]
    week: np.ndarray  # [B] int64: the upcoming week
    rebase: np.ndarray  # [B] int64: weeks from the state's upcoming week to now's


def user(rows: UserRows, probabilities: np.ndarray, catalogue: Catalogue, calendar: Calendar) -> User:
    """Compute the rows' own facts; zeros for a user without a row."""
    numbers, B = rows.numbers, len(rows)
    times = np.asarray([rows.now, rows.state_at, *(numbers[name] for name in columns.PROFILE_TIMES)], dtype=np.int64)
    times[1:] = np.where(rows.known, times[1:], rows.now)
    times[:2] -= 1  # up to the upcoming week
    weeks = calendar.weeks(times.reshape(-1))  # one look at the calendar for all of them
    week, first, last = weeks[:B] + 1, weeks[2 * B : 3 * B], weeks[3 * B :]
    rebase = week - (weeks[B : 2 * B] + 1)
    sessions = np.maximum(numbers["sessions_total"], 1.0)
    undiscounted = numbers["value_total"] + numbers["discount_total"]
    facts = {
        "user_weeks": numbers["weeks_total"],
        "user_slow": numbers["sessions_slow"] * calendar.pace.slow**rebase,
        "tenure": np.where(rows.known, week - first, 0).astype(np.float64),
        "idle": np.where(rows.known, np.maximum(week - last, 1), NEVER).astype(np.float64),
        "basket": numbers["events_total"] / sessions,
        "variety": numbers["items_total"] / np.maximum(numbers["events_total"], 1.0),
        "discount_share": numbers["discount_total"] / np.maximum(undiscounted, 0.01),
        "discounted_share": numbers["discounted_total"] / np.maximum(numbers["events_total"], 1.0),
        "mean_price": numbers["value_total"] / np.maximum(numbers["quantity_total"], 1.0),
        "visit": probabilities[:, catalogue.visits].max(axis=1, initial=0.0).astype(np.float64),
    }
    return User(facts, week, rebase)


def facts(
    rows: UserRows,
    found: CandidateSet,
    *,
    history: History,
    probabilities: np.ndarray,
    catalogue: Catalogue,
    calendar: Calendar,
    signs: Signs = NONE,
    starts: Sequence[str] = (),
) -> Facts:
    """Say what is so of each candidate and its user, in natural units; each array [M] float64."""
    shared = user(rows, probabilities, catalogue, calendar)
    row, keys = found.row, _keys(found.row, found.item, history.n_items, history.n_rows)
    aged = history.slow * (calendar.pace.slow**shared.rebase).take(history.row)  # [N] of now
    weeks = _weeks(rows, calendar)
    kinds = _group(history, aged, catalogue.kind_place, catalogue.kinds)
    intents = _intents(probabilities, catalogue)
    levels = {
        USER: Level(shared.numbers, row),
        ITEM: Level(catalogue.known, found.item, kept=catalogue.derived),
        RECORD: _records(
            rows,
            history.position.take(keys),
            history=history,
            shared=shared,
            weeks=weeks,
            aged=aged,
            kinds=kinds,
            intents=intents,
            catalogue=catalogue,
            calendar=calendar,
        ),
    }
    own: dict[str, np.ndarray] = {}
    of_targets = _targets(rows, shared=shared, weeks=weeks, catalogue=catalogue, calendar=calendar) | {
        "intent": intents
    }
    if catalogue.targets.shape[1] == 1:  # every item has one category, or none
        place = _keys(row, catalogue.targets[:, 0].take(found.item), catalogue.n_targets + 1, len(rows))
        tenure = shared.numbers["tenure"] if len(rows) == 1 else np.repeat(shared.numbers["tenure"], intents.shape[1])
        flat = {name: dense.reshape(-1) for name, dense in of_targets.items()}
        levels[TARGET] = Level(flat, place, beside={"tenure": tenure})
    else:
        wanted = catalogue.targets[found.item]  # [M, L]
        own |= {name: _of_targets(dense, row, wanted) for name, dense in of_targets.items()}
        since = -_widest(-of_targets["target_since"][:, :-1], row, wanted)  # the most recent
        own["target_since"] = np.where(wanted[:, 0] == catalogue.n_targets, NEVER, since)
    own["kind_slow"] = kinds.take(_keys(row, catalogue.kind_place.take(found.item), catalogue.kinds + 1, len(rows)))
    own["brand_share"] = _brand_share(found, row, history=history, aged=aged, catalogue=catalogue)
    own |= _by_kind(rows, found, row, signs=signs, shared=shared, catalogue=catalogue, calendar=calendar)
    own["near"] = history.near.take(keys)
    tastes = history.tastes if len(rows) == 1 else history.tastes[row]
    own["affinity"] = history.neighbours.affinity(tastes, found.item)
    if history.content is not None:
        own["content"] = history.content.of_candidates(row, found.item)
        known = history.content.known[row] & history.content.vectors.known[found.item]
        own["content_known"] = known.astype(np.float64)
    if catalogue.entities is not None:
        own["knowledge"] = graph.known(history, catalogue)[row, found.item]
    for name in history.neighbours.learnt:
        own[OF_LEARNT[name]] = sources.learnt(name).scores(history)[row, found.item]
    if history.ties is not None:
        own |= _ties(rows, found, row, ties=history.ties, shared=shared, calendar=calendar)
    return Facts(levels, own | places.places(starts, rows, found, history=history, catalogue=catalogue))


def matrix(facts: Mapping[str, np.ndarray], names: Sequence[str] = FEATURES) -> np.ndarray:
    """Turn facts into what the model sees, float32 [M, F] in names' order (derived.py)."""
    return derived.matrix(facts, names)


def _ties(
    rows: UserRows, found: CandidateSet, row: np.ndarray, *, ties: Ties, shared: User, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Say what each candidate did to the user, and whom they both know."""
    at = ties.received_last_at[row, found.item]
    wrote = at > 0
    since = np.where(wrote, np.maximum(shared.week[row] - calendar.weeks(np.where(wrote, at, rows.now[row])), 1), NEVER)
    answered = np.zeros(len(rows) * ties.common.shape[1])
    had = rows.lists["history_items"]
    answered[had.row_of_value() * ties.common.shape[1] + had.values] = rows.lists["history_last_at"].values
    last = answered.reshape(ties.common.shape)[row, found.item]
    now = rows.now[row].astype(np.float64)
    return {
        "wrote_at": at,
        "wrote_days": np.where(wrote, np.clip((now - at) / DAY_S, 0.0, 7 * NEVER), 7 * NEVER),
        "acted_days": np.where(last > 0, np.clip((now - last) / DAY_S, 0.0, 7 * NEVER), 7 * NEVER),
        "wrote_weeks": ties.received[row, found.item],
        "wrote_slow": ties.received_slow[row, found.item] * calendar.pace.slow ** shared.rebase[row],
        "wrote_since": since.astype(np.float64),
        "unanswered": (wrote & (at > last)).astype(np.float64),
        "common_acquaintances": ties.common[row, found.item],
        "adamic_adar": ties.adamic_adar[row, found.item],
        "friends_of_friends": ties.followed[row, found.item],
    }


def _keys(row: np.ndarray, place: np.ndarray, width: int, rows: int) -> np.ndarray:
    """Return where places [M] of rows lie in a table [rows, width] laid out flat; of one row they are the same."""
    return place if rows == 1 else row * width + place


@dataclass(frozen=True)
class _Weeks:
    """When the rows' lists say that something happened, in weeks."""

    last: np.ndarray  # [N] of an item
    first: np.ndarray  # [N] of an item
    target: np.ndarray  # of a target, the last time


def _weeks(rows: UserRows, calendar: Calendar) -> _Weeks:
    """Look all instants of the lists up in the calendar at once: its fixed cost is what a single row would feel."""
    lists = [rows.lists[name].values for name in ("history_last_at", "history_first_at", "target_last_at")]
    weeks, N = calendar.weeks(np.concatenate(lists)), len(lists[0])
    return _Weeks(weeks[:N], weeks[N : 2 * N], weeks[2 * N :])


_OWN = ("weeks_bought", "slow", "fast", "acted_at", "weeks_since", "first_since", "of_kind", "of_target")


def _records(
    rows: UserRows,
    place: np.ndarray,
    *,
    history: History,
    shared: User,
    weeks: _Weeks,
    aged: np.ndarray,
    kinds: np.ndarray,
    intents: np.ndarray,
    catalogue: Catalogue,
    calendar: Calendar,
) -> Level:
    """Lay out the users' own records, and that of an item that a user never had: last, NEVER weeks ago.

    `place` [M] is each candidate's record, -1 where there is none. A record's shares are of what the user had of its
    category path, and of its category.
    """
    lists, row, item, N = rows.lists, history.row, history.item, len(history.item)
    week = shared.week.take(row)
    own = np.zeros((len(_OWN), N + 1))
    own[4:6, N] = NEVER
    own[0, :N] = lists["history_weeks"].values
    own[1, :N] = aged
    np.multiply(lists["history_fast"].values, (calendar.pace.fast**shared.rebase).take(row), out=own[2, :N])
    own[3, :N] = lists["history_last_at"].values
    np.maximum(week - weeks.last, 1, out=own[4, :N])
    np.maximum(week - weeks.first, 1, out=own[5, :N])
    kind = kinds.take(_keys(row, catalogue.kind_place.take(item), catalogue.kinds + 1, len(rows)))
    np.divide(aged, np.maximum(kind, 1e-9), out=own[6, :N])
    first = catalogue.targets[:, 0]
    of_target = _group(history, aged, first, catalogue.n_targets + 1)  # what has no target is a group, too
    target = of_target.take(_keys(row, first.take(item), catalogue.n_targets + 2, len(rows)))
    np.divide(aged, np.maximum(target, 1e-9), out=own[7, :N])
    intent = np.zeros(N + 1)
    intent[:N] = _of_targets(intents, row, catalogue.targets.take(item, axis=0))
    beside = {name: shared.numbers[name] for name in ("user_weeks", "user_slow")}
    if len(rows) > 1:
        beside = {name: np.append(values[row], 0.0) for name, values in beside.items()}
    return Level(dict(zip(_OWN, own, strict=True)), place, beside | {"intent": intent})


def _targets(
    rows: UserRows, *, shared: User, weeks: _Weeks, catalogue: Catalogue, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Spread the user's record of each target (category), float64 [B, C + 1]; the last is that of no target."""
    lists, width = rows.lists, catalogue.n_targets + 1
    owner, target = lists["target_ids"].row_of_value(), lists["target_ids"].values
    dense = np.zeros((3, len(rows), width))
    dense[2] = NEVER
    flat, keys = dense.reshape(3, -1), _keys(owner, target, width, len(rows))
    flat[0, keys] = lists["target_weeks"].values
    flat[1, keys] = lists["target_slow"].values * (calendar.pace.slow**shared.rebase).take(owner)
    flat[2, keys] = np.maximum(shared.week.take(owner) - weeks.target, 1)
    return dict(zip(("target_weeks", "target_slow", "target_since"), dense, strict=True))


def _intents(probabilities: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """Lay the probability of no target, 0, behind those of targets [B, C], float64 [B, C + 1]."""
    padded = np.zeros((len(probabilities), catalogue.n_targets + 1))
    padded[:, :-1] = probabilities
    return padded


def _brand_share(
    found: CandidateSet, row: np.ndarray, *, history: History, aged: np.ndarray, catalogue: Catalogue
) -> np.ndarray:
    """Return how much of the user's decayed weight is of each candidate's brand."""
    total = np.maximum(np.bincount(history.row, aged, minlength=history.n_rows), 1e-9)
    brands = _group(history, aged, catalogue.brand_place, catalogue.brands)
    keys = _keys(row, catalogue.brand_place.take(found.item), catalogue.brands + 1, history.n_rows)
    return np.asarray(brands.take(keys) / (total if history.n_rows == 1 else total[row]))


def _by_kind(
    rows: UserRows,
    found: CandidateSet,
    row: np.ndarray,
    *,
    signs: Signs,
    shared: User,
    catalogue: Catalogue,
    calendar: Calendar,
) -> dict[str, np.ndarray]:
    """Look up the user's records by kind, and what of the item, its category and its brand was not wanted."""
    if not signs:
        return {}
    kinds, items, slow, last = (rows.lists[name].values for name in RECORDS)
    owner, n_items = rows.lists[RECORDS[0]].row_of_value(), len(catalogue)
    slow = slow * calendar.pace.slow ** shared.rebase[owner]
    since = np.maximum(shared.week[owner] - calendar.weeks(last), 1).astype(np.float64)
    wanted = row * n_items + found.item

    def spread(which: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum the weight of some records of each candidate, and find the weeks since the last of them."""
        keys = owner[which] * n_items + items[which]
        sums = np.bincount(keys, weight, minlength=len(rows) * n_items)
        ages = np.full(len(rows) * n_items, NEVER)
        np.minimum.at(ages, keys, since[which])
        return sums[wanted], ages[wanted]

    result = {}
    for kind in signs.wanted:
        which = np.flatnonzero((kinds == signs.numbers[kind]) & (slow > 0))
        result[f"{SLOW_OF}{kind}"], result[f"{SINCE_OF}{kind}"] = spread(which, slow[which])
    if signs.shown:
        which = np.flatnonzero(kinds == signs.numbers[signs.shown])
        result["shown"], result["shown_since"] = spread(which, slow[which])
        result[columns.SHOWN_SLOW] = catalogue.state.get(columns.SHOWN_SLOW, np.zeros(n_items))[found.item]
    share = np.zeros(len(signs.weights))
    share[[signs.numbers[kind] for kind in signs.unwanted]] = list(signs.unwanted.values())
    which = np.flatnonzero((share[kinds] > 0) & (slow > 0))
    weight = share[kinds[which]] * slow[which]
    result["unwanted"], result["unwanted_since"] = spread(which, weight)
    target = catalogue.targets[:, 0]
    codes = {"unwanted_target": np.where(target < catalogue.n_targets, target, -1), "unwanted_brand": catalogue.brand}
    for name, code in codes.items():
        size = int(code.max(initial=-1)) + 2  # the last is for -1, unknown
        sums = np.bincount(owner[which] * size + code[items[which]] % size, weight, minlength=len(rows) * size)
        mine = code[found.item]
        result[name] = np.where(mine >= 0, sums[row * size + mine % size], 0.0)
    return result


def _group(history: History, weight: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Sum history weights by row and group, `place` [I], [B, size + 1]; what is of no group has the last one, 0."""
    size += 1
    keys = _keys(history.row, place.take(history.item), size, history.n_rows)
    sums = np.bincount(keys, weight, minlength=history.n_rows * size).reshape(history.n_rows, size)
    sums[:, -1] = 0.0
    return sums


def _of_targets(dense: np.ndarray, row: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the largest of the values [B, C + 1] of each candidate's targets [M, L], the last where it has none, 0."""
    if wanted.shape[1] == 1:
        return np.asarray(dense.take(_keys(row, wanted[:, 0], dense.shape[1], len(dense))))
    return _widest(dense[:, :-1], row, wanted)


def _widest(dense: np.ndarray, row: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the largest of a candidate's targets' values, 0 where it has none; dense [B, C], wanted [M, L] -> [M]."""
    padded = np.concatenate([dense, np.full((len(dense), 1), dense.min(initial=0.0))], axis=1)  # C: no target
    best: np.ndarray = padded[row[:, None], wanted].max(axis=1)
    return np.where(wanted[:, 0] == dense.shape[1], 0.0, best)
