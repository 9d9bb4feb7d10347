"""The reconciliation loop: observe, decide (`state_machine.py`), act (`actuator.py`), record; again.

It brings serving to the champion alias of <name>-release, whoever moved it, in MLflow's UI or by API. The registry
holds all of its state (`components/registry/rollout_tags.py`), so it may be killed at any point and the next loop
continues. Of all loops of a recommender only the holder of the lease acts.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from components.registry import aliases
from components.registry import rollout_tags as registry
from components.registry.rollout_tags import Registry
from feature_repo.errors import DataError, Refused, ServerError, UserError
from pipelines.environment import Installation
from pipelines.leases.lease import Lease, LeaseLost
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import experiments, webhooks
from pipelines.rollout.actuator import Actuator, Rewarded
from pipelines.rollout.decision import Act, Decision, Facts
from pipelines.rollout.mending import ANY, beside, noticed, turned
from pipelines.rollout.metrics import LoopMetrics, exported
from pipelines.rollout.outcomes import Outcomes
from pipelines.rollout.state import State
from pipelines.rollout.state_machine import backends, decide, failed

EVERY_S = 2.0
LOOKS = 50  # at most in one reconciliation: more means that two decisions undo each other
WHO = "rollout"
TOKEN = "token"  # of the state in the registry: the lease under which it was written
Say = Callable[[str], None]


@dataclass(frozen=True)
class Reconciliation:
    """What one pass of the loop did: all that needs no traffic and no waiting."""

    state: State
    lines: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"lines": list(self.lines), **_public(self.state)}

    def text(self) -> str:
        """Return it as a person reads it."""
        return "\n".join([*self.lines, _state_text(self.state)])


class Notices:
    """What was said of what others changed: once while it lasts."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, ""

    def tell(self, name: str, state: State, notice: str) -> None:
        """Say what differs, and write it on the version that must serve."""
        if notice and notice != self._last:
            self._say(f"noticed: {notice}")
            if served := state.stable or state.candidate:
                registry.say(name, served.version, phase="", line=f"noticed: {notice}")
        self._last = notice


def actuator_of(place: Installation) -> Actuator:
    """Return the actuator for this environment: the laptop's, or that of a Kubernetes namespace."""
    if place.environment.kubernetes.namespace:
        from pipelines.manifests import release_overlay
        from pipelines.rollout.cluster import ClusterActuator

        settings = place.environment.kubernetes
        release_overlay.require_namespace(settings.overlay, settings.namespace)
        cluster: Actuator = ClusterActuator(place)
        return cluster
    from pipelines.rollout.laptop import LaptopActuator

    return LaptopActuator(place)


def reconcile(place: Installation, *, watch: bool, every_s: float = EVERY_S, say: Say = print) -> Reconciliation:
    """Reconcile once, or until SIGTERM or Ctrl-C; a rollout under way stays for the next loop."""
    actuator = actuator_of(place)
    if not watch:
        with held(place) as lease:
            return once(place, actuator, lease, say=say)
    stop = webhooks.Alarm()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with exported(place) as metrics, webhooks.waking(place, stop, say=say):
        follow(place, actuator, every_s=every_s, say=say, stop=stop, metrics=metrics)
    with variables(place):
        return Reconciliation(look(place, actuator)[0], ())


def once(
    place: Installation,
    actuator: Actuator,
    lease: Lease,
    *,
    say: Say = lambda _: None,
    notices: Notices | None = None,
    eager: bool = False,
) -> Reconciliation:
    """Reconcile once: look, decide and act until only traffic or time can bring the rollout further.

    An `eager` one tries a release that is held at once.
    """
    lines: list[str] = []
    notices = notices or Notices(say)
    with variables(place):
        actuator.under(lease.token)
        actuator.tend()
        for _ in range(LOOKS):
            state, facts = look(place, actuator)
            if eager:
                state, eager = replace(state, retry_at=0.0), False
            decision = decide(state, facts, place.spec.promotion.rollout)
            notices.tell(place.spec.name, state, decision.notice)
            decision = _acted(place, actuator, lease, decision, state, champion=facts.registry.champion)
            lease.require()
            if decision.state != state:
                _written(place, decision.state, lease)
            if decision.line:
                phase = _phase(decision, place)
                registry.say(place.spec.name, decision.about, phase=phase, line=decision.line)
                lines.append(f"version {decision.about}: {decision.line}")
                say(lines[-1])
            if not decision.again:
                return Reconciliation(decision.state, tuple(lines))
    raise RuntimeError(f"the rollout does not settle: {lines[-4:]}")


