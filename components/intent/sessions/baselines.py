"""What a session model must beat, fitted on the same training rows: the last kind of event, and Markov chains.

`last_event` is the label's rate given the kind of the last event and the place in the visit. `markov_1` and `markov_2`
know the last one or two kinds and how often which kind follows, or the end; the chance to meet a kind before the end
follows from the chain (absorption: Kemeny and Snell 1960).

Letters: N events, V visits, R rows, K kinds, C session intents.
"""

from collections.abc import Sequence

import numpy as np

from components.intent.sessions.spec import SessionIntent
from components.intent.sessions.visits import History, Rows

EDGES = (1, 2, 3, 4, 5, 6, 11, 21)  # a bucket of places begins at each
MOST_KINDS = 20
PRIOR = 20.0  # rows that the overall rate counts for
PRIOR_FOLLOWING = 5.0  # events that a shorter chain counts for
NAMES = ("last_event", "markov_1", "markov_2")


def bucket(position: np.ndarray) -> np.ndarray:
    """Return the bucket of places in a visit.

    >>> bucket(np.array([1, 5, 6, 30])).tolist()
    [0, 4, 5, 7]
    """
    return np.asarray(np.searchsorted(EDGES, position, side="right") - 1)


def predictions(events: History, learnt: Rows, asked: Rows, intents: Sequence[SessionIntent]) -> dict[str, np.ndarray]:
    """Return by name each baseline's probabilities of the rows that are asked about, [R, C]."""
    kind, told = _kinds(events, learnt)
    chain = _Chain(events, np.unique(learnt.visit), kind, len(told))
    found = {"last_event": _last_event(kind, learnt, asked, n_kinds=len(told))}
    for order in (1, 2):
        found[f"markov_{order}"] = np.stack(
            [chain.reaches(asked.event, _wanted(events, told, intent), intent, order=order) for intent in intents],
            axis=1,
        )
    return found


def _kinds(events: History, learnt: Rows) -> tuple[np.ndarray, list[int]]:
    """Number the commonest kinds from 1, others 0; return them by event and the kinds behind the numbers."""
    counts = np.bincount(events.kind[np.isin(events.visit, learnt.visit)], minlength=len(events.kinds))
    told = [int(kind) for kind in np.argsort(-counts, kind="stable")[:MOST_KINDS]]
    code = np.zeros(len(events.kinds), dtype=np.int64)
    code[told] = np.arange(1, len(told) + 1)
    return code[events.kind], [-1, *told]


def _wanted(events: History, told: list[int], intent: SessionIntent) -> int:
    """Return the number of an intent's kind; one that is not told apart counts with the others."""
    kind = -1 if intent.event is None else events.kinds.index(intent.event)
    return told.index(kind) if kind in told else 0


def _last_event(kind: np.ndarray, learnt: Rows, asked: Rows, *, n_kinds: int) -> np.ndarray:
    def cell(rows: Rows) -> np.ndarray:
        return np.asarray(bucket(rows.position) * n_kinds + kind[rows.event])

    cells, n = cell(learnt), len(EDGES) * n_kinds
    count = np.bincount(cells, minlength=n)
    found = []
    for c in range(learnt.labels.shape[1]):
        label = learnt.labels[:, c]
        hits = np.bincount(cells, label, minlength=n)
        found.append(((hits + PRIOR * label.mean()) / (count + PRIOR))[cell(asked)])
    return np.stack(found, axis=1)


class _Chain:
    """How often which kind, or the end (K), follows the last kind and the one before it (K: none before)."""

    def __init__(self, events: History, visits: np.ndarray, kind: np.ndarray, n_kinds: int) -> None:
        K = self.n = n_kinds
        order = np.lexsort((np.arange(len(events)), events.visit))
        visit, ordered = events.visit[order], kind[order]
        same = np.diff(visit) == 0
        before, after = np.full(len(order), K), np.full(len(order), K)
        before[1:][same] = ordered[:-1][same]
        after[:-1][same] = ordered[1:][same]
        learnt = np.isin(visit, visits)
        flat = (before * K + ordered) * (K + 1) + after
        counts = np.bincount(flat[learnt], minlength=(K + 1) * K * (K + 1)).reshape(K + 1, K, K + 1)
        self._before = np.empty(len(order), dtype=np.int64)
        self._before[order] = before
        self._kind = kind
        overall = counts.sum(axis=(0, 1)) + 1.0
        one = counts.sum(axis=0) + PRIOR_FOLLOWING * overall / overall.sum()
        self.first = one / one.sum(axis=1, keepdims=True)  # [K, K + 1]
        two = counts + PRIOR_FOLLOWING * self.first
        self.second = two / two.sum(axis=2, keepdims=True)  # [K + 1, K, K + 1]

    def reaches(self, event: np.ndarray, wanted: int, intent: SessionIntent, *, order: int) -> np.ndarray:
        """Return the chance, after each event [R], that what an intent asks for comes before the visit's end."""
        before, last = self._before[event], self._kind[event]
        if intent.ends or intent.event is None:
            end = self.first[:, -1][last] if order == 1 else self.second[:, :, -1][before, last]
            return np.asarray(end if intent.ends else 1 - end)
        K = self.n
        others = [kind for kind in range(K) if kind != wanted]
        if order == 1:
            matrix = np.eye(K)
            matrix[:, others] -= self.first[:, others]
            return np.asarray(np.linalg.solve(matrix, self.first[:, wanted])[last])
        # States (a, b); after kind c the state is (b, c).
        size = (K + 1) * K
        pairs = np.eye(size).reshape(K + 1, K, K + 1, K)
        for b in range(K):
            pairs[:, b, b, others] -= self.second[:, b][:, others]
        chance = np.linalg.solve(pairs.reshape(size, size), self.second[:, :, wanted].reshape(size))
        return np.asarray(chance.reshape(K + 1, K)[before, last])
