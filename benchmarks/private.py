"""What does differential privacy cost, and what does an attacker see? `pipelines/specs/synthetic.yaml`, three seeds.

Twice `--users` are made; the training rows of about half of them train the small network (cnn, 32 wide), and the other
users are those who were not there. Sides are `untrained`, which says each user's decayed rate, `plain`, and private
trainings by epsilon and clip at delta 1e-4. All are judged on the same test rows, over the targets of intents with a
level: means over seeds, intervals over resampled users, and paired differences to `untrained`: a private side without
one has nothing left to learn. `attack` is the area under the curve with which a user's mean loss on the training weeks
tells members from the others (Yeom et al., 2018): 0.5 is a coin. `noise` has a larger network learn labels that are
pure noise by heart, the worst case, plain and at epsilon 4. A private training draws from the system's entropy, so
that figures differ a little between runs of equal seeds.

Letters: B rows, N users, C targets, R resamples of users.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import script
from benchmarks.gpu import drawn_rows
from benchmarks.intent import Judge, some_users
from benchmarks.made_rows import rows_of
from benchmarks.script import Document
from components.intent import metrics, private
from components.intent.examples import Examples
from components.intent.fit import Fit, Rows
from components.intent.model import IntentNet, probabilities
from components.intent.options import Privacy
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from feature_repo.checkout import ROOT
from pipelines import spec as specs
from pipelines import spec_yaml

METRICS = ("bce", "map", "ece")
NETWORK: dict[str, Any] = {"architecture": "cnn", "width": 32, "layers": 1}
DELTA = 1e-4
TOLD = ("epsilon", "sigma", "clip", "rate")  # of a side's budget
UNTRAINED, PLAIN = "untrained", "plain"
SIDES: Mapping[str, dict[str, Any]] = {
    "epsilon 8, clip 10": {"epsilon": 8, "clip": 10, "batch_size": 1024},
    "epsilon 3, clip 10": {"epsilon": 3, "clip": 10, "batch_size": 1024},
    "epsilon 1, clip 10": {"epsilon": 1, "clip": 10, "batch_size": 1024},
    "epsilon 3, clip 1": {"epsilon": 3, "clip": 1, "batch_size": 1024},
    "epsilon 3, clip 30, faster": {"epsilon": 3, "clip": 30, "batch_size": 2048, "learning_rate": 0.005},
}
QUICK_SIDES = ("epsilon 8, clip 10",)
QUICK_SOURCE = {"items": 60, "categories": 6, "weeks": 24, "events_per_user": 40}
LEAST = 120  # training users with which --quick still may train privately
MEMBERS, EPOCHS = 120, 40  # of the noise
NOISE = Shape("cnn", 16, 1, 0.0, targets=5, weeks=4, frequency=3, profile=12, segments=2)
BUDGET = Privacy(epsilon=4, delta=1e-3, rows=1)  # of the noise


@dataclass(frozen=True)
class World:
    """Rows of users of whom some are members, and who judges on them."""

    examples: Examples
    taught: Examples  # without the training rows of the others
    judge: Judge
    held: int  # training steps that are scored out of time
    attacked: np.ndarray  # [B] positions of all users' rows in the training weeks
    member: np.ndarray  # [N] bool, of the users of these rows
    user: np.ndarray  # [B] which of these users a row is of


@dataclass(frozen=True)
class Judged:
    """A trained side: figures, and each one under each resample of users [R]."""

    figures: dict[str, float]
    drawn: dict[str, np.ndarray]
    attack: float
    attack_drawn: np.ndarray
    told: dict[str, Any]  # of its budget


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge all sides."""
    users, seeds = (LEAST, 1) if asked.quick else (asked.users, asked.seeds)
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        world = _world(Path(scratch), users=2 * users, quick=asked.quick)
    names = [UNTRAINED, PLAIN, *(QUICK_SIDES if asked.quick else SIDES)]
    found = {name: [_side(world, name, seed) for seed in range(seeds)] for name in names}
    return {
        "seeds": list(range(seeds)),
        "delta": DELTA,
        "users": {"members": int(world.member.sum()), "others": int((~world.member).sum()), "test": world.judge.users},
        "rows": {"train": len(world.taught.part("train")), "test": len(world.judge.test)},
        "sides": {name: _document(one) for name, one in found.items()},
        "less_untrained": {name: _less(one, found[UNTRAINED]) for name, one in found.items() if name != UNTRAINED},
        "noise": _noise(seeds),
    }