def look(place: Installation, actuator: Actuator) -> tuple[State, Facts]:
    """Return the recorded state and the facts; the registry is read first, since nothing is decided without it."""
    found: Registry = registry.read(place.spec.name)
    state = State.of(found.state)
    watching = state.phase in ("shadow", "canary")
    rewards: dict[str, Rewarded] = {}
    if state.phase == "canary" and state.candidate and state.stable:
        both = (state.stable.release, state.candidate.release)
        rewards = dict(actuator.rewards(both, since_s=state.began))
    seen = actuator.observe() if watching else None
    running, routes, door = actuator.running(), actuator.routed(), actuator.overlay_door()
    outcomes = None
    if (tried := state.experiment) is not None and tried.phase == "running" and state.candidate is None:
        rules = tried.rules
        try:
            outcomes = actuator.outcomes(tried.of_release(), rules.kpi, rules.covariates, since_s=tried.since)
        except DataError as error:  # of the experiment alone: what serves is kept up all the same
            outcomes = Outcomes({}, broken=" ".join(str(error).split()))
    return state, Facts(found, running, routes, seen, time.time(), rewards, door, outcomes)


def _acted(
    place: Installation, actuator: Actuator, lease: Lease, decision: Decision, state: State, *, champion: str
) -> Decision:
    """Execute the acts in order; a failure that is the release's becomes another decision, with its reason."""
    actuator.meanwhile(_Meanwhile(place, actuator, lease, state, champion))
    for act in decision.acts:
        lease.require()
        try:
            _act(place.spec.name, actuator, act, state)
        except (LeaseLost, Superseded):
            raise
        except (UserError, Refused, ServerError) as error:
            why = " ".join(str(error).split())
            passing = not isinstance(error, UserError | Refused)
            if (ends := experiments.failed(state, act, why, passing=passing)) is not None:
                return ends
            if state.candidate is None or state.phase == "rolling_back" or _of_stable(act, state):
                if served := state.stable:
                    registry.say(place.spec.name, served.version, phase="", line=f"waits: {why}")
                raise ServerError(f"what serves cannot be kept up: {why}") from error
            registry.read(place.spec.name)  # raises where the registry is away: the release is not to blame
            return failed(state, why, now=time.time(), passing=passing)
        _record(place, act)
    return decision


class Superseded(ServerError):
    """What was waited for is not wanted any more: the champion moved meanwhile."""


class _Meanwhile:
    """What the loop looks after while a verb waits for a door or a Job."""

    def __init__(self, place: Installation, actuator: Actuator, lease: Lease, state: State, champion: str) -> None:
        self._place, self._actuator, self._lease = place, actuator, lease
        self._state, self._champion = state, champion
        self._looked_at = time.monotonic()

    def __call__(self) -> None:
        """Keep users on a door that is ready, and end the wait where the lease or the champion has gone elsewhere."""
        self._lease.require()
        if time.monotonic() - self._looked_at < EVERY_S:
            return
        self._looked_at = time.monotonic()
        running = self._actuator.running()
        if turned(self._state, running, self._actuator.routed()):
            routes = backends(self._state, Act("route", mode=ANY), running)
            if routes is not None:
                self._actuator.route(routes)
        champion = self._champion
        with contextlib.suppress(ServerError):  # a registry that is away ends no wait
            champion = registry.read(self._place.spec.name).champion
        if champion != self._champion:
            raise Superseded(f"the champion moved to {f'version {champion}' if champion else 'nobody'} meanwhile")


def _of_stable(act: Act, state: State) -> bool:
    """Tell whether an act keeps stable up: where it fails, the candidate is not to blame."""
    return state.stable is not None and act.what in (state.stable.version, state.stable.release)


def _written(place: Installation, state: State, lease: Lease) -> None:
    """Write the state unless a later holder wrote one; MLflow has no compare-and-swap, so this reads, then writes."""
    last = int(registry.read(place.spec.name).state.get(TOKEN, 0))
    if last > lease.token:
        raise LeaseLost(f"the registry's state was written under token {last}, this loop's is {lease.token}")
    registry.write(place.spec.name, state.document() | {TOKEN: lease.token})


def _act(name: str, actuator: Actuator, act: Act, state: State) -> None:
    if act.verb == "route":
        routes = backends(state, act, actuator.running())
        if routes is None:
            raise ServerError("no door runs that could answer")
        if routes.candidate is not None and state.stable is not None and state.candidate is not None:
            shared = registry.same_vocabulary(name, state.stable.version, state.candidate.version)
            routes = routes.model_copy(update={"shared": shared})
        if routes.arms and state.experiment is not None:
            versions = {arm.version for arm in state.experiment.arms}
            routes = routes.model_copy(update={"shared": registry.same_vocabulary(name, *versions)})
        actuator.route(routes)
    elif act.verb == "stop":
        if needed := serves(act.what, actuator):
            raise ServerError(f"release {act.what} is not stopped: {needed}")
        actuator.stop(act.what)
    elif act.verb == "retire":
        _retire(actuator, state)
    elif act.verb in ("prepare", "check", "start", "materialise"):
        getattr(actuator, act.verb)(act.what)
    elif act.verb == "prune":
        actuator.prune()


