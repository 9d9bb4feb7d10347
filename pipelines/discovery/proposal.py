"""Say groups of behaviours and of users as a proposal: intents and segments that a spec may take over, and why.

Nothing is said of a group, a word or a value that fewer than `least` users stand behind, and users are only counted.

Letters: N behaviours, I items, V words or values, K groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from components.intent.spec import Intent
from feature_repo import columns
from pipelines.discovery import words
from pipelines.discovery.behaviours import Acts, Behaviours
from pipelines.discovery.clusters import Groups

CATEGORY = "category"
STABLE = 0.5  # from which on a group is there and not a chance of the draw
NAMED_BY = 2  # words in a name
VALUES_SHOWN = 3
LIFT = 1.2  # times as often as everywhere: a value below it does not tell a group from the rest
NAMING = 0.1  # agreement below which no column's values name the groups
MOST_VALUES = 1000  # of a column that can be a level
COVERED, MOST_TOP = 0.9, 100  # share of what was acted on that a level's values cover, and their number at most
Document = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What all groups are told by: words of items' texts, and values of items' columns, each [I, V]."""

    words: list[str]
    has_word: sparse.csr_matrix
    values: Mapping[str, tuple[list[str], sparse.csr_matrix]]  # by column

    @classmethod
    def of(cls, items: pa.Table, texts: Sequence[str], *, read: Sequence[str]) -> "Told":
        """Take items' texts, and their columns with few values, free text (`read`) aside unless it is a category."""
        names, has = words.words_of(texts)
        found = {}
        for column in items.column_names:
            if column in (columns.ITEM_ID, columns.TITLE) or (column in read and column != CATEGORY):
                continue
            if (incidence := _values(items[column])) is not None:
                found[column] = incidence
        return cls(names, has, found)


def _values(column: pa.ChunkedArray) -> tuple[list[str], sparse.csr_matrix] | None:
    """Return a text column's values and which item has which, [I, V]; None where it can be no level."""
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    each = [value if isinstance(value, list) else [value] for value in column.to_pylist()]
    pairs = [(row, value) for row, values in enumerate(each) for value in values or () if value]
    place = {value: number for number, value in enumerate(sorted({value for _, value in pairs}))}
    if not 2 <= len(place) <= MOST_VALUES:
        return None
    rows, cols = [row for row, _ in pairs], [place[value] for _, value in pairs]
    return list(place), sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=(len(each), len(place)))


def groups(found: Groups, of: Behaviours, told: Told, *, least: int) -> dict[int, Document]:
    """Describe the groups that enough users stand behind, the largest first, by their label."""
    users = np.array([len(np.unique(of.user[found.label == one])) for one in range(len(found))], dtype=np.int64)
    has = (of.items @ told.has_word).tocsr()  # [N, V] how many of its items
    by_word = words.told(found.label, of.user, has, groups=len(found), least=least)
    described: dict[int, Document] = {}
    enough = np.flatnonzero(users >= least)
    for one in sorted(enough.tolist(), key=lambda one: -int((found.label == one).sum())):
        mine = found.label == one
        said = [told.words[word] for word in by_word[one]]
        values = {name: _shares(mine, of, *column, least=least) for name, column in told.values.items()}
        name = "-".join(said[:NAMED_BY]) or "group"
        taken = {group["name"] for group in described.values()}
        described[one] = {
            "name": name if name not in taken else f"{name}-{len(described) + 1}",
            "words": said,
            "share": round(float(mine.mean()), 4),
            "users": int(users[one]),
            "stability": round(float(found.stability[one]), 3),
            "stable": bool(found.stability[one] >= STABLE),
            "values": {name: shares for name, shares in values.items() if shares},
        }
    return described


