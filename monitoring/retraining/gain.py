"""Whether a retrained candidate is better than the champion on the same rows: newest test weeks, both judged on them.

Both sides are drawn by the same users, so the difference is paired. A gain needs one headline figure whose whole
interval lies above no difference, and none that lies below it. Where the champion could not be scored on these rows
nothing is known, which is no gain shown.

Pure but for `read`, which reads the evaluations that the pipeline left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components import resamples, verdicts
from components.registry import twin
from components.registry.gate_inputs import Champion, Measurements, measured
from components.registry.lineage import PARTS, Part
from components.registry.spec import Gate
from components.resamples import Resamples
from components.verdicts import REFUSED, Judgement
from feature_repo import files
from monitoring.retraining.machine import GAIN, NO_GAIN, UNKNOWN, Result

HEADLINES = ("intent.map", "ranking.ndcg_at_10")


@dataclass(frozen=True)
class Gain:
    """What a comparison came to."""

    result: Result  # GAIN, NO_GAIN or UNKNOWN
    said: str  # in words


def read(candidate: Mapping[Part, Path], champion: Mapping[Part, Path]) -> Gain:
    """Compare evaluation folders by part: the candidate's, and what the champion's twin says on the same rows."""
    drawn: dict[str, Resamples] = {part: resamples.read(candidate[part]) for part in PARTS}
    mine = measured({part: files.read_json(candidate[part] / "metrics.json") for part in PARTS}, resamples=drawn)
    theirs = twin.on_same_rows(Champion({}), {part: champion[part] for part in PARTS}, segments="")
    return compared(mine, theirs or Champion({}))


def compared(candidate: Measurements, champion: Champion) -> Gain:
    """Compare a candidate with the champion's figures on the candidate's rows."""
    if champion.elsewhere == twin.OTHER_WEEKS:
        return Gain(NO_GAIN, "the champion was trained and judged on this data already")
    if champion.elsewhere:
        return Gain(UNKNOWN, f"the champion was not judged on the same rows, since {champion.elsewhere}")
    if champion.retrained:
        return Gain(UNKNOWN, "the champion has learnt from these rows, so that they cannot tell what is newer")
    found = {name: _judged(name, candidate, champion) for name in HEADLINES}
    said = ", ".join(_words(name, one) for name, one in found.items())
    if any(one.interval is None for one in found.values()):
        return Gain(UNKNOWN, said)
    worse = [name for name, one in found.items() if one.word == REFUSED]
    better = [name for name, one in found.items() if one.interval is not None and one.interval[0] > verdicts.ROUNDING]
    return Gain(GAIN if better and not worse else NO_GAIN, said)


def _judged(name: str, candidate: Measurements, champion: Champion) -> Judgement:
    return verdicts.better(candidate.overall.shared_sample(name), champion.sample(name), least=Gate(metric=name).least)


def _words(name: str, found: Judgement) -> str:
    if found.estimate is None or found.interval is None:
        return f"{name} {found.why or 'has no interval'}"
    low, high = found.interval
    return f"{name} {found.estimate:+.4f} (interval {low:+.4f} to {high:+.4f})"
