"""Which new name a person has whom lines still call by an earlier key's: known while the source has the raw ids.

Between a change of the pseudonyms' key and `intentflow rotate`, lines of the logs call the same people by two names.
`rotate` renames them for good; what joins lines meanwhile reads them as if it had. Those whom the source does not have
keep the name that they have: nobody can tell who they are. The names are kept in memory alone: whoever had the old key
would learn the new names from them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from feature_repo import columns
from feature_repo.privacy.pseudonyms import pseudonym

Line = Mapping[str, Any]


@dataclass(frozen=True)
class NewNames:
    """The new names of people by their old ones; none where no key is being changed, which costs nothing."""

    by_old: Mapping[str, str] = field(default_factory=dict)
    people: bool = False  # items are people, too

    @cached_property
    def _olds(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for old, new in self.by_old.items():
            found[new].append(old)
        return found

    def every(self, users: Iterable[str]) -> list[str]:
        """Return all names, old and new, of those who are named here, in order.

        >>> NewNames({"old": "new"}).every(["old", "stranger"])
        ['new', 'old', 'stranger']
        """
        known = {self.by_old.get(user, user) for user in users}
        return sorted(known.union(*(self._olds.get(user, ()) for user in known)))

    def lines(self, lines: Iterable[Line], *, items: bool = True) -> Iterator[Line]:
        """Yield lines with the new names of their users, and of their `items` where those are people."""
        if not self.by_old:
            yield from lines
            return
        names, both = self.by_old, self.people and items
        for line in lines:
            found = dict(line)
            for key in (columns.USER_ID, *([columns.ITEM_ID] if both else [])):
                if found.get(key) in names:
                    found[key] = names[found[key]]
            if both and found.get("items"):
                found["items"] = [
                    dict(one) | {columns.ITEM_ID: names.get(one[columns.ITEM_ID], one[columns.ITEM_ID])}
                    for one in found["items"]
                ]
            yield found


def of(raws: Iterable[str], keys: Sequence[str]) -> dict[str, str]:
    """Return the names of raw ids under the first key, by those under each further one."""
    return {pseudonym(raw, old): pseudonym(raw, keys[0]) for old in keys[1:] for raw in raws}
