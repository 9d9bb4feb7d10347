"""The candidate sources: one module each, named in `SOURCES` in the order in which they bring items.

A source sees what is taken: what those before it brought, so that none brings an item twice, and what the user may not
be shown (eligibility.py), so that none brings that. The last one fills up. The spec and the texts read `SOURCES`, so
nothing here imports numpy; `finder` loads the module behind a name. A new source is its module and its entry: the
spec's limit, the word in answers and logs and the sentence in texts follow from it.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import numpy as np

    from components.ranking.history import History
    from components.ranking.neighbours import Arrays
    from components.ranking.past import Past
    from components.ranking.sources.context import Context
    from feature_repo.rows import UserRows


@dataclass(frozen=True)
class Source:
    """A source by name: its module here, its limit in `models.ranking.candidates`, its word in answers and logs."""

    name: str
    code: int  # stands for it in arrays of candidates; never given to another source
    limit: int  # items that it may bring for a user, unless the spec says otherwise
    about: str  # the limit's description in the spec
    least: int = 0  # smallest limit; 0 can be switched off
    brings_new: bool = True  # False: only items that the user had, so none where the spec forbids repeats
    for_people: int = 0  # the limit where items are people; sources of people bring nothing elsewhere
    for_vectors: int = 0  # the limit where the spec declares vectors of items; elsewhere it brings nothing
    asked: bool = False  # off unless a spec says a limit; specs that leave it out have the digests they had
    learnt: bool = False  # fitted on histories, week by week: its module has `fit` and `scores`
    labelled: bool = False  # learnt, and from the steps of the past: its module has `fit_past` for `fit`
    later: bool = False  # only items that came after training: no model needs to know it, no training meets it
    phrases: tuple[tuple[str, str], ...] = ()  # what a text says of a reason: (reason, sentence)


SOURCES = (
    Source("history", 0, 150, "Items the user had before; none under `repeat: forbid`", brings_new=False),
    Source("reciprocity", 4, 0, "People who acted on the user; 100 where items are users", for_people=100,
           phrases=(("wrote_weeks", "They wrote to you."),)),
    Source("adamic_adar", 5, 0, "People with rare acquaintances in common; 50 where items are users", for_people=50,
           phrases=(("common_acquaintances", "You have acquaintances in common."),)),
    Source("common_neighbours", 6, 0, "People with acquaintances in common; 50 where items are users", for_people=50),
    Source("friends_of_friends", 7, 0, "People of the user's people; 50 where items are users", for_people=50,
           phrases=(("friends_of_friends", "People whom you know are in touch with them."),)),
    Source("new", 8, 20, "Items that came after training, of the user's categories, newest first", later=True),
    Source("neighbours", 1, 100, "Items near the user's history",
           phrases=(("near_history", "Users who chose what you chose often chose it too."),)),
    Source("offers", 3, 50, "Items in the week's flyer near the user's history",
           phrases=(("in_flyer", "It is in this week's flyer."),)),
    Source("content", 9, 0, "Items whose text or image is like the history; 50 where vectors are declared",
           for_vectors=50, phrases=(("content", "It is like what you chose."),)),
    Source("als", 10, 0, "Items near the history in factors of weighted matrix factorisation", asked=True, learnt=True),
    Source("bpr", 11, 0, "Items near the history in factors learnt by pairwise ranking", asked=True, learnt=True),
    Source("ease", 12, 0, "Items that a linear model of items upon items predicts of the history", asked=True,
           learnt=True),
    Source("sequence", 13, 0, "Items that self-attention over the history's order predicts", asked=True, learnt=True),
    Source("users", 14, 0, "Items that groups of users with histories like this one have", asked=True, learnt=True),
    Source("basket", 19, 0, "Items that most users had for the first time; of those had, how likely they come again",
           asked=True, learnt=True, labelled=True),
    Source("sized", 20, 0, "Items that groups of users like this one have, those of small baskets counting for more",
           asked=True, learnt=True, labelled=True),
    Source("segment_popular", 15, 0, "Items popular in the user's segment", asked=True, learnt=True),
    Source("attributes", 17, 0, "Items that share category, brand or targets with the history, rare ones above all",
           asked=True),
    Source("graph", 18, 0, "Items that share entities with the history by `data.knowledge`; 50 where that is declared",
           asked=True, phrases=(("knowledge", "It has something in common with what you chose."),)),
    Source("trending", 16, 0, "Items that more users had last week than usual", asked=True),
    Source("popular", 2, 50, "Items popular now; also for cold users", least=1),
)  # fmt: skip

NAMES = tuple(source.name for source in sorted(SOURCES, key=lambda source: source.code))  # by code
LEARNT = tuple(source.name for source in SOURCES if source.learnt)
LABELLED = tuple(source.name for source in SOURCES if source.labelled)
OF_LEARNT = {name: f"by_{name}" for name in LEARNT}  # the fact and the feature that its score is
PHRASES = {reason: sentence for source in SOURCES for reason, sentence in source.phrases}


class Finder(Protocol):
    """What the module of a source has."""

    REASONS: tuple[str, ...]  # names of facts that an answer quotes, strongest first

    def candidates(self, context: "Context", limit: int) -> "np.ndarray":
        """Return the keys row * I + item, int64, of at most `limit` items a row, none of them in `context.taken`."""

    def brings(self, history: "History", items: "np.ndarray") -> "np.ndarray":
        """Tell of items [M], asked about for one row, which are this source's kind, bool [M]."""


class Learnt(Finder, Protocol):
    """What the module of a source that is fitted has besides."""

    def fit(self, rows: "UserRows", n_items: int) -> "Arrays":
        """Fit on what was known of users, one row each; the same rows give the same arrays."""

    def scores(self, history: "History") -> "np.ndarray":
        """Score every item of every row, float64 [B, I]; 0 or less where it does not bring it."""


class Labelled(Learnt, Protocol):
    """What the module of a source has that learns from steps: by the clock, or from what users did after their rows."""

    def fit_past(self, past: "Past", n_items: int) -> "Arrays":
        """Fit on rows and what followed them; the same past gives the same arrays."""


def learnt(name: str) -> Learnt:
    """Return the module of a source that is fitted."""
    return cast(Learnt, finder(name))


def labelled(name: str) -> Labelled:
    """Return the module of a source that is fitted to labels."""
    return cast(Labelled, finder(name))


@functools.cache
def finder(name: str) -> Finder:
    """Return the module of a source."""
    return cast(Finder, importlib.import_module(f"{__name__}.{name}"))
