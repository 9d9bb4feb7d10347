"""The steps of the pipelines that touch the registry: register (with the gates) and promote; for scoring, the release
that an alias means and its folder.

Register and promote have side effects outside, so they are never cached, and both may run again at any time: what is
there already stays as it is. The shells for Kubeflow are in component.py.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components import compression, conditions, twins
from components.registry import aliases, champion, gate_metrics, gates, refit, release, search_runs, twin
from components.registry import client as mlflow_client
from components.registry.gate_inputs import Metrics, measured
from components.registry.lineage import PARTS, Folders, Lineage, Result
from components.registry.register import RegisteredParts
from components.registry.register import register as register_result
from components.registry.report import markdown
from components.registry.spec import DRY_RUN, MODES, Promotion
from components.registry.told import told
from components.step import step
from components.verdicts import REFUSED, UNDECIDED
from feature_repo import columns, env_names, files
from feature_repo.errors import DataError, SpecError, nearest
from feature_repo.release_folder import ReleaseFolder

UNREGISTERED = ""  # the release version of a dry run, which writes nothing but its report


def register(
    name: str,
    *,
    folders: Sequence[str],
    lineage: str,
    promotion: str,
    serving: str,
    report: str,
    release_version: str,
    mode: str = "",
    search: str = "",
    champion_folders: Sequence[str] = (),
    log_metric: Callable[[str, float], None] | None = None,
    forecasts: str = "",
    words: str = "",
) -> bool:
    """Register both models, judge them by the gates, make their release, and tell whether every gate passed.

    In a dry run nothing is written but the report: no run, no version, no tag, no alias. `mode` is the run's own and
    goes before that of `promotion`; a pipeline that 0.1 compiled gives none. `folders` are those of `lineage.Folders`,
    in its order, and `forecasts` is the artifact of that name, '' where there is none; `lineage`, `promotion` and
    `serving` are JSON; `report` and `release_version` are files to write.
    `champion_folders` are what the champion's judged twin says on the candidate's rows, by part; `search` is the folder
    of a search's trials, where the spec has one; `words` that of an evaluation of its prompts, where it has a model.
    """
    with step("register") as progress:
        rules, slices = Promotion.model_validate_json(promotion), json.loads(serving)
        mode = mode or rules.mode
        _require_mode(mode)
        at, known = Folders.of(folders, forecasts=forecasts), Lineage.model_validate_json(lineage)
        result = Result.read(at, known)
        segments = result.vocabulary.segments
        candidate = measured(result.metrics, result.served, segments=segments, resamples=result.resamples)
        compared = champion.champion(name)
        if champion_folders:
            places = dict(zip(PARTS, map(Path, champion_folders), strict=True))
            compared = twin.on_same_rows(compared, places, segments=segments)
        verdict = gates.evaluate(rules.gates, candidate, champion=compared)
        if words:
            verdict = verdict.beside(gates.words(files.read_json(Path(words) / "words.json")))
        progress.at(0.1, "gates")
        made, run_id = None, ""
        if mode != DRY_RUN:
            registered = registered_parts(name, at, lineage=known, slices=slices)
            made = _made(name, registered, slices=slices, verdict=verdict, metrics=candidate.overall.values)
            run_id = registered.run_id
            if search:
                progress.count(search_runs=search_runs.log(name, Path(search), run_id=run_id))
            if not (rules.refit and verdict.passed):  # else its refit is what may be promoted
                why = "passed its gates" if verdict.passed else verdict.refusals
                aliases.challenge(name, made.version, passed=verdict.passed, who=aliases.pipeline(), why=why)
        title = f"Release {made.id} of {name} (version {made.version})" if made else f"Dry run of {name}"
        small = compression.read(at.intent)
        with files.written(Path(report)) as aside:
            aside.write_text("\n".join(filter(None, (markdown(verdict, title=title), compression.page(small)))))
        with files.written(Path(release_version)) as aside:
            aside.write_text(made.version if made else UNREGISTERED)
        if log_metric is not None:
            for key, value in shown(verdict, candidate.overall.values).items():
                log_metric(key, value)
        progress.tell(**told(result, verdict, made, run_id=run_id, champion=_champion(name)))
        if small is not None:
            progress.tell(compression=compression.sentence(small))
        progress.count(passed=verdict.passed, verdict=verdict.word, mode=mode, gates=len(verdict.outcomes))
        if not verdict.passed:
            progress.count(refused=verdict.refusals)
        if made:
            progress.count(release=made.id, version=made.version, created=made.created)
    return verdict.passed


def shown(verdict: gates.Verdict, measured_values: Mapping[str, float]) -> dict[str, float]:
    """Return what Kubeflow compares beside the evaluations' figures: the gates, and what serving costs."""
    judged = [outcome for outcome in verdict.outcomes if not outcome.skipped]
    counts = {"gates.judged": len(judged)}
    counts |= {f"gates.{word}": sum(o.verdict == word for o in judged) for word in (REFUSED, UNDECIDED)}
    costs = {name for kind in ("budget", "variant") for name in gate_metrics.of_kind(kind)}
    return {**counts, **{name: value for name, value in measured_values.items() if name in costs}}