def _world(folder: Path, *, users: int, quick: bool) -> World:
    path = ROOT / "pipelines" / "specs" / "synthetic.yaml"
    document: dict[str, Any] = dict(specs.split(spec_yaml.read_yaml(path))[0])
    source = document["data"]["source"] | {"users": users} | (QUICK_SOURCE if quick else {})
    document["data"] = document["data"] | {"source": source}
    script.note("rows …")
    spec, examples = rows_of(document, path, folder)
    taught, rows = some_users(examples, 0.5), examples.part("train")
    names, user = np.unique(examples.rows.user_id[rows].astype(str), return_inverse=True)
    member = np.isin(names, taught.rows.user_id[taught.part("train")].astype(str))
    return World(examples, taught, Judge.of(examples), spec.models.ranking.train_weeks, rows, member, user)


def _side(world: World, name: str, seed: int) -> Judged:
    script.note(f"{name}, seed {seed} …")
    spec = IntentModel.model_validate(NETWORK | {"seed": seed})
    if name == UNTRAINED:
        trained = _untrained(world, spec)
    else:
        asked = dict(SIDES.get(name, {}))
        if asked:
            privacy = {"epsilon": asked.pop("epsilon"), "clip": asked.pop("clip"), "delta": DELTA, "compare": False}
            spec = IntentModel.model_validate(NETWORK | {"seed": seed, "privacy": privacy} | asked)
        trained = train(world.taught, spec, ranking_weeks=world.held, device="cpu")
    judge, examples = world.judge, world.examples
    said = trained.scorer.predict(examples.rows.take(judge.test))[:, judge.head]
    labels = examples.labels[judge.test][:, judge.head]
    summed = metrics.summary(labels, said)
    attack, drawn = _attack(world, trained.scorer.predict(examples.rows.take(world.attacked)))
    told = {key: value for key, value in trained.privacy.items() if key in TOLD}
    return Judged(
        {metric: float(summed[metric] or 0.0) for metric in METRICS},
        metrics.resampled(labels, said, judge.weight),
        attack,
        drawn,
        told,
    )


def _untrained(world: World, spec: IntentModel) -> Trained:
    """Return a network before its first step: where no step lies before the held ones, `full` begins with it."""
    every = len(world.taught.split["train"])
    trained = train(world.taught, spec.model_copy(update={"epochs": 1}), ranking_weeks=every, device="cpu")
    trained.scorer.net.load_state_dict(trained.beginning.weights)
    return trained


