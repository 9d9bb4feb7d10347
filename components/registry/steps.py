"""The two steps of the pipeline that touch the registry: register (with the gates), and promote.

Both have side effects outside, so they are never cached, and both may run again at any time: what is there already
stays as it is. The shells for Kubeflow are in component.py.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.registry import client as mlflow_client
from components.registry import gates, release
from components.registry import promote as aliases
from components.registry.lineage import Folders, Lineage
from components.registry.register import register as register_result
from components.registry.spec import Promotion
from components.step import step
from feature_repo import artifacts, columns
from feature_repo.errors import SpecError, nearest

MODES = ("auto", "manual", "dry_run")


def register(
    name: str,
    *,
    folders: Sequence[str],
    lineage: str,
    promotion: str,
    serving: str,
    report: str,
    release_version: str,
) -> bool:
    """Register both models, judge them by the gates, make their release, and tell whether every gate passed.

    `folders` are those of `lineage.Folders`, in its order; `lineage`, `promotion` and `serving` are JSON; `report` and
    `release_version` are files to write.
    """
    with step("register") as progress, tempfile.TemporaryDirectory() as scratch:
        rules, slices = Promotion.model_validate_json(promotion), json.loads(serving)
        windows = slices.get("profiles", {}).get("windows_days", columns.WINDOWS_DAYS)
        registered = register_result(
            name,
            Folders(*map(Path, folders)),
            lineage=Lineage.model_validate_json(lineage),
            windows_days=[int(days) for days in windows],
        )
        progress.at(0.8, "gates")
        candidate, baseline = gates.measured(registered.result.metrics)
        champion = aliases.champion_metrics(name)
        verdict = gates.evaluate(rules.gates, candidate, baseline=baseline, champion=champion)
        made = release.make(name, registered, serving=slices, verdict=verdict, metrics=candidate, scratch=Path(scratch))
        if rules.mode != "dry_run":
            why = "passed its gates" if verdict.passed else verdict.refusals
            aliases.challenge(name, made.version, passed=verdict.passed, who=_pipeline(), why=why)
        title = f"Release {made.id} of {name} (version {made.version})"
        with artifacts.written(Path(report)) as aside:
            aside.write_text(verdict.markdown(title=title))
        with artifacts.written(Path(release_version)) as aside:
            aside.write_text(made.version)
        progress.count(release=made.id, version=made.version, passed=verdict.passed, created=made.created)
    return verdict.passed


def promote(name: str, version: str, *, mode: str, why: str) -> str:
    """Make a release the champion where the spec leaves that to the pipeline; return the champion's version or ''."""
    with step("promote") as progress:
        if mode not in MODES:
            raise SpecError(f"promotion.mode: '{mode}' is none of {', '.join(MODES)}{nearest(mode, list(MODES))}")
        outcome = _promoted(name, version, mode=mode, why=why)
        progress.count(champion=outcome.champion, moved=outcome.moved, note=outcome.note)
    return outcome.champion


def _promoted(name: str, version: str, *, mode: str, why: str) -> aliases.Outcome:
    champion = aliases.status(name).holders.get("champion", "")
    if mode == "manual" and champion != version:
        note = f"version {version} waits as challenger; promote it by hand"
        return aliases.Outcome(champion, moved=False, note=note)
    if mode == "auto" and (taken_back := aliases.rolled_back(name, version)):
        note = f"version {version} was rolled back ({taken_back}); promote it by hand"
        return aliases.Outcome(champion, moved=False, note=note)
    return aliases.promote(name, version, who=_pipeline(), why=why, dry_run=mode == "dry_run")


def _pipeline() -> str:
    return f"pipeline ({mlflow_client.user()})"
