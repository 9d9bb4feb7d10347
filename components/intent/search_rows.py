"""What of training rows an intent model reads: those of a search are made for the spec's own settings.

A choice that reads what these rows do not hold would fail in each of its trials, so the spec refuses it.
"""

from itertools import product

from components.intent.networks import TEXT, TREES
from components.intent.search_space import Range, Search
from components.intent.spec import EVENTS, IntentModel

NAMES = ("architecture", "reads", "titles")  # fields that decide what is read
ITEMS, MEMORIES, TITLES = "the items of users' pasts", "users' events", "vectors of titles"


def read_of(architecture: str, reads: str, titles: bool) -> frozenset[str]:
    """Name what is read beside steps and profile, which all rows hold.

    >>> sorted(read_of("text", "steps", False)), sorted(read_of("gru", "events", True))
    (["the items of users' pasts"], ["users' events", 'vectors of titles'])
    """
    if architecture == TREES:
        return frozenset()
    if reads == EVENTS:
        return frozenset({MEMORIES, TITLES} if titles and architecture != TEXT else {MEMORIES})
    return frozenset({ITEMS} if architecture == TEXT else ())


def require(model: IntentModel, search: Search) -> None:
    """Refuse choices that read what the rows lack; ValueError with one line. The space has been checked by itself."""
    own = {name: getattr(model, name) for name in NAMES}
    have = read_of(**own)
    choices: list[tuple[object, ...]] = []
    for name in NAMES:
        given = search.space.get(name, ())
        choices.append((own[name], *(() if isinstance(given, Range) else given)))
    for values in product(*choices):
        one = dict(zip(NAMES, values, strict=True))
        if lacking := sorted(read_of(**one) - have):  # type: ignore[arg-type]
            other = next(name for name in NAMES if one[name] != own[name])
            raise ValueError(
                f"search.space.{other}: {one[other]!r} reads {' and '.join(lacking)}, and training rows hold what "
                f"models.intent itself reads; drop {one[other]!r}, or search from a spec that reads these"
            )
