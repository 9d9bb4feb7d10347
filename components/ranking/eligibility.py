"""What a user may be shown at all: the spec's `models.ranking.repeat` and `exclude_self`, for every path.

Training, labels, baselines, evaluation, batch answers, the door and its fallback ask `barred` here. `repeat: forbid`
bars what the row's history holds, which is then all that the user ever had (Vocabulary.whole_history). By kind it bars
what the user did that with, as `hide` does, until an `undo` of it came (feature_repo/records.py). `exclude_self`
bars the item that the user is: rows name users by pseudonym, so a step finds it under the key, which no file holds; the
door has the raw id. Items that are people (`people`) go by the same pseudonyms, and need no key.

Letters: B rows, N barred items over all rows, I items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from components.ranking.spec import ALLOW, FORBID, Ranking, Repeat
from feature_repo import records
from feature_repo.errors import SpecError
from feature_repo.ids import plain
from feature_repo.privacy.pseudonyms import KEY, pseudonym
from feature_repo.rows import Ragged, UserRows
from feature_repo.signs import NONE, Signs


@dataclass(frozen=True)
class Eligibility:
    """Which items of the vocabulary the users of some rows may be shown."""

    repeat: Repeat = ALLOW
    own: Mapping[str, int] = field(default_factory=dict, repr=False)  # pseudonym of a user: which item this is
    signs: Signs = NONE  # by kind: what was bought, where that is not shown again, and what was hidden
    gone: frozenset[int] = frozenset()  # items that are people who were forgotten

    @property
    def bars(self) -> bool:
        """Tell whether there is anything that somebody may not be shown."""
        return self.repeat == FORBID or self.signs.bars or bool(self.own) or bool(self.gone)

    @property
    def rule(self) -> str:
        """Name what is barred, '' where nothing is: evaluations by another rule are of other rows."""
        words = (("new items", self.repeat == FORBID), ("others", self.own), (self.signs.rule, self.signs))
        return " ".join(word for word, said in words if said)

    def barred(self, rows: UserRows) -> Ragged:
        """Return the positions of the items that each row's user may not be shown, in no order."""
        parts, rows = [], records.read(rows, self.signs)
        if self.signs.bars:
            after = rows.lists[records.BARRED]
            parts.append((after.row_of_value(), after.values.astype(np.int64)))
        if self.repeat == FORBID:
            had = rows.lists["history_items"]
            parts.append((had.row_of_value(), had.values.astype(np.int64)))
        if self.own:
            mine = np.asarray([self.own.get(str(user), -1) for user in rows.user_id], dtype=np.int64)  # [B]
            parts.append((np.flatnonzero(mine >= 0), mine[mine >= 0]))
        if self.gone:
            nobody = np.asarray(sorted(self.gone), dtype=np.int64)
            parts.append((np.repeat(np.arange(len(rows)), len(nobody)), np.tile(nobody, len(rows))))
        row, item = (np.concatenate([part[side] for part in parts] or [_NONE]) for side in (0, 1))
        order = np.argsort(row, kind="stable")
        return Ragged(item[order], np.searchsorted(row[order], np.arange(len(rows) + 1)))

    def dense(self, rows: UserRows, n_items: int) -> np.ndarray:
        """Return the same as a mask, bool [B, I]."""
        mask = np.zeros((len(rows), n_items), dtype=bool)
        if self.bars:
            barred = self.barred(rows)
            mask[barred.row_of_value(), barred.values] = True
        return mask


_NONE = np.empty(0, dtype=np.int64)
ANY = Eligibility()


def of(spec: Ranking, item_ids: Sequence[str], *, key: str | None) -> Eligibility:
    """Return what a spec says of the users whose pseudonyms were made under `key`, needed where items are users."""
    eligible = of_kinds(spec)
    if not spec.exclude_self:
        return eligible
    if spec.people:  # items go by the pseudonyms that rows name users by
        return replace(eligible, own={item: index for index, item in enumerate(item_ids)})
    if key is None:
        raise SpecError(f"models.ranking.exclude_self: needs {KEY} to find which item a user is; set it for this step")
    return replace(eligible, own={pseudonym(item, key): index for index, item in enumerate(item_ids)})


def of_kinds(spec: Ranking) -> Eligibility:
    """Return what a spec says of what users did, whoever they are."""
    return Eligibility(spec.repeats, signs=spec.signs())


def own_item(spec: Ranking, index_of_item: Mapping[str, int], user_id: str, *, hidden: str = "") -> frozenset[int]:
    """Return the position of the item that a raw user id names, as a set; empty where it names none.

    `hidden` is the same user's pseudonym, by which items go that are people.
    """
    index = index_of_item.get(hidden if spec.people else plain(user_id)) if spec.exclude_self else None
    return frozenset() if index is None else frozenset({index})
