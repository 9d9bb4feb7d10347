"""How likely a user has each item of their history again, by the cadence of it; of others, how often they are taken up.

basket_fit.py learns two forms with torch and keeps the one that orders a hold-out better; this file computes the same
in numpy. What is scored is a chance: that the user has the item in the step to come, given that they have anything.
Where too few steps had labels to learn from, items of the history score by their decayed counts.

Letters: I items, E items of a set (a history), H steps of a signal, C channels, P pools or points, D width.
"""

from dataclasses import replace

import numpy as np

from components.ranking import item_signals, metrics
from components.ranking.history import History
from components.ranking.item_signals import Read
from components.ranking.neighbours import Arrays
from components.ranking.past import Past
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import DIGITS, best_of, claims_none
from feature_repo import columns
from feature_repo.rows import UserRows

NAME = "basket"
REASONS = ("near_history", "intent", "category_weeks")
HORIZON = 52  # as basket_fit.py has it
TAPS = (3, 5, 9)  # likewise
EPSILON = 1e-5  # torch's, of a norm
UNLEARNT = 10.0  # decayed steps that make a chance of a half where nothing was learnt
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Learn nothing: of rows alone, without what came after them, there is nothing to learn."""
    return {"new": np.zeros(n_items, dtype=np.float32)}


def fit_past(past: Past, n_items: int) -> Arrays:
    """Learn how likely items come again, by the form that does better on the last step."""
    from components.ranking import basket_fit

    return basket_fit.learn(past, n_items)


def form(arrays: Arrays) -> str:
    """Name the form that arrays are of: set, kernels, or "" where nothing was learnt."""
    return "kernels" if "kernels" in arrays else "set" if "points" in arrays else ""


def scores(history: History) -> np.ndarray:
    """Say how likely each item of each row is in the step to come, float64 [B, I]; 0 of a user without a history."""
    arrays = history.neighbours.learnt.get(NAME)
    if NAME not in history.scored:
        found = np.zeros((history.n_rows, history.n_items))
        if arrays is not None:
            size = len(arrays["new"])
            for b, (item, chance) in enumerate(_again(history, arrays, size)):
                if len(item):
                    found[b, :size] = arrays["new"]
                    found[b, item] = chance
        history.scored[NAME] = np.round(found, DIGITS)
    return history.scored[NAME]


def _again(history: History, arrays: Arrays, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each row the items that the fit knew, and the chance of each."""
    if history.rows is None or history.calendar is None:
        raise TypeError("basket: a history without its rows and a calendar has no signals")
    rows = history.rows
    keep = rows.lists["history_items"].values < size
    names = [name for name in columns.HISTORY_LISTS if name in rows.lists]
    rows = replace(rows, lists={**rows.lists} | {name: metrics.only(rows.lists[name], keep) for name in names})
    items = rows.lists["history_items"]
    if not form(arrays):
        slow = np.maximum(rows.lists["history_slow"].values.astype(np.float64), 0.0)
        slow = slow * history.aged[items.row_of_value()]
        return [(items.row(b), chance) for b, chance in enumerate(_split(slow / (slow + UNLEARNT), items.offsets))]
    known = item_signals.read(item_signals.of_rows(rows, history.calendar, HORIZON))
    return [(items.row(b), _logistic(logits(arrays, items.row(b), known, b))) for b in range(len(rows))]


def _split(values: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    return np.split(values, offsets[1:-1]) if len(offsets) > 1 else []


def logits(arrays: Arrays, item: np.ndarray, known: Read, b: int) -> np.ndarray:
    """Return the logits of the items of row b, float64 [E], as the form's net in basket_fit.py does."""
    if not len(item):
        return np.empty(0)
    mine = slice(known.offsets[b], known.offsets[b + 1])
    of = _of_kernels if form(arrays) == "kernels" else _of_set
    return np.asarray(of(arrays, item, known.signal[mine], known.user[b], known.numbers[mine]), dtype=np.float64)


def _of_kernels(
    arrays: Arrays, item: np.ndarray, signal: np.ndarray, user: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    mine = np.log1p(signal @ arrays["kernels"])  # [E, K]
    users = np.broadcast_to(np.log1p(user @ arrays["kernels"]), mine.shape)
    shared = _linear(arrays, "weights", np.concatenate([mine, users, numbers], axis=1))[:, 0]
    own = (mine * arrays["items.weight"][item]).sum(axis=1)
    return np.asarray(shared + own + arrays["chance.weight"][item, 0])


def _of_set(arrays: Arrays, item: np.ndarray, signal: np.ndarray, user: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    parts = []
    for place in range(len(TAPS)):
        seen = _convolved(signal, arrays[f"own.{place}.weight"]) + _convolved(
            user[None], arrays[f"user.{place}.weight"]
        )  # [E, H, C]
        raised = np.maximum(seen + arrays[f"own.{place}.bias"], 0)
        pooled = raised.transpose(0, 2, 1) @ arrays["pools"]  # [E, C, P]
        parts.append(pooled.reshape(len(item), -1))
    mixed = _linear(arrays, "mixed", np.concatenate([*parts, numbers], axis=1))
    x = np.maximum(mixed + _linear(arrays, "direct", signal) + arrays["items.weight"][item], 0)  # [E, D]
    points = _looked(arrays, "gather", arrays["points"], x)  # [P, D]
    among = _looked(arrays, "give", x, points)
    return np.asarray(
        _linear(arrays, "out", np.concatenate([x, among], axis=1))[:, 0] + arrays["chance.weight"][item, 0]
    )


def _convolved(signal: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Slide a filter's taps over signals that are 0 beyond their ends, [E, H] and [C, 1, T] to [E, H, C]."""
    taps = weight.shape[2]
    padded = np.pad(signal, ((0, 0), (taps // 2, taps // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)  # [E, H, T]
    return np.asarray(windows @ weight[:, 0].T)


def _looked(arrays: Arrays, name: str, q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Let each of q [Q, D] look at x [E, D]."""
    query, key, value = (_linear(arrays, f"{name}.{part}", of) for part, of in (("query", q), ("key", x), ("value", x)))
    fit = query @ key.T / np.float32(x.shape[1] ** 0.5)  # [Q, E]
    raised = np.exp(fit - fit.max(axis=1, keepdims=True))
    h = _normed(arrays, f"{name}.norm", q + (raised / raised.sum(axis=1, keepdims=True)) @ value)
    return _normed(arrays, f"{name}.norm_after", h + np.maximum(_linear(arrays, f"{name}.after", h), 0))


def _linear(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"])


def _normed(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    mean, spread = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(spread + EPSILON) * arrays[f"{name}.weight"] + arrays[f"{name}.bias"])


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that most users took up and this one never had."""
    return best_of(context, scores(context.history), limit)
