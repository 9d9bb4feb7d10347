"""Do estimates of a policy's value hold? The table of docs/off-policy.md.

`python -m benchmarks.policy`: made worlds whose values are known, of single places and of lists, each drawn a hundred
times; and the Open Bandit sample, both ways: what the log of one policy says of the other, beside that one's own log.
The same arrays go to Open Bandit Pipeline's estimators in an environment of their own, made on first use (1.3 MB);
`--quick` draws the made worlds ten times and leaves the sample out.
"""

import argparse
import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import open_bandit, script
from benchmarks.peers.environments import python_of
from benchmarks.policy_worlds import ListWorld, PlaceWorld
from benchmarks.script import Document
from components.policy.evaluation import gate, overlap
from components.policy.evaluation.estimators import Estimate, Settings, estimates
from components.policy.evaluation.intervals import Interval
from components.policy.evaluation.slates import slate_estimates
from feature_repo.checkout import ROOT

ROWS, LISTS = 4000, 4000
SEEDS, FEW = 100, 10
RESAMPLES = 500
KEPT = ROOT / ".intentflow" / "benchmarks"
PEER = Path(__file__).parent / "peers" / "with_obp.py"
TOLD = ("running", "gate", "verdict", "why", "largest_difference_to_obp")
BTS_TAU, BTS_LAMBDA = 5.0, 10.0  # given to both sides


def measure(asked: argparse.Namespace) -> Document:
    """Estimate in every world."""
    seeds = FEW if asked.quick else SEEDS
    python = None if asked.quick else python_of("obp", KEPT)
    found = {"synthetic": places(seeds, python), "synthetic_lists": lists(seeds, python)}
    if python is not None:
        for campaign in open_bandit.CAMPAIGNS:
            for policy, target in (("random", "bts"), ("bts", "random")):
                script.note(f"open bandit {campaign}: {policy} to {target}")
                found[f"open_bandit_{campaign}_{policy}_to_{target}"] = bandit(python, campaign, policy, target)
    return {"campaigns": list(found), **found}


def places(seeds: int, python: Path | None) -> Document:
    """Estimate in a world of single places, and count how often intervals hold the truth."""
    world = PlaceWorld.made()
    settings = Settings(resamples=RESAMPLES, most_weight=world.most_weight)

    def once(seed: int) -> tuple[dict[str, Estimate], Estimate]:
        drawn = world.drawn(ROWS, seed)
        known = estimates(drawn.knowing(), ("dr",), settings)["dr"]
        return estimates(drawn.log(drawn.model()), settings=settings), known

    drawn = world.drawn(ROWS, 0)
    log = drawn.log(drawn.model())
    peer = {
        "action": drawn.action,
        "reward": drawn.reward,
        "pscore": drawn.propensity,
        "position": np.zeros(ROWS, dtype=int),
        "action_dist": world.target[drawn.kind][:, :, None],
        "reward_model": drawn.model()[:, :, None],
    }
    told = Settings(tau=BTS_TAU, lambda_=BTS_LAMBDA)
    return (
        _covered(once, seeds, world.truth)
        | {"running": world.running, "overlap": _finite(asdict(overlap.measured(log)))}
        | {"gate": _verdicts(world, seeds)}
        | _beside(python, peer, {k: e.value for k, e in estimates(log, settings=told).items()}, told)
    )


def lists(seeds: int, python: Path | None) -> Document:
    """Estimate in a world of lists."""
    world = ListWorld.made()
    settings = Settings(resamples=RESAMPLES)

    def once(seed: int) -> tuple[dict[str, Estimate], Estimate]:
        log, at = world.drawn(LISTS, seed)
        known = (world.attraction[world.lists] * world.fading).sum(axis=1)
        terms = world.target @ known + (world.target / world.logging)[at] * (log.reward.sum(axis=1) - known[at])
        rng = np.random.default_rng(seed)
        means = np.array([terms[rng.integers(LISTS, size=LISTS)].mean() for _ in range(200)])
        low, high = np.percentile(means, [2.5, 97.5])
        value = Interval(float(low), float(high))
        return slate_estimates(log, settings=settings), Estimate("dr", float(terms.mean()), value, value, 0.0)

    log, at = world.drawn(LISTS, 0)
    conditional = world.conditional(world.logging)[at], world.conditional(world.target)[at]
    assert log.logging_marginal is not None
    assert log.target_marginal is not None
    peer = {
        "slate_id": np.repeat(np.arange(LISTS), log.reward.shape[1]),
        "position": np.tile(np.arange(log.reward.shape[1]), LISTS),
        "reward": log.reward.ravel(),
        "place_pscore": log.logging_marginal.ravel(),
        "place_target": log.target_marginal.ravel(),
    }
    for name, part in zip(("pscore", "target"), conditional, strict=True):
        peer[f"cascade_{name}"] = np.cumprod(part, axis=1).ravel()
        peer[f"list_{name}"] = np.repeat(part.prod(axis=1), log.reward.shape[1])
    values = {name: one.value for name, one in slate_estimates(log).items()}
    return _covered(once, seeds, world.truth) | _beside(python, peer, values, Settings())


