"""A dry run changes nothing, anywhere: everything that a run may change is listed before and after, for every pipeline.

Listed are the rows of every database (registry, Feast's registry, the online store), every other file of the state
folder (the drift workspace, marks, the last run) and what the alert webhook was sent. The same runs in mode `auto`
change them, so the list can differ.
"""

import hashlib
import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bentos.release import Release
from components.policy import reward_table
from components.policy.rewards import Kpi
from feature_repo import columns, files
from pipelines.environment import place as find_place
from pipelines.graphs import index
from pipelines.releases import release as releases
from tests.pipelines.conftest import Shop, open_shop
from tests.pipelines.runs.step_lines import problems
from tests.policy.explored import SPEC as EXPLORER
from tests.policy.explored import lines, rewarded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OWN = ("runs", "logs", "progress.jsonl", "error.json", "outcome.json", "run.lock")  # a run's own folder and files
# What reading the source keeps, in any mode (docs/pipelines.md): which rows are known since when, and the verdict on
# them. Steps that read are cached, so a later run would not write them.
READING = ("arrivals", "contract")
SECRETS = "secrets"  # made by the first command of a recommender, whichever it is
EASY = {"gates": [{"metric": "intent.bce", "against": "value", "limit": 100.0}]}
HARD = {"gates": [{"metric": "intent.bce", "against": "value", "limit": 1e-9}]}
DRY = ("--mode", "dry_run")
OTHER_MODEL: dict[str, Any] = {"ranking": {"min_item_sessions": 3}}


@dataclass
class Watched:
    """A shop whose alerts go to a webhook that listens."""

    shop: Shop
    alerts: list[bytes] = field(default_factory=list)

    def effects(self) -> dict[str, str]:
        """Return by name what every run could change: a digest of it."""
        found = {"webhook": str(len(self.alerts))}
        for path in sorted(p for p in self.shop.home.rglob("*") if p.is_file()):
            name = str(path.relative_to(self.shop.home))
            if name.partition("/")[0] in (*OWN, *READING, SECRETS) or name.endswith(("-wal", "-shm")):
                continue
            if path.read_bytes()[:15] == b"SQLite format 3":
                found |= {f"{name}: {table}": rows for table, rows in _tables(path).items()}
            else:
                found[name] = files.file_digest(path)
        return found

    def changed(
        self, *, pipeline: str, mode: str, form: tuple[str, ...] = (), code: int = 0, **spec: Any
    ) -> tuple[set[str], str]:
        """Run a pipeline and name what differs after it; returns what it said as well. `form`: fields, as options."""
        gates = spec.pop("promotion", EASY)
        self.shop.edit(
            promotion=gates | {"mode": mode}, monitoring={"min_rows": 20, "share": 0.01, "psi": 0.01}, **spec
        )
        before = self.effects()
        done = self.shop.here("run", str(self.shop.spec), "--pipeline", pipeline, *form)
        assert done.returncode == code, done.stderr
        newest = max((self.shop.home / "logs").glob("run-*.log"), key=lambda path: path.stat().st_mtime_ns)
        assert list(problems(newest)) == []  # these runs have every step of every pipeline
        after = self.effects()
        return {key for key in before | after if before.get(key) != after.get(key)}, done.stdout + done.stderr


