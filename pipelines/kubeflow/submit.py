"""Run a pipeline on Kubeflow: submit the applied version, follow it, return its outcome as a local run would.

The run belongs to the server: to stop watching stops nothing. Why a step failed is in the registry, where the
pipeline's last step writes it (monitoring/runs/failure.py); where that cannot be read, Kubeflow's message is shown.
"""

import datetime as dt
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.registry.spec import DRY_RUN
from components.verdicts import PASSED, REFUSED, UNDECIDED
from feature_repo.errors import Refused, ServerError, of_code
from pipelines.environment import Installation
from pipelines.graphs import index
from pipelines.kubeflow import client, declare, display_names, recurring, run_verdict
from pipelines.kubeflow.client import Api
from pipelines.kubeflow.compiled import Tasks, compiled
from pipelines.kubeflow.follow import RunEnd, follow

FOLLOW_PATIENCE_S = 600.0  # a run goes on while its server is upgraded
EVERY_S = 2.0
DECIDES = ("decide", "decide_retraining")  # the steps after which a run may train nothing
Observer = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Run:
    """A run on the server, as far as it was followed."""

    run_id: str
    page: str
    pipeline: str
    version: str
    state: str
    passed: bool | None  # its gates; None where they were not asked
    steps: list[dict[str, Any]]
    seconds: float
    dry: bool = False  # nothing was to be changed
    verdict: str = ""  # the word of its gates, '' where the registry does not tell
    baseline: str = ""  # `serves` or `waits` where one was registered in place of what the gates held back

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return dict(vars(self))

    def text(self) -> str:
        """Return it as a person reads it."""
        if self.state == "SUBMITTED":
            return f"submitted, not followed: {self.page}"
        gates = {True: ", gates passed", False: f", gates {self.verdict or REFUSED}", None: ""}[self.passed]
        dry = " (dry run, nothing registered)" if self.dry else ""
        stands_in = f"; a baseline {self.baseline}, since no champion was there" if self.baseline else ""
        return f"{self.pipeline}: {self.state.lower()}{dry}{gates}{stands_in}, in {self.seconds:.0f} s: {self.page}"


def run(
    place: Installation,
    observe: Observer,
    *,
    pipeline: str,
    wait: bool,
    say: Callable[[str], None],
    form: Mapping[str, Any] | None = None,
    every_s: float = EVERY_S,
) -> Run:
    """Submit a run of what was applied; follow it where asked to. Raises what a run on this machine would.

    `form` holds fields of the run form that differ from the spec's.
    """
    chosen = index.pipeline(pipeline)
    start = time.monotonic()
    with client.connected(place) as api, compiled(place, pipeline) as irs:
        ir = irs[pipeline]
        tasks = ir.tasks()
        version = declare.applied(api, place, ir)
        values = chosen.values(place.spec, form or {})
        run_id = _submit(api, place, version, pipeline=pipeline, values=values)
        page = api.page_of(run_id)
        say(page)
        if not wait:
            return Run(run_id, page, pipeline, version.name, "SUBMITTED", None, [], 0.0)
        patient = Api(api.kfp, api.at, api.namespace, api.bearer, FOLLOW_PATIENCE_S)
        ended = follow(patient, run_id, tasks, observe, every_s=every_s)
    seconds = round(time.monotonic() - start, 2)
    passed = _asked(place, run_id, page, tasks) if ended.silent else ended.passed
    dry = _dry(place, values)
    word = run_verdict.gates(place, run_id) if passed is False and not dry else ""
    stands_in = "" if not ended.baseline else "serves" if _mode(place, values) == "auto" else "waits"
    known = _known(word)
    found = Run(run_id, page, pipeline, version.name, ended.state, passed, ended.steps, seconds, dry, known, stands_in)
    _judge(place, found, ended)
    return found


def _submit(api: Api, place: Installation, version: recurring.Version, *, pipeline: str, values: dict[str, Any]) -> str:
    """Submit once: where an answer was lost, the run is looked for by its name before it is asked for again."""
    experiment = recurring.experiment(api, place)
    name = display_names.run(
        place.spec.name,
        pipeline,
        dt.datetime.now(dt.UTC),
        mark=secrets.token_hex(3),
        of_version=version.title,
        dry=_dry(place, values),
    )

    def once() -> str:
        listing = api.kfp.list_runs(experiment_id=experiment, filter=client.named(name), page_size=1)
        for found in listing.runs or []:
            return str(found.run_id)
        made = api.kfp.run_pipeline(
            experiment_id=experiment,
            job_name=name,
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            params=values,
            service_account=api.at.service_account or None,
        )
        return str(made.run_id)

    return api.ask(f"run of {version.name}", once)


def _dry(place: Installation, values: Mapping[str, Any]) -> bool:
    """Tell whether a run changes nothing."""
    return _mode(place, values) == DRY_RUN


def _mode(place: Installation, values: Mapping[str, Any]) -> str:
    """Return who promotes; where the run's form has a mode, that goes before the spec's."""
    return str(values.get("mode") or place.spec.promotion.mode)


def _asked(place: Installation, run_id: str, page: str, tasks: Tasks) -> bool | None:
    """Return what the gates said where Kubeflow does not tell: the registry knows the release of the run."""
    said = run_verdict.gates(place, run_id)
    if not said and any(step in DECIDES for step in tasks.steps.values()):
        return None  # nothing called for a release, and none was made
    if not _known(said):
        away = "does not answer" if said == run_verdict.UNKNOWN else "has no release of it"
        raise ServerError(
            "gates: the run succeeded, but what its gates said is not known: Kubeflow sent no details of its tasks, "
            f"and the registry (mlflow.tracking_uri) {away}; see {page}"
        )
    return said == PASSED


def _known(word: str) -> str:
    """Return what is a verdict, '' for silence."""
    return word if word in (PASSED, REFUSED, UNDECIDED) else ""


def _judge(place: Installation, found: Run, ended: RunEnd) -> None:
    """Raise what the run's end means: 3 for gates that said no, 2 and 1 as the failed step had it."""
    if ended.state == "SUCCEEDED":
        if found.passed is False and found.baseline != "serves":
            if found.dry:
                raise Refused(
                    f"gates: the dry run's models did not pass; the report of `register` says why; {found.page}"
                )
            said = f"did not pass ({found.verdict})" if found.verdict else "did not pass"
            waits = "; a baseline waits, `intentflow promote` lets it serve" if found.baseline else ""
            raise Refused(f"gates: the run's release {said}{waits}; `intentflow status` shows each gate; {found.page}")
        return
    if ended.state == "CANCELED":
        raise ServerError(f"run: it was stopped on the server; {found.page}")
    why = run_verdict.last_failure(place, found.run_id)
    if why is not None:
        raise of_code(int(why.get("code", 1)))(f"{why['step']}: {why['why']}; {found.page}")
    step, words = ended.failed
    raise ServerError(f"{step}: {words}; {found.page}")
