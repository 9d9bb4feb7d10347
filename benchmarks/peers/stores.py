"""The profiles of a release in another kind of online store: a real server on loopback, filled from ours."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import servers
from bentos.recommender.service import folding
from bentos.release import RANKING, Release
from components.ranking.score import Ranker
from feature_repo import columns, env_names
from feature_repo.online import feast_values, provenance
from feature_repo.online.feast_store import Online
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym

HERE = "sqlite"
AT_ONCE = 500  # users whose rows are copied together
FAILURES = (ImportError, OSError, RuntimeError)  # of a server that is not there or does not start


@contextmanager
def filled(
    kind: str, variables: Mapping[str, str], release: Release, users: Sequence[str], folder: Path
) -> Iterator[dict[str, str]]:
    """Yield the variables of a service whose profiles are in a store of this kind."""
    if kind == HERE:
        yield dict(variables)
        return
    with servers.running(kind, folder) as server:
        feast = json.loads(variables[env_names.FEAST]) | {"online_store": server.online_store}
        theirs = dict(variables) | {env_names.FEAST: json.dumps(feast)}
        hidden = [pseudonym(user, variables[env_names.PSEUDONYM_KEY]) for user in users]
        copied(_opened(variables, release), _opened(theirs, release), [*hidden, provenance.BATCH])
        yield theirs


def copied(source: Online, target: Online, users: Sequence[str]) -> None:
    """Copy the rows of users, view by view."""
    views = list(target.views.values())
    target.provider.online_store.update(target.config, [], views, [], [], partial=False)
    for name, view in target.views.items():
        for first in range(0, len(users), AT_ONCE):
            keys = [feast_values.entity_key(columns.USER_ID, user) for user in users[first : first + AT_ONCE]]
            found = source.provider.online_read(source.config, source.views[name], keys, list(source.kinds[name]))
            rows = [(key, row, at, None) for key, (at, row) in zip(keys, found, strict=True) if row]
            target.provider.online_write_batch(target.config, view, rows, None)


def _opened(variables: Mapping[str, str], release: Release) -> Online:
    """Open the store that these variables name."""
    kept = os.environ.get(env_names.FEAST)
    os.environ[env_names.FEAST] = variables[env_names.FEAST]
    try:
        vocabulary = Ranker.served(release.folder / RANKING).vocabulary
        return OnlineProfiles.open(release.name, folding(release, vocabulary)).online
    finally:
        os.environ.pop(env_names.FEAST) if kept is None else os.environ.update({env_names.FEAST: kept})