def registered_parts(name: str, folders: Folders, *, lineage: Lineage, slices: dict[str, Any]) -> RegisteredParts:
    """Register both models."""
    windows = slices.get("profiles", {}).get("windows_days", columns.WINDOWS_DAYS)
    return register_result(name, folders, lineage=lineage, windows_days=[float(days) for days in windows])


def _made(
    name: str, registered: RegisteredParts, *, slices: dict[str, Any], verdict: gates.Verdict, metrics: Metrics
) -> release.Release:
    """Make the release of both models, with its verdict."""
    with tempfile.TemporaryDirectory() as scratch:
        return release.make(name, registered, serving=slices, verdict=verdict, metrics=metrics, scratch=Path(scratch))


def fetch_twin(name: str, *, clean: str, folder: str) -> None:
    """Fetch the champion's judged twin, where it was judged on other data than `clean`."""
    with step("fetch_twin") as progress:
        with files.written_folder(Path(folder)) as aside:
            found = twin.fetch(name, aside, data=str(files.read_json(Path(clean) / "snapshot.json")["digest"]))
            twins.write(found, aside)
        progress.count(version=found.version, why=found.why)


def register_refit(
    name: str, version: str, *, folders: Sequence[str], lineage: str, serving: str, forecasts: str = ""
) -> str:
    """Register the refit of a judged release and return its version; the judged one's where none was asked for.

    `folders` are those of `lineage.Folders`, the models refitted and the evaluations of their judged twins.
    """
    with step("register_refit") as progress:
        at = Folders.of(folders, forecasts=forecasts)
        if version == UNREGISTERED or not all(conditions.asked(at.model(part)) for part in PARTS):
            progress.count(refitted="")
            return version
        judged, slices = refit.twin(name, version, at), json.loads(serving)
        registered = registered_parts(name, at, lineage=Lineage.model_validate_json(lineage), slices=slices)
        with tempfile.TemporaryDirectory() as scratch:
            made = refit.make(name, registered, judged=judged, serving=slices, scratch=Path(scratch))
        aliases.challenge(name, made.version, passed=made.passed, who=aliases.pipeline(), why=refit.said(judged))
        progress.tell(release={"id": made.id, "version": made.version, "created": made.created}, judged=judged)
        progress.count(refitted=made.version, judged=version, release=made.id, created=made.created)
    return made.version


def promote(name: str, version: str, *, mode: str, why: str) -> str:
    """Make a release the champion where the spec leaves that to the pipeline; return the champion's version or ''."""
    with step("promote") as progress:
        _require_mode(mode)
        outcome = _promoted(name, version, mode=mode, why=why)
        progress.count(champion=outcome.champion, moved=outcome.moved, note=outcome.note)
        progress.tell(champion=outcome.champion, moved=outcome.moved, note=outcome.note, mode=mode)
    return outcome.champion


def _require_mode(mode: str) -> None:
    if mode not in MODES:
        raise SpecError(f"promotion.mode: '{mode}' is none of {', '.join(MODES)}{nearest(mode, list(MODES))}")


def _promoted(name: str, version: str, *, mode: str, why: str) -> aliases.Outcome:
    champion = _champion(name)
    if version == UNREGISTERED:
        return aliases.Outcome(champion, moved=False, note="a dry run: nothing was registered, nothing moves")
    if mode == "manual" and champion != version:
        note = f"version {version} waits as challenger; promote it by hand"
        return aliases.Outcome(champion, moved=False, note=note)
    if mode == "auto" and (taken_back := aliases.rolled_back(name, version)):
        note = f"version {version} was rolled back ({taken_back}); promote it by hand"
        return aliases.Outcome(champion, moved=False, note=note)
    return aliases.promote(name, version, who=aliases.pipeline(), why=why, dry_run=mode == DRY_RUN)


def _champion(name: str) -> str:
    """Return the champion's version, '' where there is none; to look makes no registry."""
    return "" if mlflow_client.unmade() else aliases.status(name).holders.get("champion", "")


class ChosenRelease(NamedTuple):
    """A release to score with: its version, its id, and the time that users are asked about ('': its data's end)."""

    version: str
    release: str
    now: str


def chosen(name: str, which: str) -> ChosenRelease:
    """Resolve an alias or version once; aliases move while a run goes on."""
    with step("champion") as progress:
        if mlflow_client.unmade():
            raise release.unregistered(name)
        with mlflow_client.connected() as client:
            version = release.resolve(client, name, which)
            release_id = str(client.get_model_version(release.model_name(name), version).tags.get("id", ""))
        now = "" if os.environ.get(env_names.CLOCK, "wall") == "data_end" else str(int(time.time()))
        progress.count(which=which, version=version, release=release_id)
        progress.tell(which=which, version=version, release=release_id)
    return ChosenRelease(version, release_id, now)


def fetch_release(name: str, version: str, *, release: str, folder: str) -> None:
    """Assemble a version's folder, which must be the release that was asked for."""
    from components.registry.release import assemble

    with step("fetch_release") as progress:
        found = ReleaseFolder.read(assemble(name, version, Path(folder))).id
        if found != release:
            raise DataError(f"{name}-release {version}: is release {found}, not {release}; run again")
        progress.count(version=version, release=found)
