"""Where learning reads what was shown and what it brought: a state folder, or the store that doors ship their logs to.

A state folder has the rewards table (`intentflow rewards`). Of a store the rewards are made here, by the same joiner
and the same KPIs, since no pod has a table; what doors have not shipped yet is not over. While the pseudonyms' key is
being changed both names of a person are one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.policy import reward_table
from components.policy.rewards import READ, Found, attributed, require_carried
from components.policy.spec import PolicySlice
from feature_repo import columns
from feature_repo.logs import object_store, request_log, shipped_log
from feature_repo.logs.object_store import Store
from feature_repo.privacy.new_names import NewNames

Line = Mapping[str, Any]
SHOWS = "recommend"
NAMES = [columns.REQUEST_ID, "position", reward_table.REWARD]  # of a reward


@dataclass(frozen=True)
class Logs:
    """The logs of one recommender."""

    where: str
    declared: PolicySlice
    answers: Callable[[], Iterator[Line]]  # lines of the request log with READ alone; items as their candidates are
    rewarded: Callable[[], Iterator[Line]]  # rows of the rewards table, of NAMES


@contextmanager
def kept(home: Path, declared: PolicySlice, names: NewNames) -> Iterator[Logs]:
    """Give the logs of a state folder."""
    folder = home / columns.REQUESTS_FOLDER

    def answers() -> Iterator[Line]:
        yield from names.lines(_shown(request_log.read(folder)), items=False)

    def rewarded() -> Iterator[Line]:
        reward_table.require_made_by(home, [one.kpi() for one in declared.rewards])
        for batch in reward_table.read(home, NAMES).to_batches():
            yield from batch.to_pylist()

    yield Logs(str(folder), declared, answers, rewarded)


@contextmanager
def shipped(address: str, declared: PolicySlice, names: NewNames) -> Iterator[Logs]:
    """Give the logs of a store, which is reached meanwhile; ServerError where it cannot be."""
    with object_store.reached(address) as store:
        yield Logs(
            object_store.shown(address),
            declared,
            lambda: names.lines(_shown(shipped_log.read(store, names=READ)), items=False),
            lambda: _rewarded(store, declared, names),
        )


def _shown(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        yield {name: line.get(name) for name in READ}


def _rewarded(store: Store, declared: PolicySlice, names: NewNames) -> Iterator[Line]:
    kpis, found = [one.kpi() for one in declared.rewards], Found()
    made = attributed(
        names.lines(line for line in _shown(shipped_log.read(store, names=READ)) if line["endpoint"] == SHOWS),
        names.lines(shipped_log.read_events(store)),
        kpis,
        now_s=time.time() - shipped_log.SHIPPED_S,
        bots=declared.bots.rule(),
        found=found,
    )
    require_carried(kpis, found)
    for one in made:
        for row in reward_table.rows_of(one):
            yield {name: row[name] for name in NAMES}
