"""A small drawing of one signal over the periods, as inline SVG: what is usual as a band, the newest period as a dot.

Pure geometry; the template draws it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 320.0, 72.0, 6.0


@dataclass(frozen=True)
class Chart:
    """A line through the periods' values, the band of what is usual, and the newest value, in drawing units."""

    line: str  # of an SVG polyline: "x,y x,y …"
    top: float
    height: float
    x: float  # of the newest value
    y: float


def chart(values: Sequence[float], usual: tuple[float, float]) -> Chart | None:
    """Lay out the values of periods, the oldest first, over a band; None where there are fewer than two.

    >>> chart([1.0, 3.0], (1.0, 2.0))
    Chart(line='6.0,66.0 314.0,6.0', top=36.0, height=30.0, x=314.0, y=6.0)
    """
    if len(values) < 2:
        return None
    least, most = min(*values, usual[0]), max(*values, usual[1])
    span = most - least or 1.0

    def at(value: float) -> float:
        return round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - least) / span, 1)

    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    points = [(round(EDGE + place * step, 1), at(value)) for place, value in enumerate(values)]
    top, bottom = at(usual[1]), at(usual[0])
    line = " ".join(f"{x},{y}" for x, y in points)
    return Chart(line, top, round(max(bottom - top, 1.0), 1), *points[-1])
