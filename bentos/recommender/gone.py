"""Which items are people who were forgotten: a release, or the document log, still has them, and no answer shows them.

Asked of the tombstones, by the pseudonyms that such items go by. The answer is kept until the folder of tombstones
changes, and for what only the store heard of, a few seconds.
"""

import time
from collections.abc import Callable, Sequence

from bentos.recommender.ports import Profiles
from feature_repo.ids import is_erased
from feature_repo.privacy.tombstones import Tombstones

REMEMBER_S = 5.0


class Gone:
    """The positions of forgotten people among the items."""

    def __init__(
        self,
        item_ids: Callable[[], Sequence[str]],
        tombstones: Tombstones | None,
        profiles: Profiles,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._item_ids, self._tombstones, self._profiles, self._clock = item_ids, tombstones, profiles, clock
        self._until, self._found = -1.0, frozenset[int]()
        self._of: tuple[str, int] = ("", 0)

    def items(self) -> frozenset[int]:
        """Return the positions."""
        ids = self._item_ids()  # they grow, and keep their positions
        of = (self._tombstones.digest if self._tombstones is not None else "", len(ids))
        if of != self._of or self._clock() >= self._until:
            self._found = frozenset(place for place, item in enumerate(ids) if self.holds(item))
            self._of, self._until = of, self._clock() + REMEMBER_S
        return self._found

    def holds(self, hidden: str) -> bool:
        """Tell whether a person, by pseudonym, was forgotten, as far as is heard."""
        if is_erased(hidden):  # the release's tables name the person no more (feature_repo/erasure.py)
            return True
        here = self._tombstones is not None and self._tombstones.any and self._tombstones.hides(hidden)
        return here or self._profiles.heard_of(hidden)
