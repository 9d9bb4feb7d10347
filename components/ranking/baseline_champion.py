"""The ranking part of a baseline champion: a baseline in the ranker's place, or the ranker where its own gates passed.

Runs after the gates held a first candidate back, which name what is replaced. What it leaves is what training and
evaluation leave, so that it is registered, served and compared with in the ordinary way. A ranker that stays is judged
anew, since the intents that it now gets may be a baseline's.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from components.ranking import examples
from components.ranking.baseline_net import BaselineNet
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.steps import TRAINING, judge, users_key
from components.step import step
from feature_repo import fallback, files

PART = "ranking"


def run_baseline_ranking(
    ranking: str,
    baselines: str,
    *,
    rows: str,
    intent: str,
    ranker: str,
    baseline_ranker: str,
    baseline_evaluation: str,
) -> None:
    """Write the model folder and the evaluation of the ranking part that serves; `baselines` is JSON by part."""
    with step("baseline_ranking") as progress:
        spec = Ranking.model_validate_json(ranking)
        name = str(json.loads(baselines).get(PART, ""))
        with files.written_folder(Path(baseline_ranker)) as folder:
            if name:
                write(folder, name, instead_of=Path(ranker))
            else:
                shutil.copytree(ranker, folder, dirs_exist_ok=True)
        world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
        found, _ = judge(Path(baseline_ranker), world, Path(baseline_evaluation), rows=Path(rows), report=progress.at)
        progress.count(baseline=name, rows_in=int(found.test["rows"]), ndcg_at_10=found.test["ndcg_at_10"])


def write(folder: Path, name: str, *, instead_of: Path) -> None:
    """Write a baseline's model folder; items, neighbours and candidates are those of the ranker that was trained."""
    replace(Ranker.load(instead_of), net=BaselineNet(name), features=()).save(folder)
    files.copied(instead_of, folder, [fallback.FILE])
    files.write_json(folder / TRAINING, {"baseline": name, "epochs": []})
