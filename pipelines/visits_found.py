"""Whether the events of a user's own files make visits that a model can ask about, and what `init` drafts of that.

Visits are sessions that a column names, or lie between silences, where hardly any silence is about as long as the one
that cuts. They are asked about where kinds say that something was bought or put into a cart. All is measured on the
files as ingest reads them; the step `train_session` cuts visits by the same rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from components.data.database import text
from components.data.guess_kinds import CARTED, is_, sign_of
from components.data.spec import Data
from feature_repo.clock import gap_seconds
from pipelines.findings import Facts, step_number

USUAL_GAP = "30m"
GAPS = (USUAL_GAP, "15m", "1h", "2h", "4h")  # tried in this order; a later one only where it cuts clearer
CLEARER = 0.01  # share of the silences that a later gap must have fewer of about it
UNCLEAR = 0.05  # share of the silences between half a gap and twice of it, from which on a gap cuts nothing clearly
WITHIN, BETWEEN = 0.1, 0.01  # shares of the silences that are shorter and longer than a gap, at least
LASTING_S, LASTING = 4 * 3600, 0.01  # silence in a named session, and the share of such from which on it is no visit
LEAST_ON = 0.05  # share of the visits that go on after their first moment, at least; baskets do not
LEAST_VISITS = 40  # that begin in each part of the split
LEAST_HITS = 20  # training visits in which a kind follows; fewer teach nothing
SHOWN_KINDS = 6


@dataclass(frozen=True)
class Visits:
    """How a file's visits are told, what they hold, and which kinds may be asked about within one."""

    by_id: bool  # a column names them
    gap: str | None  # of silence that ends one, as the spec says it; None: session ids alone tell
    about_gap: float  # share of the silences between half of the gap and twice of it
    visits: int
    events: float  # a visit, on the average
    on: float  # share that go on after their first moment
    ends: dict[str, float]  # share of the visits that end in each kind, most frequent first
    bought: str = ""  # kind that says so; "": none is asked about
    carted: str = ""
    why_not: str = field(default="", repr=False)  # nothing is asked, in words; "" where something is

    @property
    def told(self) -> str:
        """Say how visits are told."""
        silence = f"a user is silent for more than {_said(self.gap)}" if self.gap else ""
        if self.by_id:
            return "by session_id" + (f", and cut where {silence}" if silence else "")
        return f"cut where {silence} ({self.about_gap:.1%} of the silences are between half of that and twice of it)"

    @property
    def lines(self) -> list[str]:
        """Say what was seen, and what is drafted of it."""
        shown = list(self.ends.items())
        ends = ", ".join(f"{kind} {share:.1%}" for kind, share in shown[:SHOWN_KINDS])
        more = f" and {len(shown) - SHOWN_KINDS} other kinds" if len(shown) > SHOWN_KINDS else ""
        seen = (
            f"{self.visits:,} visits, {self.told}: {self.events:.1f} events each, {self.on:.0%} go on after their "
            f"first moment; they end in {ends}{more}"
        )
        if self.why_not:
            return [seen, f"no intent of a visit is drafted: {self.why_not}"]
        names = ", ".join(intent["name"] for intent in self.intents())
        return [seen, f"`horizon: session` asks within a visit: {names} (docs/sessions.md)"]

    def intents(self) -> list[dict[str, Any]]:
        """Draft the intents of a visit; none where something speaks against it."""
        if self.why_not:
            return []
        kinds = {"buy_now": self.bought, "cart_now": self.carted}
        asked: list[dict[str, Any]] = [{"name": name, "event": kind} for name, kind in kinds.items() if kind]
        return [intent | {"horizon": "session"} for intent in [*asked, {"name": "leave", "ends": True}]]


def visits_of(
    db: duckdb.DuckDBPyConnection,
    data: Data,
    found: Facts,
    *,
    split: Mapping[str, int],
    bought: str | None,
    kinds: Sequence[str],
) -> Visits | None:
    """Find the visits of `source_events`; None where there are none, or no kind of `kinds` tells what one is for.

    `bought` is the kind that says so, if any; `split` counts the clock's steps in each part.
    """
    bought = bought if bought and (sign := sign_of(bought)) and sign.weight > 0 else None
    carted = next((kind for kind in kinds if is_(kind, CARTED)), None)
    if found.made or (bought or carted) is None:
        return None
    by_id = _laid_out(db, data, found)
    gap, about = (None, 0.0) if by_id and not _lasting(db) else _clear_gap(db)
    if not by_id and gap is None:
        return None
    _cut(db, gap)
    n, events, on = _row(db, "SELECT count(*), avg(events), avg(CAST(began < ended AS INTEGER)) FROM cut_visits")
    if not n or on < LEAST_ON:
        return None
    ends = db.execute("""
        SELECT ended_in, count(*) / sum(count(*)) OVER () FROM cut_visits
        GROUP BY ended_in ORDER BY count(*) DESC, ended_in""").fetchall()
    hits = {kind: _hits(db, kind, found, split) for kind in (bought, carted) if kind}
    kept = {kind for kind, (hit, of) in hits.items() if LEAST_HITS <= hit < of}
    return Visits(
        by_id=by_id,
        gap=gap,
        about_gap=about,
        visits=n,
        events=events,
        on=on,
        ends={kind: float(share) for kind, share in ends},
        bought=bought if bought in kept else "",
        carted=carted if carted in kept else "",
        why_not=_too_few(db, found, split) or ("" if kept else _never(hits)),
    )


