"""What the request log holds of a choice, and how likely the list was, computed again from it.

A line's `asked.choice` has the candidates with their scores and codes, the bounds that rules set, the greedy list, the
share, the policy with its settings and the seed. That is all a policy reads, so that any policy's probability of the
list that was shown can be computed again, with no model, catalogue or rule at hand. A line without it is greedy's: its
list was certain. Candidates stand by their ids, everything else by their positions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.policy import draw, policies
from components.policy.choice import Ask, Bounds, Choice, Policy
from components.policy.guard import Railed
from feature_repo import columns, files
from feature_repo.errors import DataError
from feature_repo.ids import is_erased

CHOICE = "choice"  # in a line's `asked`
DIGITS = 7  # significant digits of scores: in the log, and so in what policies are asked
SURE = 1e-9


def rounded(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return scores as the log holds them, so that a choice is computed from what is logged.

    >>> rounded([3.14159265358979]).tolist()
    [3.141593]
    """
    return np.asarray([float(f"{score:.{DIGITS}g}") for score in np.asarray(scores, dtype=np.float64)])


def record(policy: Policy, railed: Railed, choice: Choice, *, seed: int, items: Sequence[str]) -> dict[str, Any]:
    """Return what a line holds of a choice among candidates with these ids."""
    about = _about(railed.ask, items)
    return {
        "policy": policy.name,
        "settings": policies.settings_of(policy),
        "seed": f"{seed:016x}",
        "share": railed.share,
        "why": railed.why,
        "explored": choice.explored,
        "given": choice.given.tolist(),
        "errors": choice.errors.tolist(),
        **about,
        "digest": files.digest(about),
    }


def _about(ask: Ask, items: Sequence[str]) -> dict[str, Any]:
    """Return the candidates and bounds; what is empty is left out."""
    bounds = {"fixed": ask.bounds.fixed, "caps": ask.bounds.caps, "quotas": ask.bounds.quotas}
    codes = {"codes": ask.codes.tolist()} if ask.codes.size else {}
    return (
        {"candidates": list(items), "scores": ask.scores.tolist(), "greedy": list(ask.greedy)}
        | codes
        | {name: _lists(one) for name, one in bounds.items() if one}
    )


def _lists(value: Any) -> Any:
    return [_lists(one) for one in value] if isinstance(value, list | tuple) else value


def ask_of(choice: Mapping[str, Any], *, where: str = "choice") -> Ask:
    """Return what a policy was asked; DataError where the digest is not that of the candidates."""
    names = ("candidates", "scores", "greedy", "codes", "fixed", "caps", "quotas")
    about = {name: _plain(choice[name]) for name in names if name in choice}
    forgotten = any(is_erased(str(item)) for item in about["candidates"])  # `forget` writes over people who are items
    if not forgotten and files.digest(about) != choice.get("digest"):
        raise DataError(
            f"{where}: digest {choice.get('digest')} is not that of its candidates, {files.digest(about)}; the line "
            "was changed after it was written: leave it out"
        )
    bounds = Bounds(**{name: _tuples(about.get(name, ())) for name in ("fixed", "caps", "quotas")})
    codes = np.asarray(about["codes"], dtype=np.int64) if "codes" in about else np.empty((0, 0), np.int64)
    return Ask(np.asarray(about["scores"], dtype=np.float64), tuple(about["greedy"]), codes, bounds)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Recomputed:
    """How likely the logged list is."""

    given: np.ndarray  # [K] of each place, given those above; their product is the list's
    propensities: np.ndarray  # [K] of each item at its place, over all lists
    errors: np.ndarray  # [K] standard errors of `propensities`

    @property
    def list_probability(self) -> float:
        """Return how likely the whole list is."""
        return float(np.prod(self.given))


def probability(
    line: Mapping[str, Any], policy: Policy | None = None, *, share: float | None = None, draws: int = draw.DRAWS
) -> Recomputed:
    """Compute how likely a logged list is, under the policy that showed it or another one.

    Of the logged policy, with the logged share, it is what the line says. Another policy is asked the same: the logged
    candidates in the logged bounds; its share is 1 unless given.
    """
    choice, shown = (line.get("asked") or {}).get(CHOICE), [str(one[columns.ITEM_ID]) for one in line["items"]]
    where = f"request {line.get(columns.REQUEST_ID)}"
    if choice is None:
        if policy is not None and policy.name != policies.DEFAULT:
            raise DataError(
                f"{where}: its line holds no candidates, since it was answered by {line.get('policy')}; only "
                f"{policies.DEFAULT} can be computed of it: log under an exploring policy first"
            )
        certain = np.ones(len(shown))
        return Recomputed(certain, certain, np.zeros(len(shown)))
    ask = ask_of(choice, where=where)
    place = {item: position for position, item in enumerate(choice["candidates"])}
    if lacking := [item for item in shown if item not in place]:
        raise DataError(f"{where}: shows '{lacking[0]}', which is none of its candidates; leave the line out")
    order = np.asarray([place[item] for item in shown], dtype=np.int64)
    asked = policies.named(str(choice["policy"]), choice["settings"]) if policy is None else policy
    drawn = (float(choice["share"]) if policy is None else 1.0) if share is None else share
    if drawn <= 0 or asked.name == policies.DEFAULT:
        given = np.asarray(order == np.asarray(ask.greedy), dtype=np.float64)
        return Recomputed(given, given, np.zeros(len(order)))
    found = draw.judged(asked, ask, order, int(str(choice["seed"]), 16), share=drawn, draws=draws)
    return Recomputed(found.given, found.propensities, found.errors)


def require_true(line: Mapping[str, Any]) -> None:
    """Refuse a line whose propensities cannot be probabilities of what was shown."""
    where = f"request {line.get(columns.REQUEST_ID)}"
    for item in line.get("items") or ():
        said = item.get("propensity")
        if said is None or not math.isfinite(said) or not 0 < said <= 1 + SURE:
            raise DataError(
                f"{where}: propensity {said} of item '{item.get(columns.ITEM_ID)}' at place {item.get('position')} is "
                "none of something that was shown; above 0 and at most 1 is: leave the line out, or mend its writer"
            )
    for said in ((line.get("asked") or {}).get(CHOICE) or {}).get("given", ()):
        if not math.isfinite(said) or not 0 < said <= 1 + SURE:
            raise DataError(f"{where}: given {said} is no probability of a place that was shown; leave the line out")
