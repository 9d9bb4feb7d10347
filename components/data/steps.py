"""The data steps in their frame: spec slice in, folders out, paths and key from the environment.

`component` calls these from Kubeflow; they hold no logic of their own.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from components.data.contract import Verdict, validate
from components.data.ingest import ingest
from components.data.snapshot import Snapshot
from components.data.spec import HORIZON, Data
from components.step import step
from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import ring
from feature_repo.privacy.tombstones import ELSEWHERE, Tombstones

HOME = env_names.HOME
KEY = env_names.PSEUDONYM_KEY
CLOCK = env_names.CLOCK
SPEC_DIR = env_names.SPEC_DIR


def run_ingest(data: str, tables: str) -> Snapshot:
    """Write the `tables` folder of the source that a data slice (JSON) names; it may say the labels' horizon too."""
    with step("ingest") as progress:
        key = os.environ.get(KEY)
        if not key:
            raise SpecError(f"{KEY} is not set: user ids need a key (at least 32 hex digits) to become pseudonyms")
        base = Path(os.environ.get(SPEC_DIR, "."))
        asked = json.loads(data)
        horizon = asked.pop(HORIZON, 1)
        snapshot = ingest(
            Data.model_validate(asked),
            Path(tables),
            key=key,
            base=base,
            home=Path(os.environ[HOME]) if os.environ.get(HOME) else None,
            clock=os.environ.get(CLOCK, "wall"),
            tombstones=_tombstones(),
            horizon=horizon,
            report=progress.at,
        )
        span = {f"{snapshot.calendar.step}s": snapshot.weeks}
        progress.count(rows_out=sum(snapshot.rows.values()), **snapshot.rows, **span, digest=snapshot.digest)
        progress.count(**{name: n for name in ("repeats", "late") if (n := getattr(snapshot, name))})
    return snapshot


def _tombstones() -> Tombstones | None:
    """Open the tombstones of the state folder that the environment names, and those of elsewhere."""
    if not os.environ.get(HOME):
        return None
    return Tombstones(Path(os.environ[HOME]), ring(os.environ), elsewhere=os.environ.get(ELSEWHERE, ""))


def run_validate(
    data: str, tables: str, *, clean: str, report: str, log_metric: Callable[[str, float], None]
) -> Verdict:
    """Write the `clean` folder and the report page; Refused where the contract says no."""
    with step("validate") as progress:
        home = Path(os.environ[HOME]) if os.environ.get(HOME) else None
        destination = Path(clean)
        try:
            verdict = validate(
                Path(tables),
                Data.model_validate_json(data),
                destination,
                clock=os.environ.get(CLOCK, "wall"),
                home=home,
                report=progress.at,
            )
        finally:
            if (page := destination / "contract.html").is_file():
                shutil.copyfile(page, report)
        for table, rows in verdict.kept.items():
            log_metric(f"rows_{table}", rows)
        log_metric("quarantined_events", verdict.quarantined["events"])
        log_metric("cleaned_events", sum(verdict.cleaned.values()))
        log_metric("rules", len(verdict.rules))
        log_metric("warnings", len(verdict.warnings))
        log_metric("undecided", len(verdict.undecided))
        rows_in, rows_out = sum(verdict.rows.values()), sum(verdict.kept.values())
        progress.count(rows_in=rows_in, rows_out=rows_out, **verdict.kept)
        progress.count(passed=verdict.passed, rules=len(verdict.rules), warnings=len(verdict.warnings))
        progress.count(undecided=len(verdict.undecided))
    return verdict
