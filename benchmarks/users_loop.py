"""Explore, learn, judge and promote on a shop of real baskets, over HTTP, with users whose wants are known.

`benchmarks.real_users --loop FOLDER` fits the users and starts it. FOLDER keeps what is done, a stage and a round at a
time: a script that is killed at any point goes on there. Its verbs end with it; the files of the shop are written once,
since the run's cache knows a source by its files' times; a network that was training goes on from its checkpoint.
Whoever learns reads nothing but the door's log: the fitted wants are known to the users' side alone.
"""

import csv
import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import script
from benchmarks.script import Document

if TYPE_CHECKING:
    from benchmarks.real_users import Fitted

PR_SET_PDEATHSIG = 1  # of prctl(2)
POLICY: dict[str, Any] = {
    "name": "softmax",
    "temperature": 3.0,
    "candidates": 30,
    "guard": {"share": 0.6},
    "rewards": [{"name": "bought", "event": ["purchase"], "within": "1m"}],
    "learn": {"least_ess": 100, "temperature": 0.5},
}
WORSE = 100.0  # temperature of a policy that shows lists at random
GATES = [{"metric": "intent.bce", "against": "value", "limit": 100.0}]
CHECKPOINT = {"checkpoint": {"every": 25}}
MODELS = {  # small: what is measured is the loop
    "intent": {"architecture": "cnn", "width": 16, "epochs": 3, "trainer": CHECKPOINT},
    "ranking": {"train_weeks": 8, "test_every_weeks": 4, "epochs": 2, "trainer": CHECKPOINT},
}
ROUNDS = {"greedy": 2, "explore": 8, "learned": 6}  # times that each household asks
STAGES = ("files", "train", "greedy", "explorer", "explore", "learn", "learned", "worse")
RIPE_S = 61.0  # until the last answer's minute is over
VERB_S = 1800.0
Z = 1.96  # standard errors of a 95 % interval


