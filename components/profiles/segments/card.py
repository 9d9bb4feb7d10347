"""The segments for people: segments.html (self-contained: no script, no address outside) and segments.md.

Made from segments.json alone; MLflow's UI shows both beside the models' cards. Computes nothing that is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo import files
from feature_repo.clock import WEEK
from feature_repo.fallback import CARDS, FILE, Fallback
from feature_repo.markdown import words
from feature_repo.vocabulary import Vocabulary

PAGE, MARKDOWN = CARDS
TEMPLATE = Path(__file__).with_name("segments.html.jinja")
HOW = {  # by method of segmentation
    "kmeans": "K-means on the mix of targets",
    "lda": "LDA topics over the targets",
    "encoder": "K-means on the vectors of a sequence encoder over the last steps",
}
SHOWN = 6  # targets and items of a segment
WIDTH, HEIGHT = 132, 34  # of the drawing of a segment's share by week


@dataclass(frozen=True)
class Portrait:
    """One segment as the card shows it."""

    number: int
    name: str
    users: int
    share: float  # of users, at the newest cutoff
    then: float  # the same when training ended
    targets: tuple[tuple[str, float, float], ...]  # name, rate a week, weight over everyone's
    items: tuple[tuple[str, float], ...]  # title, share of the active users who had it
    line: str  # points of the share by week, for an SVG polyline
    most: float  # the largest share in the line


def write(folder: Path, vocabulary: Vocabulary, *, trained: int) -> None:
    """Write both cards into a folder that holds segments.json; `trained` is the first week after training."""
    document = files.read_json(folder / FILE)
    found = portraits(document, vocabulary, trained=trained)
    moved = drift([one.then for one in found], [one.share for one in found])
    (folder / MARKDOWN).write_text(markdown(document, found, moved=moved), encoding="utf-8")
    (folder / PAGE).write_text(page(document, found, moved=moved), encoding="utf-8")


def portraits(document: Mapping[str, Any], vocabulary: Vocabulary, *, trained: int) -> list[Portrait]:
    """Gather what is shown of each segment."""
    standby, shares = Fallback.from_dict(dict(document)), shares_by_week(document)
    weeks = sorted(shares)
    then, now = shares.get(trained, shares[weeks[0]]), shares[weeks[-1]]
    titles = vocabulary.items["title"].to_pylist() if "title" in vocabulary.items.column_names else []
    return [
        Portrait(
            number=s,
            name=name,
            users=document["users"][s],
            share=now[s],
            then=then[s],
            targets=_telling(standby.rates[s], standby.rates[standby.everyone], vocabulary),
            items=tuple(
                ((titles[i] if titles else None) or vocabulary.item_ids[i], float(share))
                for i, share in zip(standby.listed[s].items[:SHOWN], standby.listed[s].shares, strict=False)
            ),
            line=_line([shares[week][s] for week in weeks]),
            most=max(shares[week][s] for week in weeks),
        )
        for s, name in enumerate(document["names"])
    ]


def shares_by_week(document: Mapping[str, Any]) -> dict[int, list[float]]:
    """Return each segment's share of the users with a row, by cutoff."""
    k, found = len(document["names"]), {}
    for week, sizes in document["by_week"].items():
        counts = [sizes.get(str(s), 0) for s in range(k)]
        found[int(week)] = [count / max(sum(counts), 1) for count in counts]
    return found


def drift(then: Sequence[float], now: Sequence[float]) -> float:
    """Return the population stability index of the segments' sizes.

    >>> drift([0.5, 0.5], [0.5, 0.5]), round(drift([0.5, 0.5], [0.8, 0.2]), 3)
    (0.0, 0.416)
    """
    p, q = (np.maximum(np.asarray(sizes), 1e-4) for sizes in (then, now))
    return float(((q - p) * np.log(q / p)).sum())


def _telling(own: np.ndarray, everyone: np.ndarray, vocabulary: Vocabulary) -> tuple[tuple[str, float, float], ...]:
    """Return the leveled targets that weigh more in a segment than in everyone: name, weekly rate, how much more."""
    leveled = np.flatnonzero([target.value is not None for target in vocabulary.targets])
    mine, all_ = (rates[leveled] / max(float(rates[leveled].sum()), 1e-9) for rates in (own, everyone))
    lift = np.maximum(mine, 1e-9) / np.maximum(all_, 1e-9)
    told = mine * np.log(lift)
    best = [c for c in np.argsort(-told, kind="stable")[:SHOWN] if told[c] > 0]
    return tuple((str(vocabulary.targets[leveled[c]].value), float(own[leveled[c]]), float(lift[c])) for c in best)


def _line(shares: Sequence[float]) -> str:
    """Lay a share by week out under its own largest value, 0 at the bottom.

    >>> _line([0.1, 0.2])
    '2.0,18.0 130.0,4.0'
    """
    top, step = max(max(shares), 1e-9), (WIDTH - 4) / max(len(shares) - 1, 1)
    points = [(2 + n * step, HEIGHT - 2 - (HEIGHT - 6) * share / top) for n, share in enumerate(shares)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def markdown(document: Mapping[str, Any], found: Sequence[Portrait], *, moved: float) -> str:
    """Write the card as Markdown."""
    rows = [
        f"| {one.number} | {words(one.name)} | {one.users:,} | {one.share:.1%} | {one.then:.1%} | "
        f"{', '.join(f'{words(name.lower())} (x {lift:.1f})' for name, _, lift in one.targets)} |"
        for one in found
    ]
    lines = [
        "# Segments",
        "",
        _about(document, found, moved=moved),
        "",
        "| | name | users | share | when training ended | what weighs more than in everyone |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _about(document: Mapping[str, Any], found: Sequence[Portrait], *, moved: float) -> str:
    how = HOW[document["method"]]
    chosen = document["silhouette"].get(str(len(found)))
    silhouette = f", chosen by the silhouette ({chosen:.3f})" if chosen is not None else ""
    weeks, step = document["weeks"], document.get("step", WEEK)
    return (
        f"{len(found)} segments by {how}{silhouette}, fitted on training {step}s; digest {document['digest']}. Rates "
        f"and items are of {step}s {weeks[0]} to {weeks[-1]}. Sizes have moved by a PSI of {moved:.3f} since training "
        "ended."
    )


def page(document: Mapping[str, Any], found: Sequence[Portrait], *, moved: float) -> str:
    """Render the card as a page."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    weeks = sorted(map(int, document["by_week"]))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        about=_about(document, found, moved=moved),
        found=found,
        weeks=(weeks[0], weeks[-1]),
        step=document.get("step", WEEK),
        size=(WIDTH, HEIGHT),
        widest=max(one.share for one in found),
    )
