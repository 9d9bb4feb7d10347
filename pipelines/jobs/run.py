"""One job under its lease, with a record of its outcome: `intentflow job NAME SPEC`.

A duplicate does nothing and says so, and so does a job that meets a run under way: the schedule starts it again. Every
job may be killed at any point and repeated. Schedules belong to the environment (cron, CronJobs).
"""

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.registry import heartbeats
from feature_repo import files
from feature_repo.errors import Refused, SpecError, nearest
from pipelines.environment import Installation
from pipelines.jobs import audiences, compact, digests, drift_check, materialise, quality, score
from pipelines.leases.lease import JOBS, Lease
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.runs import local

Counts = Mapping[str, Any]
Does = Callable[[Installation, Lease], Counts]
WAIT_S = 1800.0  # for the same job, where a version is asked for
DOES: dict[str, Does] = {
    "monitor": drift_check.monitor,
    "materialise": materialise.materialise,
    "score": score.score,
    "quality": quality.quality,
    "compact": compact.compact,
    "audiences": audiences.audiences,
    "digests": digests.digests,
}


@dataclass(frozen=True)
class Outcome:
    """How a job went."""

    job: str
    outcome: str  # done, skipped, failed; in the record of a job that was killed: running
    reason: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    counts: Counts = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {"counts": dict(self.counts)}

    def text(self) -> str:
        """Return it as a person reads it."""
        if self.outcome == "skipped":
            return f"{self.job}: nothing done: {self.reason}"
        counts = ", ".join(f"{key} {value}" for key, value in self.counts.items())
        return f"{self.job}: {self.outcome} in {self.seconds:.1f} s" + (f": {counts}" if counts else "")


def run(place: Installation, name: str, *, version: str = "") -> Outcome:
    """Do a job once; raises what went wrong, after noting it.

    With a version `materialise` is about that release alone, and whoever asks needs it done: then it waits its turn.
    """
    if name not in DOES:
        raise SpecError(f"job: no job '{name}'; have {', '.join(DOES)}{nearest(name, list(DOES))}")
    if version:
        if name != "materialise":
            raise SpecError(f"--version: the job '{name}' is about no single version; leave it out")
        with held(place, job=name, wait_s=WAIT_S) as lease:
            return _noted(place, name, lease, does=lambda at, lease: materialise.of_version(at, version, lease))
    with contextlib.ExitStack() as stack:
        try:
            lease = stack.enter_context(held(place, job=name))
        except Refused as refusal:
            return Outcome(name, "skipped", str(refusal))
        return _noted(place, name, lease)


def _noted(place: Installation, name: str, lease: Lease, *, does: Does | None = None) -> Outcome:
    """Do it and keep the record, which says `running` until then; a job that somebody waits for skips nothing."""
    started, clock = _now(), time.monotonic()

    def note(outcome: str, reason: str = "", counts: Counts | None = None) -> Outcome:
        seconds = round(time.monotonic() - clock, 3)
        ended = "" if outcome == "running" else _now()
        found = Outcome(name, outcome, reason, started, ended, seconds, counts or {})
        files.write_json(place.home / JOBS / f"{name}.json", found.document() | {"token": lease.token})
        return found

    note("running")
    try:
        with variables(place):
            try:
                counts = (does or DOES[name])(place, lease)
            except local.Busy as busy:
                if does is not None:
                    raise
                return note("skipped", str(busy))
            except Exception:
                heartbeats.ended(place.spec.name, name, succeeded=False)
                raise
            heartbeats.ended(place.spec.name, name, succeeded=True, seconds=time.monotonic() - clock)
    except BaseException as error:
        note("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
        raise
    return note("done", "", counts)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