class Loop:
    """The stages, each done once."""

    def __init__(self, folder: Path, of: "Fitted") -> None:
        from tests.pipelines.conftest import Shop

        self.folder, self.of, self.users = folder, of, of.users()
        folder.mkdir(parents=True, exist_ok=True)
        self.shop: Shop = Shop(folder)
        self.kept = folder / "loop.json"
        self.done: dict[str, Any] = json.loads(self.kept.read_text()) if self.kept.is_file() else {}
        self.rounds: dict[str, list[Document]] = self.done.setdefault("rounds", {})
        self.judged: dict[str, Document] = self.done.setdefault("judged", {})

    def go_on(self, last: str) -> Document:
        """Do what is not done, up to and with a stage; return what is known."""
        for stage in STAGES[: STAGES.index(last) + 1]:
            if stage not in self.done:
                script.note(stage)
                began, cpu = time.monotonic(), script.child_cpu_s()
                self.done[stage] = getattr(self, f"_{stage}")() | {
                    "seconds": round(time.monotonic() - began, 1), "cpu_s": round(script.child_cpu_s() - cpu, 1)
                }  # fmt: skip
                self._keep()
        return self.found()

    def found(self) -> Document:
        """Return values, regret by round and verdicts of the stages that are done."""
        best = np.asarray(self.users.best_each)
        played = {name: _worth(rounds, best) for name, rounds in self.rounds.items() if rounds}
        stages = {name: self.done[name] for name in STAGES if name in self.done}
        return {"stages": stages, "best": round(float(best.mean()), 4), "played": played}

    def _keep(self) -> None:
        from feature_repo import files

        files.write_json(self.kept, self.done)

    def _files(self) -> Document:
        """Write the shop's files and its spec."""
        listed = [
            {"sku": item, "title": f"{category.capitalize()} {item}", "category": category}
            for item, category in zip(self.of.items, self.of.categories, strict=True)
        ]
        for name, rows in (("orders", self.of.lines), ("products", listed)):
            with (self.folder / f"{name}.csv").open("w", newline="") as stream:
                writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        files = [str(self.folder / "orders.csv"), "--items", str(self.folder / "products.csv")]
        mapping = ["--map", "timestamp=bought_at", "--map", "user_id=customer", "--force"]
        self._ran("init", *files, "--name", "shop", *mapping, "--output", str(self.shop.spec))
        self.shop.edit(promotion={"gates": GATES}, models=MODELS)
        return {"baskets": len(self.of.lines)}

    def _train(self) -> Document:
        self._ran("run", str(self.shop.spec))
        return {"champion": self.shop.aliases()["champion"]}

    def _greedy(self) -> Document:
        return self._played("greedy")

    def _explorer(self) -> Document:
        self.shop.edit(policy=POLICY)
        return self._released("explorer")

    def _explore(self) -> Document:
        return self._played("explore")

    def _learn(self) -> Document:
        return self._released("learn", table=True)

    def _learned(self) -> Document:
        return self._played("learned")

    def _worse(self) -> Document:
        """Have the gate judge lists at random by the log of what serves."""
        self.shop.edit(policy=POLICY | {"learn": POLICY["learn"] | {"temperature": WORSE}})
        return self._verdict("worse", table=True)

    def _played(self, stage: str) -> Document:
        """Have every household ask; a round that was cut is played anew, with the same draws."""
        rounds = self.rounds.setdefault(stage, [])
        with self._served() as url:
            while len(rounds) < ROUNDS[stage]:
                rng = np.random.default_rng([STAGES.index(stage), len(rounds)])
                rounds.append(asdict(self.users.play(url, rng)))
                self._keep()
        return {"shown": sum(one["shown"] for one in rounds), "bought": sum(one["bought"] for one in rounds)}

    @contextmanager
    def _served(self) -> Iterator[str]:
        from pipelines.environment import place as find_place
        from pipelines.releases import release as releases
        from pipelines.releases import serving

        place = find_place(self.shop.spec, "local", variables=self.shop.environment())
        with serving.asked(place, releases.release(place)) as url:
            yield url

    def _released(self, stage: str, *, table: bool = False) -> Document:
        """Release what passes, unless that was done before the script was killed."""
        found = self._verdict(stage, table=table)
        if self.shop.aliases()["champion"] == found["champion"]:
            self._ran("run", str(self.shop.spec), "--pipeline", "policy")
        return found | {"champion": self.shop.aliases()["champion"]}

    def _verdict(self, stage: str, *, table: bool = False) -> Document:
        """Learn from the door's log and judge; with a table of rewards, once they are known. Releases nothing."""
        from components.policy.steps import read_candidate

        if stage not in self.judged:
            if table:
                time.sleep(RIPE_S)
                self._ran("rewards", str(self.shop.spec))
            asked = ("run", str(self.shop.spec), "--pipeline", "policy", "--mode", "dry_run", "--json")
            candidate, verdict = read_candidate(Path(json.loads(self._ran(*asked))["folders"]["learned_policy"]))
            champion = self.shop.aliases()["champion"]
            self.judged[stage] = {"policy": candidate["name"], "gate": verdict, "champion": champion}
            self._keep()
        return self.judged[stage]

    def _ran(self, *arguments: str) -> str:
        """Run a verb, which ends when this script does, however it does."""
        call = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up before the fork
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            env=self.shop.environment(), capture_output=True, text=True, timeout=VERB_S, check=False,
            preexec_fn=(lambda: call(PR_SET_PDEATHSIG, int(signal.SIGKILL)) and None) if call else None,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"intentflow {arguments[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def _worth(rounds: list[Document], best: np.ndarray) -> Document:
    """Return what an answer's item was worth, and what was lost to the best lists, with 95 % intervals over users.

    What was shown is averaged by what users want, not by what they happened to buy.

    >>> _worth([{"each": [0.2, 0.4]}, {"each": [0.4, 0.4]}], np.array([0.5, 0.5]))["regret"]
    {'mean': 0.15, 'low': 0.052, 'high': 0.248}
    """
    each = np.asarray([one["each"] for one in rounds])  # [R, U]
    return {
        "value": _mean(each.mean(axis=0)),
        "regret": _mean((best - each).mean(axis=0)),
        "regret_by_round": [_mean(best - one) for one in each],
    }


def _mean(values: np.ndarray) -> Document:
    mean, reach = float(values.mean()), Z * float(values.std(ddof=1)) / len(values) ** 0.5
    return {name: round(one, 4) for name, one in (("mean", mean), ("low", mean - reach), ("high", mean + reach))}


def text(document: Document) -> str:
    """Write the loop's tables."""
    played = [
        [name, _ends(one["value"]), _ends(one["regret"]), " ".join(f"{r['mean']:.4f}" for r in one["regret_by_round"])]
        for name, one in document["played"].items()
    ]
    judged = [
        [name, one["gate"]["verdict"], _value(one["gate"]), one["gate"]["running"], _pair(one["gate"]["difference"]),
         round(one["gate"]["ess"]), one["gate"]["why"]]
        for name, one in document["stages"].items() if "gate" in one
    ]  # fmt: skip
    took = ", ".join(f"{name} {one['seconds']:.0f} s" for name, one in document["stages"].items())
    head = ["the gate on", "verdict", "value", "running", "difference", "ESS", "why"]
    return "\n\n".join(
        [
            f"The best lists are worth {document['best']:.4f} an item.",
            script.table(["door", "value of an item", "regret", "regret by round"], played),
            script.table(head, judged),
            f"Stages: {took}.",
        ]
    )


def _ends(one: Document) -> str:
    return f"{one['mean']:.4f} [{one['low']:.4f}, {one['high']:.4f}]"


def _pair(ends: Any) -> str:
    return "-" if ends is None else f"[{ends[0]:+.4f}, {ends[1]:+.4f}]"


def _value(gate: Document) -> str:
    ends = gate["bootstrap"]
    return "-" if gate["value"] is None else f"{gate['value']:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"
