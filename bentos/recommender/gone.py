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
        tombstones: Tombstones | None,
        profiles: Profiles,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tombstones, self._profiles, self._clock = tombstones, profiles, clock
        self._known: tuple[Sequence[str], str, float, frozenset[int]] = ((), "", -1.0, frozenset())

    def items(self, ids: Sequence[str]) -> frozenset[int]:
        """Return the positions among `ids`: those that the request works with, whatever the catalogue holds by now."""
        digest = self._tombstones.digest if self._tombstones is not None else ""
        of, under, until, found = self._known  # one name, so that threads with other items never mix answers
        if of is not ids or under != digest or self._clock() >= until:
            found = frozenset(place for place, item in enumerate(ids) if self.holds(item))
            self._known = (ids, digest, self._clock() + REMEMBER_S, found)
        return found

    def holds(self, hidden: str) -> bool:
        """Tell whether a person, by pseudonym, was forgotten, as far as is heard."""
        if is_erased(hidden):  # the release's tables name the person no more (feature_repo/erasure.py)
            return True
        here = self._tombstones is not None and self._tombstones.any and self._tombstones.hides(hidden)
        return here or self._profiles.heard_of(hidden)
