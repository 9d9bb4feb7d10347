"""How far do drift scores move when nothing happened, and when something did? The table of docs/monitoring.md.

Reads the `rows` artifact of the last finished run: `python -m benchmarks.drift`. Each case compares two windows by
monitoring.drift.compare, as the step `watch` does, with the recommender's own thresholds. The peer of the noise floor
is the threshold alone, on the same pairs of small samples.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import script, subject
from benchmarks.script import Document
from feature_repo import columns
from monitoring.drift.compare import Drift, compare
from monitoring.drift.window import windows
from monitoring.spec import Monitoring

RESAMPLES, PARTS, SMALL_PAIRS = 20, 5, 100
PART_WEEKS = 8
SMALL_ROWS = 100
SILENT = 0.3  # share of users that stop
MOVED, PLACE = 0.2, 5  # share of purchases that move to the category of this place by frequency, counted from 0
Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Case:
    """A question and the comparisons that answer it, one or more of a kind."""

    name: str
    compared: list[Drift]

    def document(self) -> Document:
        """Sum the comparisons up."""
        every = [pair for drift in self.compared for pair in drift.columns.items()]
        named = {name: column.score for name, column in every if column.drifted}
        return {
            "case": self.name,
            "comparisons": len(self.compared),
            "columns": len(every),
            "alarms": sum(column.drifted for _, column in every),
            "verdicts": sorted({drift.verdict for drift in self.compared}),
            "drifted": {name: _rounded(score) for name, score in named.items()},
            "largest": {kind: _largest(every, number=number) for kind, number in (("psi", True), ("distance", False))},
            "rows": self.compared[0].rows,
        }


def measure(asked: argparse.Namespace) -> Document:
    """Run every case."""
    with subject.subject(asked) as found:
        reference, current = windows(found.rows)
    spec, few = found.monitoring, 2 if asked.quick else None
    cases = list(_cases(current.frame, reference.frame, spec, few=few))
    return {
        "recommender": found.name,
        "thresholds": {"psi": spec.psi, "distance": spec.distance, "share": spec.share},
        "reference": str(reference),
        "current": str(current),
        "cases": [case.document() for case in cases],
        "noise_floor": noise_floor(reference.frame, spec, pairs=few or SMALL_PAIRS),
    }


def _cases(current: pd.DataFrame, reference: pd.DataFrame, spec: Monitoring, *, few: int | None) -> Iterator[Case]:
    rng = np.random.default_rng(0)

    def compared(name: str, *pairs: tuple[pd.DataFrame, pd.DataFrame]) -> Case:
        script.note(name)
        return Case(name, [compare(now, then, spec=spec) for now, then in pairs])

    yield compared("test weeks against train weeks", (current, reference))
    drawn = [(resampled(reference, rng), reference) for _ in range(few or RESAMPLES)]
    yield compared("train weeks, users resampled, against themselves", *drawn)
    yield compared("parts of the train weeks against the rest", *parts(reference, few or PARTS))
    changes: dict[str, Change] = {
        "prices x 1.5": lambda frame: priced(frame, 1.5),
        "prices x 2": lambda frame: priced(frame, 2.0),
        "prices in cents": lambda frame: priced(frame, 100.0),
        f"{SILENT:.0%} of the users silent": lambda frame: silenced(frame, rng),
        f"{MOVED:.0%} of purchases moved to one category": lambda frame: moved(frame, rng),
    }
    for name, change in changes.items():
        yield compared(f"test weeks, {name}, against train weeks", (change(current), reference))


def resampled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw users with replacement, with all their weeks."""
    of_user = list(frame.groupby(level=columns.USER_ID, sort=True).indices.values())
    drawn = rng.integers(len(of_user), size=len(of_user))
    return frame.iloc[np.concatenate([of_user[user] for user in drawn])]


