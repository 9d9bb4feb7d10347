"""Values of an attribute where no model answers: by what a group of users had of their items.

Letters: I items.
"""

from collections.abc import Collection
from dataclasses import dataclass

from feature_repo.fallback import Fallback
from feature_repo.vocabulary import Vocabulary

POPULAR, SEGMENT = "popular", "segment"
SHOWN = 3  # items that stand for a value


@dataclass(frozen=True)
class StandbyValue:
    """One value of an answer that no model made."""

    value: str
    score: float
    source: str
    items: tuple[int, ...]
    reasons: dict[str, float]


def standby_values(
    fallback: Fallback,
    group: int,
    vocabulary: Vocabulary,
    attribute: str,
    *,
    k: int,
    exclude: Collection[int] = frozenset(),
) -> list[StandbyValue]:
    """Return at most k values by the share of a group's users who had their items, summed, ties by value.

    Values of which nothing was had lately are left out. What is on offer the ranker alone knows: nothing is listed.
    """
    if attribute not in vocabulary.items.column_names:
        return []
    column = vocabulary.items[attribute]
    listed = {**fallback.listed[fallback.everyone].by_item, **fallback.listed[group].by_item}
    scores: dict[str, float] = {}
    items: dict[str, list[int]] = {}
    for item in sorted(set(listed) - set(exclude), key=lambda one: (-listed[one], one)):
        held = column[item].as_py()
        for value in dict.fromkeys(held if isinstance(held, list) else [held]):
            if value:
                scores[value] = scores.get(value, 0.0) + listed[item]
                items.setdefault(value, []).append(item)
    source = POPULAR if group == fallback.everyone else SEGMENT
    reason = f"{source}_share"
    order = sorted(scores, key=lambda value: (-round(scores[value], 9), value))[:k]
    return [
        StandbyValue(value, scores[value], source, tuple(items[value][:SHOWN]), {reason: round(scores[value], 4)})
        for value in order
    ]
