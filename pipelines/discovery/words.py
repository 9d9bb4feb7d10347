"""The words and column values that tell a group from the others, none that fewer than some users stand behind.

Words are weighed by class-based TF-IDF (Grootendorst, BERTopic, 2022): how often a group's behaviours hold a word,
times log(1 + A / f), A being the mean number of words a group and f how often the word occurs in all.

Letters: N behaviours, I items, V words, K groups.
"""

import re
from collections.abc import Sequence

import numpy as np
from scipy import sparse

WORD = re.compile(r"[^\W\d_]{3,}")  # letters alone: no number, address or id is a word
SHOWN = 6


def words_of(texts: Sequence[str]) -> tuple[list[str], sparse.csr_matrix]:
    """Return the words of items' texts and which item has which, [I, V] 0 and 1.

    >>> names, has = words_of(["Red wine 0.7l", "wine of 4711 a@b.de"])
    >>> names, has.toarray().tolist()
    (['red', 'wine'], [[1.0, 1.0], [0.0, 1.0]])
    """
    each = [sorted(set(WORD.findall(_masked(text.lower())))) for text in texts]
    place = {word: number for number, word in enumerate(sorted({word for words in each for word in words}))}
    row = np.repeat(np.arange(len(each)), [len(words) for words in each])
    column = np.array([place[word] for words in each for word in words], dtype=np.int64)
    shape = (len(each), len(place))
    return list(place), sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)


def _masked(text: str) -> str:
    """Leave out what holds an @, a digit or a slash: addresses, numbers, links."""
    return " ".join(part for part in text.split() if not re.search(r"[@\d/\\]", part))


def told(
    label: np.ndarray, user: np.ndarray, has: sparse.csr_matrix, *, groups: int, least: int, shown: int = SHOWN
) -> list[list[int]]:
    """Return the places of each group's words, the most telling first; `has` [N, V] counts words of behaviours.

    A word counts only where `least` users of the group hold it.
    """
    often = np.stack([np.asarray(has[label == one].sum(axis=0)).ravel() for one in range(groups)])  # [K, V]
    whole = np.maximum(often.sum(axis=0), 1)
    weight = often * np.log1p(often.sum() / max(groups, 1) / whole)
    found = []
    for one in range(groups):
        weight[one, users_of(label == one, user, has) < least] = 0
        order = np.lexsort((np.arange(len(whole)), -weight[one]))[:shown]
        found.append([int(word) for word in order if weight[one, word] > 0])
    return found


def users_of(mine: np.ndarray, user: np.ndarray, has: sparse.csr_matrix) -> np.ndarray:
    """Count the users of some behaviours, `mine` [N] bool, that hold each word, int64 [V]."""
    _, row = np.unique(user[mine], return_inverse=True)
    people = int(row.max()) + 1 if len(row) else 0
    of = sparse.csr_matrix((np.ones(len(row), np.float32), (row, np.arange(len(row)))), shape=(people, len(row)))
    return np.asarray(((of @ has[mine]) > 0).sum(axis=0)).ravel().astype(np.int64)
