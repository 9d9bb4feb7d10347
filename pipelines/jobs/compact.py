"""The job `compact`: merge the request log's small files into one a day, compress old files of the event log.

The request log is merged where it is kept: in the environment's store where doors ship to one (`requests.url`), else
in the state folder. `forget` and `rotate` hold the same lock of the state folder, so that no line moves while they
read. Profiles are replayed from events: their files are compressed, never deleted.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bentos.recommender.logs import eventlog, requestlog
from feature_repo.logs import object_store
from pipelines.environment import Installation
from pipelines.jobs import archive, merge
from pipelines.leases.file_lease import held_here
from pipelines.leases.lease import Lease

LOGS = "logs"  # the lease of this machine that keeps lines where they are
WAIT_S = 120.0


@contextlib.contextmanager
def logs_still(home: Path) -> Iterator[None]:
    """Keep a state folder's log files as they are, but for what services append and close."""
    with held_here(home, job=LOGS, wait_s=WAIT_S):
        yield


def compact(place: Installation, lease: Lease) -> dict[str, Any]:
    """Merge and compress what is old enough; return counts."""
    said, now = place.environment.jobs.compact, dt.datetime.now(dt.UTC)
    address = place.environment.requests.url or str(place.home / requestlog.FOLDER)
    with logs_still(place.home), object_store.reached(address) as store:
        done = merge.merge(store, now=now, settle_hours=said.settle_hours, still=lease.require)
        events = archive.compress(
            place.home / eventlog.FOLDER, now=now, after_days=said.events_after_days, still=lease.require
        )
    return vars(done) | {"event_files": events, "where": address.partition("?")[0]}