def _attack(world: World, said: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how well a low mean loss tells members, as an AUC, and that under each resample of users [R]."""
    loss = metrics.cross_entropy(world.examples.labels[world.attacked], said)  # [B]
    mean = np.bincount(world.user, loss) / np.bincount(world.user)  # [N]
    weight = metrics.user_weights(np.arange(len(mean)))
    whole, drawn = (metrics.ranking(world.member, -mean, some)[0] for some in (np.ones((len(mean), 1)), weight))
    return float(whole[0]), drawn


def _noise(seeds: int) -> Document:
    """Attack networks that learnt noise, plainly and privately."""
    found: dict[str, list[float]] = {PLAIN: [], "private": []}
    spec = IntentModel.model_validate(
        {"architecture": "cnn", "width": 16, "layers": 1, "dropout": 0.0, "epochs": EPOCHS, "batch_size": 64,
         "learning_rate": 1e-2}
    )  # fmt: skip
    sigma = 0.0
    for seed in range(seeds):
        script.note(f"noise, seed {seed} …")
        members, others = (_of_noise(2 * seed + part) for part in range(2))
        torch.manual_seed(seed)
        weight, index = np.ones(NOISE.targets, np.float32), np.arange(MEMBERS)
        plain = Fit(IntentNet(NOISE), members, None, members.encoded.take(np.zeros(1, int)), weight, spec)
        hidden = private.of(replace(plain, net=IntentNet(NOISE), epochs=[]), BUDGET, index, stages=("full",))
        plain.rerun("full", index, epochs=EPOCHS, report=lambda share, note: None)
        hidden.run("full", index, report=lambda share, note: None)
        sigma = hidden.plan.sigma
        for name, net in ((PLAIN, plain.net), ("private", hidden.net)):
            found[name].append(_told_apart(net, members, others))
    means = {f"{name}_auc": round(float(np.mean(values)), 4) for name, values in found.items()}
    return {"members": MEMBERS, "epsilon": BUDGET.epsilon, "sigma": round(sigma, 3), **means, "by_seed": found}


def _of_noise(seed: int) -> Rows:
    """Draw as many rows as there are members, each of a user of its own; half of all pairs come true."""
    rows = drawn_rows(NOISE, MEMBERS, seed=seed)
    labels = np.random.default_rng([seed, 1]).integers(0, 2, rows.labels.shape).astype(np.uint8)
    return replace(rows, labels=labels)


def _told_apart(net: IntentNet, members: Rows, others: Rows) -> float:
    losses = [metrics.cross_entropy(rows.labels, probabilities(net.eval(), rows.encoded)) for rows in (members, others)]
    member = np.arange(2 * MEMBERS) < MEMBERS
    return float(metrics.ranking(member, -np.concatenate(losses), np.ones((len(member), 1)))[0][0])


def _document(side: Sequence[Judged]) -> Document:
    means = {name: round(float(np.mean([one.figures[name] for one in side])), 6) for name in METRICS}
    around = {name: list(metrics.interval(np.mean([one.drawn[name] for one in side], axis=0))) for name in METRICS}
    attack = {
        "auc": round(float(np.mean([one.attack for one in side])), 4),
        "ci95": list(metrics.interval(np.mean([one.attack_drawn for one in side], axis=0))),
    }
    by_seed = [one.figures | {"attack": round(one.attack, 4)} for one in side]
    return means | side[0].told | {"ci95": around, "attack": attack, "by_seed": by_seed}


def _less(side: Sequence[Judged], other: Sequence[Judged]) -> Document:
    """Return a side less another, with the interval of the mean over seeds on the same resamples."""
    found = {}
    for name in METRICS:
        by_seed = [mine.figures[name] - bare.figures[name] for mine, bare in zip(side, other, strict=True)]
        around = np.mean([mine.drawn[name] - bare.drawn[name] for mine, bare in zip(side, other, strict=True)], axis=0)
        found[name] = {"estimate": round(float(np.mean(by_seed)), 6), "ci95": list(metrics.interval(around))}
    return found


def text(document: Document) -> str:
    """Write the tables."""
    users, noise = document["users"], document["noise"]
    head = (
        f"{users['members']:,} training users and {users['others']:,} others, {document['rows']['test']:,} test rows, "
        f"{len(document['seeds'])} seeds, delta {document['delta']:g}"
    )
    lines = []
    for name, side in document["sides"].items():
        less = document["less_untrained"].get(name)
        cells = [_cell(side[metric], side["ci95"][metric]) for metric in METRICS]
        told = None if less is None else _cell(less["bce"]["estimate"], less["bce"]["ci95"], "+.4f")
        lines.append([name, *cells, told, _cell(side["attack"]["auc"], side["attack"]["ci95"], ".3f"),
                      side.get("sigma")])  # fmt: skip
    table = script.table(["training", *METRICS, "bce less untrained", "attack", "sigma"], lines)
    by_heart = (
        f"Labels of noise, {noise['members']} users: the attack has {noise['plain_auc']} plain and "
        f"{noise['private_auc']} at epsilon {noise['epsilon']:g} (sigma {noise['sigma']})."
    )
    return f"{head}\n\n{table}\n\n{by_heart}"


def _cell(value: float, around: Sequence[float], form: str = ".4f") -> str:
    low, high = (format(end, form) for end in around)
    return f"{value:{form}} [{low}, {high}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--users", type=int, default=1000, help="training users, about; as many more are made")
    switches.add_argument("--seeds", type=int, default=3, help="trainings a side")
    script.main(switches, measure, text)