def serves(release: str, actuator: Actuator) -> str:
    """Say why a release must run on, whatever was decided: read anew, since anybody may have routed or scaled.

    The first rule of the loop: it never takes away what serves while nothing else is ready.
    """
    routes, running = actuator.routed(), actuator.running()
    if routes is not None and release == routes.stable.release:
        return "the routes lead to it"
    if release in running and len(running) == 1:
        return "it is the only one that runs"
    return ""


def _retire(actuator: Actuator, state: State) -> None:
    """Stop the overlay's door, unless a route came to lead to it, or stable's own door was lost, since the decision."""
    if beside(state, actuator.running(), actuator.overlay_door(), actuator.routed()):
        actuator.retire()


def _record(place: Installation, act: Act) -> None:
    """Execute a registry act; a version that a person deleted meanwhile shows up at the next look."""
    name = place.spec.name
    with registry.absent(f"version {act.what}"):
        if act.verb == "notice":
            aliases.notice(name)
        elif act.verb == "previous":
            aliases.keep_previous(name, act.what, who=WHO, why=act.why)
        elif act.verb == "take_back":
            aliases.take_back(name, act.what, to=act.to, who=WHO, why=act.why)
        elif act.verb == "settle":
            registry.settle(name, act.what)
        elif act.verb == "promote":
            try:
                aliases.promote(name, act.what, who=WHO, why=act.why)
            except Refused as refusal:
                registry.say(name, act.what, phase="", line=f"not promoted: {refusal}")


def follow(
    place: Installation,
    actuator: Actuator,
    *,
    every_s: float = EVERY_S,
    say: Say = print,
    stop: threading.Event,
    metrics: LoopMetrics | None = None,
) -> None:
    """Reconcile every few seconds until `stop` is set; while another loop holds the lease, wait for it."""
    said, metrics, notices = "", metrics or LoopMetrics(place.spec.name), Notices(say)
    while not stop.is_set():
        try:
            with held(place) as lease:
                while not stop.is_set():
                    problem = _reconciled(place, actuator, lease, say=say, metrics=metrics, notices=notices)
                    if problem and problem != said:
                        say(problem)
                    said = problem
                    stop.wait(every_s)
        except Refused as refusal:
            if str(refusal) != said:
                say(said := str(refusal))
            stop.wait(every_s)


def _reconciled(
    place: Installation, actuator: Actuator, lease: Lease, *, say: Say, metrics: LoopMetrics, notices: Notices
) -> str:
    """Reconcile once; return why it could not be done, '' where it was."""
    try:
        metrics.reconciled(once(place, actuator, lease, say=say, notices=notices).state)
    except Superseded as moved:
        return f"looks again: {moved}"
    except ServerError as error:
        metrics.waited()
        return f"waiting: {error}"
    with variables(place):
        metrics.marked()
    return ""


def summary(place: Installation) -> dict[str, Any]:
    """Return the rollout's state and what serves, for `intentflow status`."""
    actuator = actuator_of(place)
    with variables(place):
        state, facts = look(place, actuator)
    routes = None if facts.routes is None else facts.routes.model_dump(mode="json")
    return {
        **_public(state),
        "routes": routes,
        "running": dict(facts.running),
        "notice": noticed(state, facts.running, facts.overlay_door, facts.routes),
        "text": _state_text(state),
    }


def recorded(place: Installation) -> dict[str, Any]:
    """Return the rollout's state as the registry has it; asks no cluster and no door."""
    with variables(place):
        state = State.of(registry.read(place.spec.name).state)
    return {**_public(state), "text": _state_text(state)}


def _public(state: State) -> dict[str, Any]:
    document = state.document()
    return {
        key: document[key]
        for key in ("phase", "rollout", "stable", "candidate", "previous", "step", "held", "why", "last")
    } | {key: document[key] for key in ("experiment", "tried") if key in document}


def _state_text(state: State) -> str:
    """Describe what serves and which rollout is under way."""
    stable = f"stable: {state.stable}" if state.stable else "nothing serves yet"
    if state.candidate is None and state.experiment is not None:
        return f"{stable}; experiment {state.experiment.key}: {state.experiment.phase}"
    if state.candidate is None:
        return f"{stable}; no rollout under way"
    step = f" step {state.step + 1}" if state.phase == "canary" else ""
    held = f", held: {state.why}" if state.held and state.why else ""
    return f"{stable}; rollout {state.rollout} of {state.candidate}: {state.phase.replace('_', ' ')}{step}{held}"


def _phase(decision: Decision, place: Installation) -> str:
    """Name the phase of the version that a decision is about."""
    state = decision.state
    if state.candidate is None and decision.line.startswith("experiment "):
        return state.experiment.key if state.experiment is not None else str(state.tried.get("result", ""))
    if state.candidate is None:
        return str(state.last.get("result", "stable")).replace("_", " ")
    if state.phase == "canary":
        return f"canary {place.spec.promotion.rollout.steps[state.step]:.0%}"
    return state.phase.replace("_", " ")