def _laid_out(db: duckdb.DuckDBPyConnection, data: Data, found: Facts) -> bool:
    """Lay out the events that the contract keeps, with their visit's user, second and step; tell if ids name visits."""
    bare = ", ".join(text(kind) for kind in found.bare)
    kept = f"item_id IS NOT NULL OR event IN ({bare})" if bare else "item_id IS NOT NULL"
    named = bool(_row(db, "SELECT count(session_id) > 0 FROM source_events")[0])
    db.execute(f"""
        CREATE OR REPLACE TEMP TABLE visited AS
        SELECT user_id, {"coalesce(session_id, '')" if named else "''"} AS session, event,
            CAST(floor(epoch(timestamp)) AS BIGINT) AS second,
            {step_number(found.period, data)} AS step
        FROM source_events WHERE user_id IS NOT NULL AND timestamp IS NOT NULL AND ({kept})""")
    return named


def _lasting(db: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether named sessions have silences that no visit has, as where an id is a browser's."""
    long, moments = _row(
        db,
        f"""SELECT count(*) FILTER (silence > {LASTING_S}), count(*) FILTER (silence > 0) FROM (
            SELECT second - lag(second) OVER (PARTITION BY user_id, session ORDER BY second) AS silence
            FROM visited)""",
    )
    return bool(long > LASTING * max(1, moments))


def _clear_gap(db: duckdb.DuckDBPyConnection) -> tuple[str | None, float]:
    """Return the silence that tells visits apart, and the share of silences about as long; None where none does."""
    shares = ", ".join(
        f"avg(CAST(silence > {s / 2} AND silence <= {2 * s} AS INTEGER)), avg(CAST(silence <= {s} AS INTEGER))"
        for s in map(gap_seconds, GAPS)
    )
    found = _row(
        db,
        f"""SELECT {shares} FROM (
            SELECT second - lag(second) OVER (PARTITION BY user_id ORDER BY second) AS silence FROM visited)
            WHERE silence > 0""",
    )
    best: tuple[str | None, float] = (None, UNCLEAR)
    for gap, about, within in zip(GAPS, found[::2], found[1::2], strict=True):
        if about is None or not WITHIN <= within <= 1 - BETWEEN:
            continue
        if about <= best[1] - (CLEARER if best[0] else 0):
            best = (gap, float(about))
    return best if best[0] else (None, 0.0)


def _cut(db: duckdb.DuckDBPyConnection, gap: str | None) -> None:
    """Cut what is laid out into visits."""
    new = f"coalesce(second - lag(second) OVER w > {gap_seconds(gap)}, true)" if gap else "lag(second) OVER w IS NULL"
    db.execute(f"""
        CREATE OR REPLACE TEMP TABLE visit_events AS
        SELECT *, sum(CAST(new AS INTEGER)) OVER (PARTITION BY user_id, session ORDER BY second
                                                  ROWS UNBOUNDED PRECEDING) AS visit
        FROM (SELECT *, {new} AS new FROM visited WINDOW w AS (PARTITION BY user_id, session ORDER BY second));
        CREATE OR REPLACE TEMP TABLE cut_visits AS
        SELECT user_id, session, visit, count(*) AS events, min(second) AS began, max(second) AS ended,
            min(step) AS step, arg_max(event, second) AS ended_in
        FROM visit_events GROUP BY user_id, session, visit""")


def _steps(found: Facts, split: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the first and last step of each part, about: labels of other intents may take some of the training's."""
    warmup, validate, test = split.values()
    last = found.period.weeks
    return {
        "train": (warmup + 1, last - validate - test),
        "validate": (last - validate - test + 1, last - test),
        "test": (last - test + 1, last),
    }


def _too_few(db: duckdb.DuckDBPyConnection, found: Facts, split: Mapping[str, int]) -> str:
    """Name the part of the split in which too few visits begin."""
    for part, (first, last) in _steps(found, split).items():
        n = _row(db, f"SELECT count(*) FROM cut_visits WHERE step BETWEEN {first} AND {last}")[0]
        if n < LEAST_VISITS:
            return f"{n:,} visits begin in the {part} steps, and at least {LEAST_VISITS} are needed"
    return ""


def _hits(db: duckdb.DuckDBPyConnection, kind: str, found: Facts, split: Mapping[str, int]) -> tuple[int, int]:
    """Count the training visits in which a kind comes after the first moment, and all of them."""
    first, last = _steps(found, split)["train"]
    hit, of = _row(
        db,
        f"""SELECT count(DISTINCT (user_id, session, visit)) FILTER (event = {text(kind)} AND second > began),
                count(DISTINCT (user_id, session, visit))
            FROM visit_events JOIN cut_visits USING (user_id, session, visit)
            WHERE cut_visits.step BETWEEN {first} AND {last}""",
    )
    return hit, of


def _never(hits: Mapping[str, tuple[int, int]]) -> str:
    said = ", ".join(f"'{kind}' follows in {hit:,} of {of:,} training visits" for kind, (hit, of) in hits.items())
    return f"{said}, and at least {LEAST_HITS} are needed, with some in which it does not"


def _said(gap: str | None) -> str:
    """Say a gap in words.

    >>> _said("30m"), _said("1h"), _said(None)
    ('30 minutes', '60 minutes', '')
    """
    return "" if gap is None else f"{gap_seconds(gap) // 60} minutes"


def _row(db: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = db.execute(query).fetchone()
    assert row is not None
    return tuple(row)
