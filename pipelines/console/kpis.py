"""The overview's port: KPIs over the logs (monitoring/quality/kpis.py), what serves, runs and waits for a person."""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bentos.console.ports.watch import Kpis, Point, Standing, Start, Tile, Tiles
from feature_repo import columns
from pipelines.console import shown, standing, start
from pipelines.console.recent import Recent
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.policy.rewards import Kpi, Rewarded
    from monitoring.quality.kpis import Figure, Rows

TILES_S, STANDING_S = 60.0, 5.0  # from when on what a page shows is read anew
STALE_S = 600.0  # until when figures are shown while that happens


class Logged(Kpis):
    """The port over an installation, which is read anew."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place
        self._tiles: Recent[Tiles] = Recent(TILES_S, stale_s=STALE_S)
        self._standing: Recent[Standing] = Recent(STANDING_S)

    def tiles(self, days: int) -> Tiles:
        """Return the KPIs of the last days."""
        place = self._place()
        return self._tiles.of((days, place.spec.digest), lambda: tiles(place, days=days))

    def standing(self) -> Standing:
        """Return what serves, what runs and what needs a person."""
        return self._standing.of("", lambda: standing.standing(self._place()))

    def start(self) -> Start:
        """Return what was started here, and what to try first."""
        return start.start(self._place())


def port(place: Callable[[], Installation]) -> Kpis:
    """Return the port over an installation, which is read anew at each call."""
    return Logged(place)


def tiles(place: Installation, *, days: int, now_s: float | None = None) -> Tiles:
    """Return the KPIs of the last days by the wall clock."""
    from pipelines.releases.release import variables

    now_s = time.time() if now_s is None else now_s
    with variables(place):  # the key of encrypted logs
        found = shown.shown(place, days=days, now_s=now_s)
        made = found.rewarded
        known = shown.catalogue(place, str(made[-1].answer[columns.RELEASE])) if made else set()
    clicked, bought, revenue = (found.kpis[name] for name in (shown.CLICKED, shown.BOUGHT, shown.REVENUE))
    event = place.spec.models.ranking.main_event or ""
    ripe = [one for one in made if all(value is not None for value in one.rewards[clicked.name])]
    return Tiles(
        first=_at(made[0]) if made else "",
        last=_at(made[-1]) if made else "",
        days=days,
        at=dt.datetime.fromtimestamp(now_s, dt.UTC).isoformat(timespec="seconds"),
        answers=len(made),
        ripe=len(ripe),
        capped=found.capped,
        sampled=any((one.answer.get("sample") or 1.0) < 1 for one in made),
        kept_out=dict(found.found.kept_out),
        tiles=(
            _of_items("ctr", made, clicked),
            _of_answers("conversion", made, bought, event),
            _revenue(made, revenue, event, valued=found.valued, unvalued=found.unvalued),
            _coverage(made, known),
            _degraded(made),
            *(_of_items(name, made, kpi, declared=True) for name, kpi in found.declared.items()),
        ),
    )


def _of_items(name: str, made: "Sequence[Rewarded]", kpi: "Kpi", *, declared: bool = False) -> Tile:
    """Return a KPI's sum over the items that were shown."""
    from monitoring.quality import kpis

    ripe = _ripe(made, kpi)
    parts = [sum(value or 0.0 for value in one.rewards[kpi.name]) for one in ripe]
    rows = _rows(ripe, parts, [len(one.answer["items"]) for one in ripe])
    shares = kpi.amount is None and kpi.weight == 1.0
    figure = (kpis.share if shares else kpis.amount)(rows)
    tile = _tile(name, _waits(figure, made), unit="share" if shares else "amount", of="items", within_s=kpi.within_s)
    event = ", ".join(sorted(kpi.events)) if declared else ""
    return _with(tile, event=event, declared=declared)


def _of_answers(name: str, made: "Sequence[Rewarded]", kpi: "Kpi", event: str) -> Tile:
    """Return the share of answers of which at least one item was acted on."""
    from monitoring.quality import kpis

    ripe = _ripe(made, kpi)
    rows = _rows(ripe, [float(any(one.rewards[kpi.name])) for one in ripe], [1] * len(ripe))
    figure = _waits(kpis.share(rows), made)
    return _with(_tile(name, figure, unit="share", of="answers", within_s=kpi.within_s), event=event)


