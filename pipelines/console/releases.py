"""Fills the console's port of releases from the registry, the routes and the rollout's loop.

A rollback is `pipelines/rollout/restore.py`, as `intentflow rollback` calls it. It may have to start a door first,
which takes minutes: it runs in a thread of its own, and the page says how it stands.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bentos.console.ports.releases import (
    Gate,
    LastRollback,
    Move,
    ReleasesShown,
    ReleaseVersion,
    WayBack,
)
from feature_repo.errors import Refused, ServerError, UserError
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.registry.aliases import Kept, Status

SHOWN = 20  # versions, the newest; those that hold an alias or serve are shown besides
PATIENCE_S = 5.0  # that a browser waits for a rollback before it is told that it runs
NEVER = LastRollback("none")


def port(place: Callable[[], Installation]) -> "LiveReleases":
    """Return the port over an installation, which is read anew at each call."""
    return LiveReleases(place)


class LiveReleases:
    """Fills bentos.console.ports.releases.Releases; remembers the newest rollback while the process lives."""

    def __init__(self, place: Callable[[], Installation], *, patience_s: float = PATIENCE_S) -> None:
        self._place, self._patience_s = place, patience_s
        self._one = threading.Lock()
        self._run: _Rollback | None = None

    def shown(self) -> ReleasesShown:
        """Return who holds which alias, who serves, and where a rollback leads."""
        from components.registry import aliases, client, rollout_tags
        from pipelines.releases.release import variables
        from pipelines.rollout import restore, status_text
        from pipelines.rollout.state import State

        place = self._place()
        last = self._run.told() if self._run else NEVER
        with variables(place):
            if client.unmade():  # a look would make it
                return ReleasesShown((), 0, (), "", "", False, True, "", "", "", WayBack("", "", _nothing(place)), last)
            held = aliases.status(place.spec.name)
            versions, in_all = aliases.kept(place.spec.name, most=SHOWN)
            state = State.of(rollout_tags.read(place.spec.name).state)
        champion, previous = held.holders.get("champion", ""), held.holders.get("previous", "")
        recorded = bool(place.environment.kubernetes.namespace)  # a pod has no account to look at routes with
        rollout = (status_text.recorded if recorded else status_text.summary)(place, champion)
        routes = rollout if recorded else rollout.get("routes") or {}
        why = restore.refusal(place, state, champion, previous) if versions else _nothing(place)
        return ReleasesShown(
            versions=tuple(_version(one, held, routes) for one in _with_aliases(versions, held)),
            versions_in_all=in_all,
            history=tuple(
                Move(one.alias, one.origin, one.to, one.who, one.when, one.why) for one in reversed(held.history)
            ),
            champion=champion,
            stable=_release_of(routes, "stable"),
            recorded=recorded,
            whole=routes.get("mode", "stable") == "stable" and not routes.get("arms"),
            # Of a service that no loop has looked at yet it would say that nothing serves.
            standing=str(rollout.get("text", "")) if rollout.get("stable") or rollout.get("candidate") else "",
            problem=str(rollout.get("problem", "")),
            notice=str(rollout.get("notice", "")),
            back=WayBack(champion, previous, why, state.experiment.name if state.experiment else ""),
            last=last,
        )

    def rollback(self, champion: str, to: str, *, why: str, who: str) -> LastRollback:
        """Go back from a champion to the version before, both as the page showed them, or refuse it."""
        place = self._place()
        with self._one:
            if self._run is not None and self._run.running:
                before = self._run.told()
                raise Refused(
                    f"rollback: from version {before.champion} to {before.to}, asked for by {before.who}, runs since "
                    f"{before.since_s:.0f} s; wait for its end"
                )
            run = _Rollback(place, champion, to, why=why, who=who)
            before_it, self._run = self._run, run
            run.start()
        run.join(self._patience_s)
        if run.refusal is not None:  # nothing was moved, so it was none
            with self._one:
                self._run = before_it if self._run is run else self._run
            raise run.refusal
        return run.told()


class _Rollback(threading.Thread):
    """One rollback, in a thread that ends with the process: the registry has the move, and the loop goes on from it."""

    def __init__(self, place: Installation, champion: str, to: str, *, why: str, who: str) -> None:
        super().__init__(name="rollback", daemon=True)
        self._place, self._champion, self._to, self._why, self._who = place, champion, to, why, who
        self._began, self._took_s = time.monotonic(), 0.0
        self._found: dict[str, Any] | None = None
        self._failed = ""
        self.refusal: Refused | None = None  # nothing was moved

    @property
    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._found is None and not self._failed and self.refusal is None

    def run(self) -> None:
        """Do it; what stands in its way is kept for the page."""
        from pipelines.rollout import restore

        try:
            wanted = restore.Wanted(self._champion, self._to)
            found = restore.restore(
                self._place,
                self._why,
                who=self._who,
                wanted=wanted,
                by_loop=bool(self._place.environment.kubernetes.namespace),
            )
            if found["champion"] != self._to:
                self._failed = f"version {found['champion'] or 'nobody'} is the champion: {found['note']}"
            self._took_s, self._found = time.monotonic() - self._began, found
        except restore.Unwanted as refusal:
            self.refusal = refusal
        except (UserError, Refused, ServerError) as error:
            self._took_s, self._failed = time.monotonic() - self._began, str(error)
        except Exception as fault:
            self._took_s, self._failed = time.monotonic() - self._began, f"a fault of ours: {type(fault).__name__}"
            raise

    def told(self) -> LastRollback:
        """Say how it stands."""
        asked = {"champion": self._champion, "to": self._to, "who": self._who}
        if self.running:
            return LastRollback("running", since_s=time.monotonic() - self._began, **asked)
        if self._failed or self._found is None:
            return LastRollback("failed", since_s=self._took_s, note=self._failed or str(self.refusal), **asked)
        found = self._found
        return LastRollback("done", since_s=self._took_s, note=found["note"], serving=found["serving"], **asked)


def _nothing(place: Installation) -> str:
    return f"rollback: nothing is registered of {place.spec.name} yet; `intentflow run` makes a release"


def _with_aliases(versions: "list[Kept]", held: "Status") -> "list[Kept]":
    """Return versions, and behind them the older ones that hold an alias."""
    from components.registry.aliases import Kept

    shown = {one.version for one in versions}
    more = [Kept(one, "", tags) for one, tags in held.versions.items() if one not in shown]
    return [*versions, *sorted(more, key=lambda one: -int(one.version))]


def _version(kept: "Kept", held: "Status", routes: Mapping[str, Any]) -> ReleaseVersion:
    from components.registry.aliases import MOVES, ROLLED_BACK
    from components.registry.rollout_tags import LOG
    from pipelines.rollout.status_text import judged

    tags, release = kept.tags, kept.tags.get("id", "")
    arms = [arm for arm in ("stable", "candidate") if release and _release_of(routes, arm) == release]
    return ReleaseVersion(
        version=kept.version,
        release=release,
        created=kept.created,
        aliases=tuple(alias for alias, version in held.holders.items() if version == kept.version),
        serves=arms[0] if arms else "",
        judged=judged(tags),
        gates=_gates(tags),
        moves=tuple(reversed(tags.get(MOVES, "").splitlines())),
        story=tuple(reversed(tags.get(LOG, "").splitlines())),
        taken_back=tags.get(ROLLED_BACK, ""),
    )


def _release_of(routes: Mapping[str, Any], arm: str) -> str:
    """Return the release that an arm leads to, '' without one."""
    return str((routes.get(arm) or {}).get("release", ""))


def _gates(tags: Mapping[str, str]) -> tuple[Gate, ...]:
    """Return what the gates said, those that hold the version back first."""
    from components.registry.release import VERDICT
    from components.verdicts import PASSED, REFUSED, UNDECIDED

    order, skipped = (REFUSED, UNDECIDED, PASSED), "skipped"
    found = []
    for gate in json.loads(tags.get(VERDICT) or "{}").get("gates", []):
        word = skipped if gate.get("skipped") else PASSED if gate["passed"] else gate.get("verdict", REFUSED)
        found.append(Gate(str(gate.get("metric", "")), str(gate.get("cohort") or ""), word, str(gate["reason"])))
    return tuple(sorted(found, key=lambda one: order.index(one.verdict) if one.verdict in order else len(order)))
