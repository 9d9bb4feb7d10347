"""Is the ranker as good as SASRec? RecBole's and RecTools' SASRec and ours on the films that users rated last.

Leave-one-out, full ranking, by the last finished run of movies-loo: each user's last film is to be found among all that
anybody had before the last two; the one before it stops every training. `masked`: films that the user had are in no
list; `unmasked`: they may be. `default` is the spec's own ranker, trained anew for each; `sequence` the self-attention
in it alone. Peers learn the very sequences that our rows hold, in environments of their own, with our torch, one thread
a process; one that has spent `--peer-cpu-s` ends with its epoch, and `ended_by` says so. `fit_cpu_s` is what fitting
took of the processor: ours with neighbours, sources and lists and without the intent model, which the run had trained
before; theirs with the validation that stops it. `ci95` are intervals over users, `ratio` is `default` over the peer,
`cpu_share` its processor time over the peer's.

Letters: U users.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ranking, script, subject
from benchmarks.peers.environments import python_of
from benchmarks.script import Document
from components.ranking import metrics
from components.ranking.examples import Examples
from components.ranking.metrics import K
from components.ranking.sources.sequence import ordered
from components.ranking.spec import ALLOW, FORBID, Ranking
from components.ranking.train import train
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, ServerError

MOVIES = ROOT / "pipelines" / "specs" / "movies-loo.yaml"
KEPT = ROOT / ".intentflow" / "benchmarks"
PEERS = ("recbole", "rectools")
MASKINGS = {"masked": FORBID, "unmasked": ALLOW}
METRICS = (f"recall_at_{K}", f"ndcg_at_{K}")
DEFAULT, SEQUENCE = ranking.DEFAULT, "sequence"
PEER_S = 4 * 3600


@dataclass
class Side:
    """One ranker's lists by seed, [U, K], and what they cost."""

    fit_cpu_s: list[float] = field(default_factory=list)
    by_seed: list[np.ndarray] = field(default_factory=list)
    ended_by: list[str] = field(default_factory=list)  # a peer's trainings: validation, epochs or budget


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge ours and theirs."""
    with subject.subject(asked) as found, tempfile.TemporaryDirectory(prefix="intentflow-movielens-") as scratch:
        maskings = [name for name in MASKINGS if asked.masking in (name, "both")]
        if asked.quick:
            maskings = ["unmasked"]  # everything repeats in the small world
        sides: dict[str, dict[str, Side]] = {name: {} for name in maskings}
        for masking in maskings:
            spec = found.ranking.model_copy(update={"repeat": MASKINGS[masking]})
            for name, one in _specs(spec).items():
                if asked.only and name not in asked.only:
                    continue
                sides[masking][name] = _ours(found, one, name=f"{name}, {masking}", seeds=asked.seeds)
        world = ranking._world(found, found.ranking)
        judged, n_items = ranking._test(world), world.vocabulary.items.num_rows
        skipped = {name: "not asked for" for name in PEERS if asked.only and name not in asked.only}
        if asked.quick:
            skipped = dict.fromkeys(PEERS, "needs an environment of its own")
        else:
            path = Path(scratch) / "sequences.npz"
            sequences = sequences_of(judged)
            np.savez(path, items=np.concatenate(sequences), offsets=np.cumsum([0, *map(len, sequences)]))
            for name in (one for one in PEERS if one not in skipped):
                try:
                    theirs = _theirs(name, path, asked)
                except (ServerError, subprocess.TimeoutExpired) as error:  # what the others cost is not lost
                    skipped[name] = f"failed: {error}"
                    continue
                for masking in sides:
                    sides[masking][name] = theirs[masking]
    told = {masking: _document(mine, judged, n_items) for masking, mine in sides.items()}
    return {
        "recommender": found.name,
        "protocol": "leave-one-out, full ranking",
        "users": len(judged),
        "items": n_items,
        "seeds": asked.seeds,
        "skipped": skipped,
        "maskings": told,
    }


def _specs(spec: Ranking) -> dict[str, Ranking]:
    """Name the rankers of ours: the spec's own, and the self-attention alone."""
    return {DEFAULT: spec} | ({} if spec.algorithm == SEQUENCE else {
        SEQUENCE: spec.model_copy(update={"algorithm": SEQUENCE, "start": None})
    })  # fmt: skip


def _ours(found: subject.Subject, spec: Ranking, *, name: str, seeds: int) -> Side:
    side = Side()
    for seed in range(seeds):
        script.note(f"{name}, seed {seed} …")
        seeded = spec.model_copy(update={"seed": spec.seed + seed})
        world = ranking._world(found, seeded)
        start = time.process_time()
        ranker = train(world, seeded).ranker
        side.fit_cpu_s.append(time.process_time() - start)
        side.by_seed.append(ranking._of_ranker(ranker, world)[0])
    return side


