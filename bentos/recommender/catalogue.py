"""The items that a door shows: its release's own, as the document log changes them. Follows the log within seconds.

A thread asks the log for its version each second; where it is another one, the ranker is laid over the new documents,
and takes the old one's place in one step. A request works with the items that it found first, to its end. While the
store is away the door goes on with what it has; what it says is then as old as the version in its answers.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bentos.recommender.ports import Ranker
from bentos.recommender.texts import Texts
from bentos.release import Release
from components.ranking.rules import book
from components.ranking.rules.book import RuleBook
from feature_repo import columns
from feature_repo.documents.changes import RULE
from feature_repo.documents.log import DocumentLog, Snapshot, same_log
from feature_repo.errors import StoreAway
from feature_repo.later_people import NOBODY, LaterPeople
from feature_repo.live_items import LiveItems, of_log
from feature_repo.vocabulary import Vocabulary

EVERY_S = 1.0  # between looks at the log; docs/catalogue.md promises 5
log = logging.getLogger("intentflow.door")
Grow = Callable[[LiveItems, Snapshot], Ranker]  # the release's ranker over other items


@dataclass(frozen=True)
class ShownItems:
    """The items as of one version of the log, and what ranks and describes them."""

    version: int | None  # of the log; None: it was never read
    ranker: Ranker
    vocabulary: Vocabulary
    hidden: frozenset[int]  # positions that nobody may be shown
    titles: list[str]  # by position
    texts: Texts
    people: LaterPeople = NOBODY  # who came after training
    rules: RuleBook = field(default_factory=RuleBook)  # what lists may hold
    _having: dict[str, dict[str, list[int]]] = field(init=False, default_factory=dict, compare=False, repr=False)

    def having(self, attribute: str) -> Mapping[str, Sequence[int]]:
        """Return the positions of the items that have each value of an attribute; made once."""
        if attribute not in self._having:
            found: dict[str, list[int]] = {}
            for place, held in enumerate(self.vocabulary.items[attribute].to_pylist()):
                for one in held if isinstance(held, list) else [held]:
                    if one is not None:
                        found.setdefault(str(one), []).append(place)
            self._having[attribute] = found
        return self._having[attribute]


class OpenCatalogue:
    """What is shown now; without a log always the release's own items."""

    def __init__(
        self, release: Release, ranker: Ranker, documents: DocumentLog | None = None, grow: Grow | None = None
    ) -> None:
        self.release, self.documents, self._grow = release, documents, grow
        self.vocabulary = ranker.vocabulary  # the release's own
        self.snapshot = Snapshot()
        self.current = self._shown(Snapshot(), None, ranker, LiveItems(ranker.vocabulary, frozenset(), {}))
        self._one, self._end, self._said = threading.Lock(), threading.Event(), ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read the log, if it answers, and follow it."""
        if self.documents is None:
            return
        self._look()
        self._thread = threading.Thread(target=self._follow, name="catalogue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follow the log no longer."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> ShownItems:
        """Read the log and show what it says; raises StoreAway where it does not answer."""
        assert self.documents is not None
        assert self._grow is not None
        with self._one:
            found = self.documents.refreshed(self.snapshot)
            lost = not found.head.version and self.snapshot.head.version
            if lost or (found is self.snapshot and self.current.version is not None):
                if lost:
                    self._say(f"the document log is empty and was at version {lost}; what it said stays until restart")
                return self.current
            if self.snapshot.head.name and not same_log(self.snapshot.head.name, found.head.name):
                self._say(f"another document log, at version {found.head.version}, is in the place of the one before")
            items = of_log(self.vocabulary, found, under=self.release.key)
            shown = self._shown(found, found.head.version, self._grow(items, found), items)
            self.snapshot, self.current = found, shown
            log.info("catalogue version %d: %d items differ from the release's", found.head.version, len(items.changed))
            return self.current

    def _shown(self, held: Snapshot, version: int | None, ranker: Ranker, items: LiveItems) -> ShownItems:
        words = items.vocabulary
        titles = [t or i for t, i in zip(words.items[columns.TITLE].to_pylist(), words.item_ids, strict=True)]
        texts = Texts(words, titles, self.release.content, verb=self.release.verb, step=self.release.calendar.step)
        people = LaterPeople.of(items.people, words.item_ids)
        return ShownItems(version, ranker, words, items.hidden, titles, texts, people, self._rules(held, items))

    def _rules(self, held: Snapshot, items: LiveItems) -> RuleBook:
        """Read the rules, those of the log over the spec's, against the items; say which cannot be kept."""
        unread: list[str] = []
        rules = book.merged(self.release.rules, held.of(RULE), unread=unread)
        found = book.read(rules, self.release.placements, book.items_of(items.vocabulary, items.hidden))
        for one in found.rules:
            if one.problem:
                log.error(
                    "rule '%s' is not kept: %s; each answer that it is meant for says so", one.rule.name, one.problem
                )
        if unread:
            log.error("rules %s cannot be read: a newer version wrote them; each answer says so", ", ".join(unread))
        return replace(found, unread=tuple(unread))

    def _follow(self) -> None:
        while not self._end.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        """Refresh where the log's version is another one; one that is away is asked again."""
        assert self.documents is not None
        try:
            if self.current.version is None or self.documents.head() != self.snapshot.head:
                self.refresh()
            self._said = ""
        except StoreAway as away:
            self._say(f"{away}; the catalogue stays at version {self.current.version}")

    def _say(self, problem: str) -> None:
        """Log a problem once."""
        if problem != self._said:
            log.error("%s", problem)
        self._said = problem
