"""Small drawings as inline SVG: a line over days with gaps, a band of what is usual, an interval. Pure geometry.

Templates draw it with attributes alone, since the console's policy allows no inline style.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 320.0, 72.0, 6.0


@dataclass(frozen=True)
class Chart:
    """Lines between neighbours that are known, dots for values that stand alone, and the newest value."""

    lines: tuple[str, ...]  # of SVG polylines: "x,y x,y …"
    dots: tuple[tuple[float, float], ...]  # the newest value is the last
    band: tuple[float, float] | None  # top and height of what is usual
    width: float = WIDTH
    height: float = HEIGHT


def chart(
    values: Sequence[float | None], band: tuple[float, float] | None = None, *, zero: bool = False
) -> Chart | None:
    """Lay out values, the oldest first; None is a gap. None where fewer than two are known; `zero` begins at 0.

    >>> chart([1.0, 3.0, None, 2.0], (1.0, 2.0))
    ... # doctest: +NORMALIZE_WHITESPACE
    Chart(lines=('6.0,66.0 108.7,6.0',), dots=((314.0, 36.0),), band=(36.0, 30.0), width=320.0, height=72.0)
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    least, most = min(known + list(band or ())), max(known + list(band or ()))
    least = min(least, 0.0) if zero else least
    span = most - least or 1.0

    def at(value: float) -> float:
        return round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - least) / span, 1)

    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((round(EDGE + place * step, 1), at(value)))
    runs = [run for run in runs if run]
    lines = tuple(" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1)
    dots = [run[0] for run in runs[:-1] if len(run) == 1]
    usual = None if band is None else (at(band[1]), round(max(at(band[0]) - at(band[1]), 1.0), 1))
    return Chart(lines, (*dots, runs[-1][-1]), usual)


@dataclass(frozen=True)
class Bar:
    """An interval around a value on a line with 0 on it, in drawing units."""

    low: float
    high: float
    value: float
    zero: float
    width: float = WIDTH


def bars(intervals: Sequence[tuple[float, float, float]]) -> list[Bar]:
    """Lay out (low, value, high) of several on one scale that holds 0.

    >>> bars([(-1.0, 0.0, 1.0), (0.0, 1.0, 3.0)])[1]
    Bar(low=83.0, high=314.0, value=160.0, zero=83.0, width=320.0)
    """
    ends = [0.0, *(end for low, _, high in intervals for end in (low, high))]
    least, span = min(ends), (max(ends) - min(ends)) or 1.0

    def at(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value - least) / span, 1)

    return [Bar(at(low), at(high), at(value), at(0.0)) for low, value, high in intervals]
