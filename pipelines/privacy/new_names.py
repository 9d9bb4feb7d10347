"""Which new name a person has whom lines still call by an earlier key's: known while the source has the raw ids.

Between a change of the pseudonyms' key and `intentflow rotate`, lines of the logs call the same people by two names.
`rotate` renames them for good; what joins lines meanwhile reads them as if it had. Those whom the source does not have
keep the name that they have: nobody can tell who they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from feature_repo import columns
from feature_repo.privacy.pseudonyms import pseudonym, ring
from pipelines.environment import Installation

Line = Mapping[str, Any]


def of(raws: Iterable[str], keys: Sequence[str]) -> dict[str, str]:
    """Return the names of raw ids under the first key, by those under each further one."""
    return {pseudonym(raw, old): pseudonym(raw, keys[0]) for old in keys[1:] for raw in raws}


def known(place: Installation) -> dict[str, str]:
    """Return the new names by the old; none where the environment names no previous key, which costs nothing."""
    from components.data.ingest import everyone

    keys = ring(place.variables)
    if len(keys) < 2:
        return {}
    return of(everyone(place.spec.data, place.spec_path.absolute().parent), keys)


def renamed(lines: Iterable[Line], names: Mapping[str, str], *, people: bool) -> Iterator[Line]:
    """Yield lines with the new names of their users, and of their items where those are `people`."""
    for line in lines:
        if not names:
            yield line
            continue
        found = dict(line)
        for key in (columns.USER_ID, *([columns.ITEM_ID] if people else [])):
            if found.get(key) in names:
                found[key] = names[found[key]]
        if people and found.get("items"):
            found["items"] = [
                dict(one) | {columns.ITEM_ID: names.get(one[columns.ITEM_ID], one[columns.ITEM_ID])}
                for one in found["items"]
            ]
        yield found