def _shares(
    mine: np.ndarray, of: Behaviours, values: list[str], has: sparse.csr_matrix, *, least: int
) -> dict[str, float]:
    """Return the most frequent values that tell a group from the rest, and the share of its behaviours with each."""
    everywhere = np.asarray(_capped(of.items @ has).mean(axis=0)).ravel()
    held = _capped(of.items[mine] @ has)
    share = np.asarray(held.mean(axis=0)).ravel()
    share[share < LIFT * everywhere] = 0
    share[words.users_of(np.ones(held.shape[0], bool), of.user[mine], held) < least] = 0
    order = np.lexsort((np.arange(len(share)), -share))[:VALUES_SHOWN]
    return {values[value]: round(float(share[value]), 3) for value in order if share[value] > 0}


def _capped(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    held = counts.tocsr().copy()
    held.data[:] = 1
    return held


def agreement(label: np.ndarray, of: Behaviours, has: sparse.csr_matrix) -> float:
    """Return how much a column's values say of the groups: mutual information over the mean of both entropies, 0..1."""
    kept = [one for one in range(int(label.max(initial=-1)) + 1) if (label == one).any()]
    joint = np.stack([np.asarray((of.items[label == one] @ has).sum(axis=0)).ravel() for one in kept] or [np.zeros(1)])
    if not joint.sum():
        return 0.0
    share = joint / joint.sum()  # [K, V]
    of_group, of_value = share.sum(axis=1), share.sum(axis=0)
    mean = (_entropy(of_group) + _entropy(of_value)) / 2
    return float((_entropy(of_group) + _entropy(of_value) - _entropy(share.ravel())) / mean) if mean > 0 else 0.0


def _entropy(share: np.ndarray) -> float:
    some = share[share > 0]
    return float(-(some * np.log(some)).sum())


def intents(
    label: np.ndarray, of: Behaviours, told: Told, acts: Acts, *, least: int, have: Sequence[Intent]
) -> tuple[list[Document], Document]:
    """Propose an intent of each kind of event, at the level that tells the groups best; and what that was chosen of."""
    measured = {name: round(agreement(label, of, has), 3) for name, (_, has) in told.values.items()}
    if not measured:
        return [], measured
    level = max(measured, key=lambda name: (measured[name], name == CATEGORY))
    if measured[level] < NAMING:
        return [], measured
    top = _top(of, told.values[level][1], least=least)
    known = {(intent.event, intent.column) for intent in have}
    proposed = []
    for kind in sorted(set(acts.kind.tolist())):
        if len(np.unique(acts.user[acts.kind == kind])) < least or (kind, level) in known or not top:
            continue
        said = {"event": kind, "level": level if level == CATEGORY else f"items.{level}", "top": top}
        proposed.append({"name": _name(f"{kind}_{level}")} | said)
    return proposed, measured


def _top(of: Behaviours, has: sparse.csr_matrix, *, least: int) -> int:
    """Return how many values cover most of what was acted on, of those that enough users stand behind."""
    held = _capped(of.items @ has)
    often = np.asarray(held.sum(axis=0)).ravel()
    enough = words.users_of(np.ones(len(of), bool), of.user, held) >= least
    ordered = np.sort(often[enough])[::-1]
    covered = np.cumsum(ordered) / max(often.sum(), 1)
    return min(int(np.searchsorted(covered, COVERED)) + 1, len(ordered), MOST_TOP)


def _name(text: str) -> str:
    """Return a name as a spec's intents have them.

    >>> _name("Add to cart_brand"), _name("42")
    ('add_to_cart_brand', 'i_42')
    """
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower())[:38]
    return plain if plain[:1].isalpha() else f"i_{plain}"


def themes(label: np.ndarray, of: Behaviours, names: Mapping[int, str], *, least: int) -> dict[int, str]:
    """Return the group that each item is most typical of, by the item's place; of items that enough users acted on."""
    if not names:
        return {}
    enough = words.users_of(np.ones(len(of), bool), of.user, of.items) >= least  # [I]
    share = np.stack([np.asarray(of.items[label == one].mean(axis=0)).ravel() for one in names])  # [K, I]
    best, called = share.argmax(axis=0), list(names.values())
    return {int(item): called[int(best[item])] for item in np.flatnonzero(enough & (share.max(axis=0) > 0))}