def _revenue(made: "Sequence[Rewarded]", kpi: "Kpi", event: str, *, valued: int, unvalued: int) -> Tile:
    """Return the value of what was bought, an item shown; none where no event says what it was worth."""
    from monitoring.quality.kpis import UNVALUED, Figure

    tile = _with(_of_items("revenue", made, kpi), event=event, missing=unvalued)
    if valued == 0 and unvalued:
        return _tile("revenue", Figure(n=tile.n, why=UNVALUED), unit="amount", of="items", within_s=kpi.within_s)
    return tile


def _coverage(made: "Sequence[Rewarded]", known: set[str]) -> Tile:
    """Return the share of the newest release's items that were shown to anybody."""
    from monitoring.quality import kpis

    days = [_at(one)[:10] for one in made]
    pairs = [
        (day, str(item[columns.ITEM_ID])) for day, one in zip(days, made, strict=True) for item in one.answer["items"]
    ]
    return _tile("coverage", kpis.coverage(pairs, known), unit="share", of="catalogue")


def _degraded(made: "Sequence[Rewarded]") -> Tile:
    """Return the share of answers that came from a lower rung since something failed."""
    from monitoring.quality import kpis

    parts = [float(one.answer.get("degraded") is not None) for one in made]
    return _tile("degraded", kpis.share(_rows(made, parts, [1] * len(made))), unit="share", of="answers")


def _ripe(made: "Sequence[Rewarded]", kpi: "Kpi") -> "list[Rewarded]":
    return [one for one in made if all(value is not None for value in one.rewards[kpi.name])]


def _waits(figure: "Figure", made: "Sequence[Rewarded]") -> "Figure":
    """Say that the time to act is over for no answer, where that is why there is no figure."""
    from monitoring.quality.kpis import NONE, UNRIPE, Figure

    return Figure(why=UNRIPE) if figure.why == NONE and made else figure


def _rows(made: "Sequence[Rewarded]", parts: Sequence[float], wholes: Sequence[float]) -> "Rows":
    import numpy as np

    from monitoring.quality.kpis import Rows

    number = shown.users_of(made)
    return Rows(
        part=np.array(parts, dtype=np.float64),
        whole=np.array(wholes, dtype=np.float64),
        user=np.array([number[str(one.answer[columns.USER_ID])] for one in made], dtype=np.int64),
        weight=np.array([1 / float(one.answer.get("sample") or 1.0) for one in made], dtype=np.float64),
        day=np.array([_at(one)[:10] for one in made], dtype="U10"),
    )


def _tile(name: str, figure: "Figure", *, unit: Any, of: Any, within_s: float = 0.0) -> Tile:
    from monitoring.quality.history import LEAST_USERS
    from monitoring.quality.kpis import LEAST_ACTIVE, RARE

    return Tile(
        name=name,
        unit=unit,
        of=of,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        n=figure.n,
        users=figure.users,
        least=LEAST_ACTIVE if figure.why == RARE else LEAST_USERS,
        why=figure.why,
        within_s=within_s,
        days=every_day([Point(one.day, one.value, one.n) for one in figure.days]),
    )


def _with(tile: Tile, **fields: Any) -> Tile:
    from dataclasses import replace

    return replace(tile, **fields)


def every_day(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return a point for each day from the first to the last; days without an answer have no value.

    >>> every_day([Point("2026-11-28", 0.5, 4), Point("2026-11-30", 0.0, 2)])[1]
    Point(at='2026-11-29', value=None, n=0)
    """
    if not points:
        return ()
    known = {one.at: one for one in points}
    first, last = (dt.date.fromisoformat(edge(known)) for edge in (min, max))
    days = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return tuple(known.get(day) or Point(day, None) for day in days)


def _at(one: "Rewarded") -> str:
    """Return when an answer was given, ISO in UTC by the wall clock."""
    from components.policy.rewards import logged_s

    return dt.datetime.fromtimestamp(logged_s(one.answer), dt.UTC).isoformat(timespec="seconds")
