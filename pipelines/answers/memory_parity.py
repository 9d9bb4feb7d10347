"""Compare the event memories of the online store with what the feature files and the events pushed since give.

No answer holds a memory, so those of the store are compared, of the users whom the replayed answers are about. What a
row was made of lies beside it: of one that is being written, or that is of other files, nothing is said. This only
reads.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from components.profiles.online import materialise
from feature_repo import columns, memory
from feature_repo.memory import Remembered
from feature_repo.online import provenance
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.update import remembered
from pipelines.answers.offline_rows import Offline


def differences(profiles: OnlineProfiles, offline: Offline, users: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (user, served, offline) of every memory that differs, by its first event that does."""
    before = profiles.made_of(users)
    held = profiles.memories(users)
    after = profiles.made_of(users)
    for user, first, served, then in zip(users, before, held, after, strict=True):
        made, pushed = then
        whole = [*provenance.decode(made.others), *provenance.since(pushed, made.data_end)]
        settled = first == then and made.folded == provenance.stamp(whole)
        digest = offline.digests.get(user)
        row = f"{offline.folding.vocabulary.digest}:{'' if digest is None else materialise.under_key(digest)}"
        batch = memory.EMPTY if digest is None else offline.batch.get(user, {}).get(columns.MEMORY, b"")
        if served is None or not settled or made.row != row or not batch:
            continue
        new = [remembered(event, texts=offline.folding.texts) for event in whole]
        expected = memory.decode(memory.added(batch, new))
        if served != expected:
            yield user, *_first(served, expected)


def _first(served: Sequence[Remembered], expected: Sequence[Remembered]) -> tuple[str, str]:
    """Return the newest events in which two memories differ, as text."""
    ours, theirs = list(served)[::-1], list(expected)[::-1]
    for place in range(max(len(ours), len(theirs))):
        pair = [events[place] if place < len(events) else None for events in (ours, theirs)]
        if pair[0] != pair[1]:
            return tuple("no event" if e is None else f"{e.event} of {e.item_id} at {e.at}" for e in pair)  # type: ignore[return-value]
    raise AssertionError("two memories that differ have an event that differs")
