"""Items that share entities with the history by declared knowledge: its director, its series, its main ingredient.

A graph of items through what triples say of them (`data.knowledge`), weighed as Adamic and Adar do: an entity of few
items says more than one of many. What nobody had yet is reached as well; popular items come first among equals.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.sources.attributes import through
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import DIGITS, best_of, claims_none

NAME = "graph"
REASONS = ("knowledge", "intent", "category_weeks")
brings = claims_none


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that share most, weighed by what sells now."""
    if limit == 0 or context.catalogue.entities is None:
        return np.empty(0, dtype=np.int64)
    return best_of(context, known(context.history, context.catalogue) * np.sqrt(context.catalogue.popularity), limit)


def known(history: History, catalogue: Catalogue) -> np.ndarray:
    """Sum over an item's entities the share of each row's history that has the entity, by rarity, float64 [B, I]."""
    if NAME not in history.scored:
        found = np.zeros((history.n_rows, len(catalogue)))
        if catalogue.entities is not None:
            through(history, catalogue.entities, into=found)
        history.scored[NAME] = np.round(found, DIGITS)
    return history.scored[NAME]
