"""The ranker over the catalogue as it was when an answer was given: the document log, up to the answer's version.

Where `forget` took people out of the log since, an answer's version is not what it was, and cannot be replayed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feature_repo import columns
from feature_repo.errors import SpecError
from pipelines.environment import Installation

KEPT = 8  # versions: an answer's neighbours in the log rest on the same

if TYPE_CHECKING:
    from bentos.release import Release
    from components.ranking.rules.book import RuleBook
    from components.ranking.score import Ranker
    from feature_repo.documents.changes import Newest


@dataclass
class PastCatalogue:
    """One release's ranker at the versions that answers name; each is made once, the newest few are kept."""

    place: Installation
    ranker: "Ranker"  # over the release's own items
    _made: dict[int, "Ranker"] = field(default_factory=dict)
    _rules: dict[int, Mapping[str, "Newest"]] = field(default_factory=dict)

    def ranker_of(self, answer: Mapping[str, Any]) -> "Ranker":
        """Return the ranker that gave an answer; raises SpecError where the log does not go that far."""
        version = answer.get(columns.CATALOGUE_VERSION) or 0  # null: the log was not read, the release's own items
        if version == 0:
            return self.ranker
        if version not in self._made:
            if len(self._made) >= KEPT:
                del self._made[min(self._made)]
            self._made[version] = self._at(version)
        return self._made[version]

    def rules_of(self, answer: Mapping[str, Any], ranker: "Ranker", release: "Release") -> "RuleBook":
        """Return the rules as they were when an answer was given, over the items of the ranker that gave it."""
        from components.ranking.rules import book

        version = answer.get(columns.CATALOGUE_VERSION) or 0
        hidden = ranker.catalogue.hidden
        items = book.items_of(ranker.vocabulary, () if hidden is None else frozenset(hidden.nonzero()[0].tolist()))
        rules = book.merged(release.rules, self._rules.get(version, {}), unread=[])
        return book.read(rules, release.placements, items)

    def _at(self, version: int) -> "Ranker":
        from components.ranking import open_catalogue
        from feature_repo.documents.changes import RULE, newest_of
        from feature_repo.documents.opened import document_log
        from feature_repo.live_items import live
        from pipelines.releases import release as releases

        with releases.variables(self.place):
            changes = document_log(self.place.spec.name).changes(until=version)
        have = changes[-1].version if changes else 0
        if have < version:
            raise SpecError(
                f"the answer rests on version {version} of the document log, and the log of "
                f"{self.place.spec.name} ends at version {have}: it was restored from an older copy, or is another one"
            )
        newest = newest_of(changes)
        self._rules[version] = {one.id: one for one in newest if one.kind == RULE}
        return open_catalogue.over(self.ranker, live(self.ranker.vocabulary, newest))


def changed_since(place: Installation, answers: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the requests whose answers rest on a version of the log from which people were taken out since."""
    from feature_repo.documents.log import removed_at
    from feature_repo.documents.opened import document_log_if_any
    from pipelines.releases import release as releases

    over = [answer for answer in answers if answer.get(columns.CATALOGUE_VERSION)]
    if not over:
        return frozenset()
    with releases.variables(place):
        documents = document_log_if_any(place.spec.name)
        since = 0 if documents is None else removed_at(documents.head().name)
    return frozenset(
        str(answer[columns.REQUEST_ID])
        for answer in over
        if since and dt.datetime.fromisoformat(str(answer["logged_at"])).timestamp() <= since + 1
    )