def parts(frame: pd.DataFrame, n: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Return n parts of consecutive weeks, each with the weeks outside it."""
    week = frame.index.get_level_values(columns.WEEK)
    first, last = int(week.min()), int(week.max())
    length = max(1, min(PART_WEEKS, (last - first + 1) // 3))
    starts = np.linspace(first, last - length + 1, n).round().astype(int)
    within = [(week >= start) & (week < start + length) for start in starts]
    return [(frame[mask], frame[~mask]) for mask in within]


def priced(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Multiply every amount of money; columns hold log(1 + amount)."""
    money = [name for name in frame.columns if name.startswith("log_value")]
    return frame.assign(**{name: np.log1p(np.expm1(frame[name]) * factor) for name in money})


def silenced(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Let some users have done nothing for longer than the longest window."""
    user = frame.index.get_level_values(columns.USER_ID)
    silent = user.isin(rng.permutation(user.unique().sort_values())[: round(SILENT * user.nunique())])
    changed = frame.copy()
    for name in frame.columns:
        if name.startswith(("log_sessions", "log_value_")) and name.endswith("d"):  # of a window in days
            changed.loc[silent, name] = 0.0
        elif name == "recency_days":
            changed.loc[silent, name] = frame[name].max()
        elif name != columns.SEGMENT:  # ratios and mixes have no value without a visit
            changed.loc[silent, name] = None if name.startswith("mix_") else np.nan
    return changed


def moved(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Move some purchases of the first mix to one of its values."""
    name = next(name for name in frame.columns if name.startswith("mix_"))
    frequent = frame[name].value_counts().index
    chosen = (rng.random(len(frame)) < MOVED) & frame[name].notna()
    return frame.assign(**{name: frame[name].mask(chosen, frequent[min(PLACE, len(frequent) - 1)])})


def noise_floor(frame: pd.DataFrame, spec: Monitoring, *, pairs: int) -> Document:
    """Compare pairs of small samples of one population: which columns alarm with the floor, and by thresholds alone."""
    script.note(f"{pairs} pairs of {SMALL_ROWS} rows of the train weeks")
    rng = np.random.default_rng(0)
    small = spec.model_copy(update={"min_rows": 10})
    with_floor: dict[str, int] = {}
    alone: dict[str, int] = {}
    verdicts = 0
    rows = min(SMALL_ROWS, len(frame) // 2)
    for _ in range(pairs):
        drawn = rng.choice(len(frame), 2 * rows, replace=False)
        found = compare(frame.iloc[drawn[:rows]], frame.iloc[drawn[rows:]], spec=small)
        verdicts += found.verdict == "drifted"
        for name, column in found.columns.items():
            with_floor[name] = with_floor.get(name, 0) + column.drifted
            alone[name] = alone.get(name, 0) + (column.score is not None and column.score >= column.threshold)
    shares = [{name: round(count / pairs, 3) for name, count in counts.items()} for counts in (with_floor, alone)]
    return {
        "rows": rows,
        "pairs": pairs,
        "with_floor": shares[0],
        "thresholds_alone": shares[1],
        "verdicts_drifted": round(verdicts / pairs, 3),
    }


def _largest(every: list[tuple[str, Any]], *, number: bool) -> Document | None:
    scored = [(c.score, name) for name, c in every if c.score is not None and (c.method == "psi") is number]
    return {"column": max(scored)[1], "score": _rounded(max(scored)[0])} if scored else None


def _rounded(score: float | None) -> float | None:
    return None if score is None or not math.isfinite(score) else round(score, 4)


def text(document: Document) -> str:
    """Write the table of the documentation."""
    lines = []
    for case in document["cases"]:
        largest = [f"{kind} {at['score']:.3f} ({at['column']})" for kind, at in case["largest"].items() if at]
        named = f"{case['alarms']} of {case['columns']} columns"
        lines.append([case["case"], ", ".join(case["verdicts"]), named, "; ".join(largest)])
    floor = document["noise_floor"]
    with_floor, alone = (floor[key].values() for key in ("with_floor", "thresholds_alone"))
    return "\n\n".join(
        [
            f"{document['current']}, against {document['reference']}",
            script.table(["case", "verdict", "drifted", "largest"], lines),
            f"Two samples of {floor['rows']} rows of one population, {floor['pairs']} times: thresholds alone alarm "
            f"for {min(alone):.0%} to {max(alone):.0%} of the samples by column, with the floor for "
            f"{min(with_floor):.0%} to {max(with_floor):.0%}.",
        ]
    )


if __name__ == "__main__":
    script.main(script.parser(__doc__, trained=True), measure, text)
