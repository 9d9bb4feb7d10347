"""The new names of the people of a source, while the pseudonyms' key is being changed.

The source is read for it, again only where it changed: a loop that looks every few seconds asks here each time.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from components.data.ingest import everyone, source_digest
from components.data.spec import Data
from feature_repo.privacy import new_names
from feature_repo.privacy.new_names import NewNames
from feature_repo.privacy.pseudonyms import ring


def known(data: Data, base: Path, environment: Mapping[str, str]) -> NewNames:
    """Return the new names by the old; none where the environment names no previous key: then nothing is read."""
    keys = ring(environment)
    if len(keys) < 2:
        return NewNames()
    return _known(data.model_dump_json(), base, keys, source_digest(data, base))


@functools.lru_cache(maxsize=1)
def _known(data: str, base: Path, keys: tuple[str, ...], _state: str) -> NewNames:
    declared = Data.model_validate_json(data)
    return NewNames(new_names.of(everyone(declared, base), keys), declared.items_are_users)
