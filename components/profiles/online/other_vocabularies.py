"""The events that were pushed to rows of any vocabulary, for the batch of one: what its own list lacks comes in here.

Each door writes the lists of its own vocabulary and no other, so two that run at once cannot overwrite each other's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from feature_repo.online import erase, feast_store, provenance
from feature_repo.online.feast_store import Online
from feature_repo.online.profiles import OnlineProfiles, decoded
from feature_repo.online.provenance import Provenance
from feature_repo.update import Event
from feature_repo.views import PUSHED

AT_ONCE = 500  # newcomers in one write


@dataclass(frozen=True)
class Others:
    """The lists of one vocabulary beside those of all others."""

    project: str
    mine: OnlineProfiles
    others: tuple[Online, ...]

    @classmethod
    def open(cls, project: str, mine: OnlineProfiles) -> "Others":
        """Find the other vocabularies whose rows the store holds."""
        windows = mine.folding.windows_days
        own = feast_store.space(project, mine.folding.vocabulary.digest)
        found = [space for space in erase.spaces(project, view=PUSHED) if space != own]
        return cls(project, mine, tuple(Online.open(space, windows_days=windows) for space in found))

    def read(self, users: Sequence[str], *, since: int) -> list[tuple[Provenance, list[Event], list[Event]]]:
        """Return what each row is made of, the events that only other lists have, and its own, since a batch's end."""
        lists = [[decoded(row) for row in online.read(PUSHED, users)] for online in self.others]
        found = []
        for place, (made, own) in enumerate(self.mine.made_of(users)):
            own = provenance.since(own, since)
            more = [provenance.decode(made.others), *(events[place] for events in lists)]
            found.append((made, provenance.lacking(own, [provenance.since(events, since) for events in more]), own))
        return found


def newcomers(profiles: OnlineProfiles, others: Others, known: Collection[str]) -> None:
    """Write rows of users whom no batch has and who were pushed to another vocabulary's rows.

    `known` are those of this batch, and those of earlier ones who are gone since.
    """
    project, fold = others.project, profiles.folding
    found = {u for online in others.others for u in erase.users(project, space=online.config.project, view=PUSHED)}
    users = sorted(found - set(known) - {provenance.BATCH})
    for start in range(0, len(users), AT_ONCE):
        states, made = {}, {}
        part = users[start : start + AT_ONCE]
        for user, (was, first, own) in zip(part, others.read(part, since=0), strict=True):
            want = Provenance.of(fold.vocabulary.digest, "", 0, [*first, *own], others=first)
            if (first or own) and (was.row, was.folded) != (want.row, want.folded):
                states[user], made[user] = fold.fold(fold.empty(), [*first, *own]), want
        profiles.write(states, made)