def _tables(path: Path) -> dict[str, str]:
    """Digest the rows of every table that has some."""
    with sqlite3.connect(path) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: sorted(map(repr, db.execute(f'SELECT * FROM "{name}"'))) for name in names}
    return {name: hashlib.sha256("\n".join(found).encode()).hexdigest()[:12] for name, found in rows.items() if found}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A shop without any state."""
    found = Watched(open_shop(tmp_path_factory.mktemp("dry")))

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.alerts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTENTFLOW_ALERT_URL", f"http://127.0.0.1:{server.server_port}/alert")
        yield found
    server.shutdown()
    server.server_close()


def _impossible(shop: Shop) -> dict[str, Any]:
    """Return the data slice with a split that the data is too short for: the step `profiles` refuses it."""
    data: dict[str, Any] = yaml.safe_load(shop.spec.read_text())["data"]
    return data | {"split": {"warmup_weeks": 50, "validate_weeks": 1, "test_weeks": 1}}


def _shown(shop: Shop) -> None:
    """Declare a policy, and leave answers that were shown greedily with what came of them: a first explorer enters."""
    shop.edit(policy=EXPLORER | {"candidates": 20, "guard": {"share": 0.5}})
    (shop.home / columns.REQUESTS_FOLDER).mkdir(exist_ok=True)
    place = find_place(shop.spec, "local", variables=shop.environment())
    with releases.variables(place):
        serves = Release.load(releases.assembled(place, releases.resolved(place))).id
    told = {"release": serves, "probabilities": []}  # of no model, so no sample of drift
    answers = [line | told for line in lines(40, greedy=True)]
    log = shop.home / columns.REQUESTS_FOLDER / "2026-11-01.00001.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in answers))
    rng = np.random.default_rng(0)
    reward_table.write(shop.home, [rewarded(line, rng, likes_last=True) for line in answers], [Kpi("purchase", 3600)])


def test_no_dry_run_changes_anything_and_the_same_runs_in_auto_do(watched: Watched, warm_steps: None) -> None:
    changed, said = watched.changed(pipeline="train", mode="dry_run")
    assert changed == set()
    assert "dry run, gates passed" in said
    changed, said = watched.changed(pipeline="train", mode="dry_run", promotion=HARD, code=3)
    assert changed == set()
    assert "the dry run's models did not pass (refused), nothing was registered: intent.bce" in said
    assert watched.changed(pipeline="retrain", mode="dry_run")[0] == set()
    assert not (watched.shop.home / "mlflow").exists()  # not even an empty registry

    changed, _ = watched.changed(pipeline="train", mode="auto")
    registry = ("experiments", "runs", "registered_models", "model_versions", "registered_model_aliases")
    assert {f"mlflow/mlflow.db: {table}" for table in registry} < changed
    places = {name.partition("/")[0] for name in changed}
    assert {"mlflow", "feast", "evidently", "marks", "run.json"} <= places

    _shown(watched.shop)
    for pipeline in index.PIPELINES:
        assert watched.changed(pipeline=pipeline, mode="dry_run")[0] == set(), pipeline
    for pipeline in ("train", "retrain"):  # the spec promotes, who starts the run does not
        assert watched.changed(pipeline=pipeline, mode="auto", form=DRY)[0] == set(), pipeline
    aliases = "mlflow/mlflow.db: registered_model_aliases"
    changed, said = watched.changed(pipeline="train", mode="manual", models=OTHER_MODEL)
    assert {"mlflow/mlflow.db: model_versions", aliases, "run.json"} <= changed  # it registers the challenger
    assert "version 2 passed and waits" in said
    changed, said = watched.changed(pipeline="policy", mode="auto")
    assert {"mlflow/mlflow.db: model_versions", aliases, "run-policy.json"} <= changed, said
    changed, _ = watched.changed(pipeline="batch", mode="auto")
    assert {"marks/job.batch.json", "run-batch.json"} <= changed
    changed, _ = watched.changed(pipeline="retrain", mode="auto")
    assert {"marks/job.retrain.json", "marks/drift.json"} <= changed

    data = _impossible(watched.shop)
    assert watched.changed(pipeline="train", mode="dry_run", data=data, code=2)[0] == set()
    assert watched.changed(pipeline="train", mode="auto", form=DRY, data=data, code=2)[0] == set()
    changed, _ = watched.changed(pipeline="train", mode="auto", data=data, code=2)
    assert changed == {"webhook", "marks/job.train.json", "marks/last_failure.json"}