def sequences_of(examples: Examples) -> list[np.ndarray]:
    """Return each row's items in the order in which the user had them, the wanted one last."""
    if (number := np.diff(examples.bought.offsets)).max(initial=1) > 1:
        raise DataError(f"rows: a test row has {number.max()} items to find; say a spec of `split: leave_one_out`")
    items, at = examples.rows.lists["history_items"], examples.rows.lists["history_last_at"]
    return [np.append(ordered(items.row(b), at.row(b)), examples.bought.row(b)) for b in range(len(examples))]


def _theirs(peer: str, sequences: Path, asked: argparse.Namespace) -> dict[str, Side]:
    """Let a peer learn and list, by masking."""
    python, sides = python_of(peer, KEPT), {name: Side() for name in MASKINGS}
    script.note(f"{peer} …")
    told = Path(__file__).parent / "peers" / f"with_{peer}.py"
    for seed in range(asked.seeds):
        lists = sequences.with_name(f"{peer}-{seed}.npz")
        command = [str(python), str(told), str(sequences), str(lists), str(asked.epochs), str(seed),
                   str(asked.peer_cpu_s)]  # fmt: skip
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=alone, cwd=sequences.parent, capture_output=True, text=True,
                              timeout=PEER_S, check=False)  # fmt: skip
        if done.returncode:
            raise ServerError(f"{peer}: {(done.stderr.strip() or 'no reason').splitlines()[-1]}")
        cost = json.loads(done.stdout.splitlines()[-1])
        script.note(f"{peer}, seed {seed}: {cost}")
        with np.load(lists) as found:
            for masking, side in sides.items():
                side.by_seed.append(found[masking])
                side.fit_cpu_s.append(float(cost["fit_cpu_s"]))
                side.ended_by.append(str(cost["ended_by"]))
    return sides


def _document(sides: Mapping[str, Side], examples: Examples, n_items: int) -> Document:
    """Judge all lists; a side's value of a row is the mean over its seeds."""
    values: dict[str, dict[str, np.ndarray]] = {}
    document: dict[str, dict[str, Any]] = {}
    for name, side in sides.items():
        each = [metrics.per_row(lists, examples.bought, n_items) for lists in side.by_seed]
        values[name] = {METRICS[0]: np.mean([one.recall for one in each], axis=0),
                        METRICS[1]: np.mean([one.ndcg for one in each], axis=0)}  # fmt: skip
    everyone = np.ones(len(examples), dtype=bool)
    for name, side in sides.items():
        cpu = float(np.mean(side.fit_cpu_s))
        document[name] = {metric: round(float(value.mean()), 5) for metric, value in values[name].items()} | {
            "fit_cpu_s": round(cpu, 2),
            "ci95": metrics.intervals(values[name], examples.rows.user_id, everyone),
        }
        if side.ended_by:
            document[name]["ended_by"] = side.ended_by
        if name == DEFAULT or DEFAULT not in sides:
            continue
        apart = {metric: values[DEFAULT][metric] - value for metric, value in values[name].items()}
        document[name]["default_less"] = metrics.intervals(apart, examples.rows.user_id, everyone)
        document[name]["ratio"] = script.ratios(document[DEFAULT], document[name], METRICS)
        document[name]["cpu_share"] = round(document[DEFAULT]["fit_cpu_s"] / cpu, 3) if cpu else None
    return document


def text(document: Document) -> str:
    """Write a table a masking."""
    parts = [
        f"{document['recommender']}: {document['protocol']}, {document['users']} users, {document['items']} items, "
        f"{document['seeds']} seeds"
    ]
    for masking, found in document["maskings"].items():
        lines = [
            [name, *(ranking._cell(one, metric) for metric in METRICS), one["fit_cpu_s"],
             *((one.get("ratio") or {}).get(metric) for metric in METRICS), one.get("cpu_share"),
             " ".join(one.get("ended_by", []))]
            for name, one in found.items()
        ]  # fmt: skip
        head = [
            masking,
            *METRICS,
            "fit CPU-s",
            *(f"ours by it, {metric}" for metric in METRICS),
            "our CPU by its",
            "ended by",
        ]
        parts.append(script.table(head, lines))
    return "\n\n".join([*parts, *(f"{name}: {why}" for name, why in document["skipped"].items())])


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.set_defaults(spec=MOVIES)
    switches.add_argument("--seeds", type=int, default=1, help="trainings a side")
    switches.add_argument("--masking", choices=(*MASKINGS, "both"), default="both", help="what lists may hold")
    switches.add_argument("--only", action="append", default=[], choices=(DEFAULT, SEQUENCE, *PEERS),
                          help="a side to measure; may be repeated; left out: all")  # fmt: skip
    switches.add_argument("--epochs", type=int, default=30, help="of a peer, at most; validation stops it earlier")
    switches.add_argument("--peer-cpu-s", type=int, default=1800, help="of a peer's training, in processor seconds")
    script.main(switches, measure, text)
