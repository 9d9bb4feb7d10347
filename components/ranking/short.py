"""Training rows of people who have just come: rows of others, of whom nothing but the last few items is kept.

Steps that train hold hardly anybody after a first visit, so a ranker learns from long histories alone, and then trusts
the one item that it knows of a newcomer as much as what others came back for in half of their weeks. With
`models.ranking.short_histories` it sees some user-steps a second time, cut to the last 1 to 8 items of the history:
folded from these as a door folds the events of a session, so in every number as a newcomer's row is served. What the
user had in the step stays the label, and what the user may not be shown stays barred.

What the intent model would say of the cut row is not known here, and what it said of the whole one would tell what was
cut; so such a row has the mean chances of the training rows.

Letters: B rows, C targets.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.ranking.spec import Ranking
from feature_repo import columns, records, session_rows
from feature_repo.rows import UserRows
from feature_repo.signs import Signs
from feature_repo.update import Event, Folding

if TYPE_CHECKING:
    from components.ranking.examples import Examples, World

SCRAMBLE, PRIME = 48_271, 2_147_483_647
LENGTHS = (1, 2, 3, 5, 8)  # items that are kept, in turn


@dataclass(frozen=True)
class Short:
    """How rows are cut, and which."""

    folding: Folding
    event: str  # the kind that a kept item is folded as
    share: float  # of user-steps that are cut
    chances: np.ndarray  # [C] float32, mean intents of the training rows

    @classmethod
    def of(cls, world: "World", spec: Ranking, weeks: Collection[int]) -> "Short | None":
        """Return how a spec wants the rows of its training weeks cut; None where it wants none."""
        if not spec.short_histories:
            return None
        rows = world.examples.of_weeks(weeks)
        folding = Folding(world.calendar, world.vocabulary, columns.WINDOWS_DAYS, item_event=spec.event)
        chances = rows.probabilities.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(folding, _event(world, spec), spec.short_histories, chances)

    def whom(self, examples: "Examples", week: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the rows of a week that are cut, and how many items each keeps.

        Every week takes others, and those without a history are none to cut.
        """
        place = np.arange(len(examples)) + week
        taken = np.floor((place + 1) * self.share) > np.floor(place * self.share)
        taken &= np.diff(examples.rows.lists["history_items"].offsets) > 0
        mine = np.flatnonzero(taken)
        return mine, np.asarray(LENGTHS)[(np.arange(len(mine)) + week) % len(LENGTHS)]

    def cut(self, examples: "Examples", kept: np.ndarray) -> "Examples":
        """Return rows as of people of whom the last `kept` [B] items of the history are all that is known."""
        rows = cut(self.folding, examples.rows, kept, event=self.event)
        return replace(examples, rows=rows, probabilities=np.tile(self.chances, (len(rows), 1)))


def _event(world: "World", spec: Ranking) -> str:
    """Name the kind of event that counts: the spec's, else that of the first intent which names one."""
    kinds = [target.event for target in world.vocabulary.targets if target.event is not None]
    return spec.main_event or next(iter(kinds), "")


def cut(folding: Folding, rows: UserRows, kept: np.ndarray, *, event: str) -> UserRows:
    """Fold the last `kept` [B] items of each row's history as events of a user without a row.

    An item's event is the last that the row tells of, of the row's mean quantity and value, and of the kind `event`,
    unless kinds are declared: then it is the last of any kind that is interest.
    """
    made = [_one(folding, rows, b, int(n), event=event) for b, n in enumerate(kept.tolist())]
    found = made[0]
    for one in made[1:]:
        found = UserRows.joined(found, one)
    found = records.read(found, folding.vocabulary.signs)
    return replace(
        found,
        numbers={name: found.numbers[name] for name in rows.numbers if name in found.numbers},
        lists={name: found.lists[name] for name in rows.lists if name in found.lists},
    )


def _one(folding: Folding, rows: UserRows, b: int, kept: int, *, event: str) -> UserRows:
    item, last, kinds = _told(folding.vocabulary.signs, rows, b, event)
    by_chance = (item.astype(np.int64) * SCRAMBLE + int(rows.now[b])) % PRIME  # of a basket no item is the last
    newest = np.lexsort((by_chance, last))[::-1][:kept]
    lines = max(float(rows.numbers["events_total"][b]), 1.0)
    quantity, value = (float(rows.numbers[name][b]) / lines for name in ("quantity_total", "value_total"))
    ids, user = folding.vocabulary.item_ids, str(rows.user_id[b])
    events = [
        Event(ids[int(item[p])], kinds[p], at=int(last[p]), session_id=str(last[p]), quantity=quantity, value=value)
        for p in newest[::-1].tolist()
    ]
    return session_rows.of(folding, user, events, now=int(rows.now[b])).rows


def _told(signs: Signs, rows: UserRows, b: int, event: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the items of a row's history, when each was had last, and the kind of that event."""
    if not signs:
        items = rows.lists["history_items"].row(b)
        return items, rows.lists["history_last_at"].row(b), [event] * len(items)
    name_of = {number: kind for kind, number in signs.numbers.items()}
    kind = [name_of[number] for number in rows.lists[records.KIND_OF].row(b).tolist()]
    wanted = np.flatnonzero([signs.shows_interest(one) for one in kind])
    item, last = (rows.lists[name].row(b)[wanted] for name in (records.ITEM_OF, records.LAST_OF))
    return item, last, [kind[place] for place in wanted.tolist()]