def bandit(python: Path, campaign: str, policy: str, target: str) -> Document:
    """Estimate one policy of the Open Bandit sample from the other one's log."""
    package = next((python.parent.parent / "lib").glob("python*/site-packages/obp"))
    log, other = (open_bandit.BanditLog.read(package, one, campaign) for one in (policy, target))
    chance = open_bandit.chances(package, target, campaign, log.items)
    logged = log.log(chance)
    most = float((chance / open_bandit.chances(package, policy, campaign, log.items).clip(1e-12)).max())
    settings = Settings(
        tau=BTS_TAU, lambda_=BTS_LAMBDA, most_weight=max(most, float(logged.weight.max())), resamples=RESAMPLES
    )
    found = estimates(logged, settings=settings)
    rng = np.random.default_rng(0)
    rows = len(other.click)
    own = np.array([other.click[rng.integers(rows, size=rows)].mean() for _ in range(RESAMPLES)])
    verdict = gate.judge(logged, gate.Rule(estimator="snips"), settings)
    peer = {
        "action": log.action,
        "reward": log.click,
        "pscore": log.propensity,
        "position": log.place,
        "action_dist": np.broadcast_to(chance.T, (len(log.click), log.items, open_bandit.PLACES)),
        "reward_model": np.repeat(log.model()[:, :, None], open_bandit.PLACES, axis=2),
    }
    return (
        {name: _shown(one) for name, one in found.items()}
        | {
            "truth": float(other.click.mean()),
            "truth_between": [float(end) for end in np.percentile(own, [2.5, 97.5])],
            "running": float(log.click.mean()),
            "verdict": verdict.word,
            "why": verdict.why,
            "overlap": _finite(asdict(overlap.measured(logged))),
        }
        | _beside(python, peer, {name: one.value for name, one in found.items()}, settings)
    )


def _covered(once: Callable[[int], tuple[dict[str, Estimate], Estimate]], seeds: int, truth: float) -> dict[str, Any]:
    """Return the estimates of the first draw, and how often and how widely those of all draws hold the truth."""
    every = [once(seed) for seed in range(seeds)]
    knowing = float(np.median([known.bootstrap.width for _, known in every]))
    found: dict[str, Any] = {}
    for name, first in every[0][0].items():
        mine = [one[name] for one, _ in every]
        found[name] = _shown(first) | {
            f"{kind}_{key}": value
            for kind in ("bootstrap", "bernstein")
            for key, value in _held([getattr(one, kind) for one in mine], truth, knowing).items()
        }
    return found | {"truth": truth, "seeds": seeds, "knowing_width": knowing}


def _held(intervals: list[Interval], truth: float, knowing: float) -> dict[str, float]:
    covered = sum(one.low <= truth <= one.high for one in intervals)
    width = float(np.median([one.width for one in intervals]))
    return {"covered": covered / len(intervals), "width_ratio": width / knowing}


def _verdicts(world: PlaceWorld, seeds: int) -> dict[str, dict[str, int]]:
    """Count what the gate says of a policy that is better, of one that is as good, and of one that is worse."""
    better, worse = world.target, 0.9 * _worst(world.reward) + 0.1 * world.logging
    high, low = (float((policy * world.reward).sum(axis=1).mean()) for policy in (better, worse))
    share = (world.running - low) / (high - low)
    rule = gate.Rule(least_ess=100)
    counts: dict[str, dict[str, int]] = {}
    as_good = share * better + (1 - share) * worse
    for name, policy in (("better", better), ("as good", as_good), ("worse", worse)):
        candidate = PlaceWorld(world.reward, world.logging, policy)
        counts[name] = {"passed": 0, "refused": 0, "undecided": 0}
        for seed in range(seeds):
            drawn = candidate.drawn(ROWS, seed)
            counts[name][gate.judge(drawn.log(drawn.model()), rule, Settings(resamples=400)).word] += 1
    return counts


def _worst(reward: np.ndarray) -> np.ndarray:
    """Return a policy that shows each kind of users the worst three actions."""
    chance = np.zeros(reward.shape)
    np.put_along_axis(chance, np.argsort(reward, axis=1)[:, :3], 1 / 3, axis=1)
    return chance


def _beside(python: Path | None, arrays: Mapping[str, Any], values: Mapping[str, float], told: Settings) -> Document:
    """Ask Open Bandit Pipeline for the same values; {} without its environment."""
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arrays.npz"
        extra = {name: value for name in ("tau", "lambda_") if (value := getattr(told, name)) is not None}
        np.savez(file, **arrays, **extra)
        done = subprocess.run([str(python), str(PEER), str(file)], capture_output=True, text=True, check=True)
    peer = json.loads(done.stdout)
    return {"obp": peer, "largest_difference_to_obp": max(abs(peer[name] - values[name]) for name in peer)}


def _shown(one: Estimate) -> Document:
    ends = {"low": one.bootstrap.low, "high": one.bootstrap.high}
    found = {"value": one.value, **ends, "ess": one.ess, "bernstein": [one.bernstein.low, one.bernstein.high]}
    shown: Document = _finite(found | ({"parameter": one.parameter} if one.parameter is not None else {}))
    return shown


def _finite(found: Any) -> Any:
    """Return numbers that JSON can hold: None for those that are not finite."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def text(document: Document) -> str:
    """Return a table a campaign."""
    return "\n\n".join(f"{name}\n\n{_table(document[name])}" for name in document["campaigns"])


def _table(found: Document) -> str:
    made = "seeds" in found
    head = ["", "value", "low", "high", "ess", *(["covered", "width / knowing", "Bernstein covered"] if made else [])]
    lines: list[list[Any]] = []
    for name, one in found.items():
        if isinstance(one, dict) and "ess" in one and "value" in one:
            more = [one["bootstrap_covered"], one["bootstrap_width_ratio"], one["bernstein_covered"]] if made else []
            lines.append([name, one["value"], one["low"], one["high"], one["ess"], *more])
    more = [None] * 3 if made else []
    lines.append(["truth", found["truth"], *found.get("truth_between", [None, None]), None, *more])
    told = [f"{key}: {found[key]}" for key in TOLD if key in found]
    return "\n\n".join([script.table(head, lines), *told])


def main() -> None:
    script.main(script.parser(__doc__, trained=False), measure, text)


if __name__ == "__main__":
    main()
