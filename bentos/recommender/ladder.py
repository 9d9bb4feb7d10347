"""The ladder of what an answer rests on: a fresh row, a stale one, the user's segment, what is popular with everyone.

    fresh    the row is at most `profiles.ttl_days` old: the models answer
    stale    it is older, at most `profiles.stale_days`: the models answer, with all ages as they are
    segment  it is older still, or the models failed: the segment's popular items and intent rates
    popular  there is no row, or the store is away: everyone's

Where the spec forbids repeats, no rung shows what the row holds. Without a row (the store is away, or late) nothing is
known of the user, and what is popular may be a repeat: such an answer is degraded and says why.

An answer comes whatever fails; one from a lower rung than it should be is marked degraded, with the reason. Both lower
rungs are in memory (feature_repo/fallback.py). Only this module judges TTLs: an encoder never hides a row, so that a
stale row gives the same numbers wherever it is read.

Letters: C targets of the intent model, M items asked about.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bentos.endpoints import schemas
from bentos.http.breaker import Breaker
from bentos.http.problems import refused
from bentos.http.request_context import RequestContext
from bentos.recommender import warmup
from bentos.recommender.clock import DAY
from bentos.recommender.logs.intake import instant
from bentos.recommender.ports import (
    Explains,
    ExplainsForecasts,
    Forecasts,
    Profiles,
    Ranker,
    Recommended,
    RecommendedValue,
    Scorer,
    Sessions,
    SessionSaid,
    Similar,
)
from bentos.recommender.standby import standby_values
from bentos.release import Release
from components.ranking.eligibility import of_kinds
from components.ranking.spec import FORBID
from feature_repo import columns
from feature_repo.errors import DataError, StoreAway
from feature_repo.fallback import Fallback, of_age
from feature_repo.later_people import NOBODY
from feature_repo.memory import Remembered
from feature_repo.rows import UserRows
from feature_repo.session_rows import SessionRow

if TYPE_CHECKING:
    from bentos.recommender.catalogue import ShownItems

Answer = TypeVar("Answer")
log = logging.getLogger("intentflow.door")


@dataclasses.dataclass(frozen=True)
class ProfileState:
    """What one request is answered from: the user's row, its rung, and the intents."""

    rows: UserRows  # of one user; unknown where none was read
    profile: schemas.Profile
    probabilities: np.ndarray  # [C]
    modelled: bool  # the models answer; else the fallback
    own: frozenset[int] = frozenset()  # never shown: where items are users the user, and people who were forgotten
    items: "ShownItems | None" = None  # what may be shown; None: the release's own items
    remembered: tuple[Remembered, ...] | None = None  # the user's last events; None: the store has them, if anyone
    interests: frozenset[int] = frozenset()  # items that the request declares an interest in; where no model answers

    def likeliest(self, most: int) -> list[int]:
        """Return the positions of the likeliest intents, the likeliest first."""
        return likeliest(self.probabilities, most)


def likeliest(probabilities: np.ndarray, most: int) -> list[int]:
    """Return the positions of the highest probabilities [C], the highest first."""
    best: list[int] = (-probabilities).argsort(kind="stable")[:most].tolist()
    return best


class Ladder:
    """Finds the highest rung that holds, and answers from it."""

    def __init__(
        self,
        release: Release,
        scorer: Scorer,
        ranker: Ranker,
        profiles: Profiles,
        fallback: Fallback,
        *,
        breaker: Breaker,
    ) -> None:
        self._release, self._scorer, self._ranker = release, scorer, ranker
        self._profiles, self._fallback = profiles, fallback
        self._breaker, self._eligible = breaker, of_kinds(release.ranking)
        self._n_items = len(ranker.vocabulary.item_ids)

    @property
    def segments(self) -> tuple[str, ...]:
        """Name the segments of users."""
        return self._fallback.names

    def state_of(self, user: str, now: int, at: dt.datetime | None, context: RequestContext) -> ProfileState:
        """Read a user's row as of `now` and find its rung; `at` is the time that the request named, if it did."""
        if context.overdue:
            return self._overdue(user, now, context)
        try:
            rows = context.rows = _in_time(self._read(user, now, context), at)
        except StoreAway as away:
            log.warning("%s; answered with what is popular", away)
            return self._down(self._nobody(user, now), reason="store_away")
        return self._of_row(rows, context)

    def state_of_session(self, found: SessionRow, at: dt.datetime | None, context: RequestContext) -> ProfileState:
        """Find the rung of a row that was made of a request's own events."""
        rows = _in_time(found.rows, at)
        state = self._down(rows, reason="timeout") if context.overdue else self._of_row(rows, context)
        return dataclasses.replace(state, remembered=found.remembered)

    def _of_row(self, rows: UserRows, context: RequestContext) -> ProfileState:
        """Find the rung of a row, and the intents from it."""
        if not rows.known[0]:
            return self._down(rows)
        age_s = int(rows.now[0] - rows.state_at[0])
        rung = of_age(age_s, ttl_s=self._release.ttl_s, used_s=self._release.used_s)
        if rung is None:
            return self._down(rows)
        with context.stage("predict intents"):
            probabilities = _tried(lambda: _finite(self._scorer.predict(rows)[0]))
        if probabilities is None:
            return self._down(rows, reason="models_failed")
        profile = self._profile(rows, rung)
        return ProfileState(rows, profile, probabilities, modelled=True)

    def recommend(
        self, state: ProfileState, *, k: int, exclude: frozenset[int] = frozenset()
    ) -> tuple[ProfileState, Sequence[Recommended]]:
        """Return k items, or all that may be shown, and the state after it, which is lower where the ranker fails."""
        rows, exclude = state.rows, exclude | state.own | self._acted_on(state)
        ranker, n_items = self._ranker_of(state), self._n_items
        if state.items is not None:
            exclude, n_items = exclude | state.items.hidden, len(state.items.titles)
        if state.modelled:
            items = _tried(lambda: _scored(ranker.recommend(rows, state.probabilities, k=k, exclude=exclude)))
            if items is not None:
                return state, items
            down = self._down(rows, reason="models_failed")
            state = dataclasses.replace(down, items=state.items, remembered=state.remembered, interests=state.interests)
        group, barred = self._group(rows), self._eligible.barred(rows)
        exclude |= frozenset(barred.values.tolist())
        interests = state.interests
        return state, self._fallback.recommend(group, n_items=n_items, k=k, exclude=exclude, interests=interests)

    def similar(
        self, state: ProfileState, index: int, *, k: int, exclude: frozenset[int], by: str | None
    ) -> Similar | None:
        """Return at most k items like one that the user may be shown; None where the ranker does not answer."""
        exclude |= state.own | self._acted_on(state) | frozenset(self._eligible.barred(state.rows).values.tolist())
        if state.items is not None:
            exclude |= state.items.hidden
        ranker = self._ranker_of(state)
        return _tried(lambda: ranker.similar(index, k=k, exclude=exclude, by=by))

    def values(
        self, state: ProfileState, attribute: str, *, k: int, exclude: frozenset[int] = frozenset()
    ) -> tuple[ProfileState, Sequence[RecommendedValue]]:
        """Return k values of an attribute, or all of which something may be shown, and the state after it.

        Where no model answers a value has what the user's segment, or everyone, had of its items.
        """
        exclude |= state.own | self._acted_on(state)
        if state.items is not None:
            exclude |= state.items.hidden
        ranker, rows = self._ranker_of(state), state.rows
        if state.modelled:
            chances, gone = state.probabilities, exclude
            found = _tried(lambda: _valued(ranker.values(rows, chances, attribute=attribute, k=k, exclude=gone)))
            if found is not None:
                return state, found
            down = self._down(rows, reason="models_failed")
            state = dataclasses.replace(down, items=state.items, remembered=state.remembered)
        exclude |= frozenset(self._eligible.barred(rows).values.tolist())
        words = ranker.vocabulary
        return state, standby_values(self._fallback, self._group(rows), words, attribute, k=k, exclude=exclude)

    def nobody(self, user: str, now: int) -> ProfileState:
        """Return what is known where no user is named: nothing is read."""
        return self._down(self._nobody(user, now))

    def _acted_on(self, state: ProfileState) -> frozenset[int]:
        """Return who came after training and may not be shown: rows do not hold them, the user's memory does.

        Where it cannot be read, nobody who came later is shown.
        """
        later = NOBODY if state.items is None else state.items.people
        if not later or not self._eligible.bars:
            return frozenset()
        user = str(state.rows.user_id[0])
        remembered: Sequence[Remembered] | None = state.remembered
        if remembered is None and state.profile.reason not in ("store_away", "timeout"):
            with contextlib.suppress(StoreAway, DataError):
                remembered = self._breaker.call(lambda: self._profiles.memories([user]))[0] or []
        rule, signs = self._release.ranking, self._eligible.signs
        return later.barred(user, remembered, signs=signs, forbid=rule.repeats == FORBID, event=rule.event)

    def score(self, state: ProfileState, indexes: Sequence[int]) -> tuple[ProfileState, list[float]]:
        """Score items [M], by the share of a group's users who had them where no model does."""
        rows = state.rows
        if state.modelled:
            wanted = np.asarray(indexes, dtype=np.int64)
            values = _tried(lambda: _finite(self._ranker_of(state).score(rows, state.probabilities, wanted)))
            if values is not None:
                return state, [float(value) for value in values]
            state = dataclasses.replace(self._down(rows, reason="models_failed"), items=state.items)
        group = self._group(rows)
        return state, [self._fallback.score(group, index) for index in indexes]

    def algorithm_of(self, state: ProfileState) -> str | None:
        """Name the algorithm that scores items for a user; None where no model answers."""
        if not state.modelled:
            return None
        return _tried(lambda: self._ranker_of(state).algorithm_of(state.rows, state.probabilities))

    def popular(
        self, *, most: int, n_items: int, exclude: frozenset[int] = frozenset()
    ) -> tuple[np.ndarray, Sequence[Recommended]]:
        """Return what the lowest rung says of anyone: intent rates [C] and at most so many of the items."""
        everyone = self._fallback.everyone
        listed = self._fallback.recommend(everyone, n_items=n_items, k=most, exclude=exclude)
        return self._fallback.rates[everyone], listed

    def session_of(self, sessions: Sessions, state: ProfileState, context: RequestContext) -> SessionSaid | None:
        """Ask about the visit that a user's last events are of; None where they cannot be read."""
        if context.overdue or state.profile.reason == "store_away":
            return None
        user, now = str(state.rows.user_id[0]), int(state.rows.now[0])
        with context.stage("predict session"):
            return _tried(
                lambda: sessions.said(self._breaker.call(lambda: self._profiles.memories([user]))[0] or [], now=now)
            )

    def forecasts_of(
        self, forecasts: Forecasts, state: ProfileState, context: RequestContext
    ) -> list[dict[str, Any]] | None:
        """Ask for the amounts and next values of a user; None where the models do not answer."""
        if not state.modelled or context.overdue:
            return None
        with context.stage("predict forecasts"):
            return _tried(lambda: forecasts.said(state.rows))

    def forecast_causes_of(
        self, explains: ExplainsForecasts, state: ProfileState, context: RequestContext
    ) -> list[schemas.ForecastCauses] | None:
        """Ask why forecasts are what they are; None where the models do not answer, or fail."""
        if not state.modelled or context.overdue:
            return None
        with context.stage("explain forecasts"):
            return _tried(
                lambda: [schemas.ForecastCauses.model_validate(one.document()) for one in explains(state.rows)]
            )

    def causes_of(
        self, explains: Explains, state: ProfileState, targets: Sequence[int], context: RequestContext
    ) -> list[schemas.Causes] | None:
        """Ask why targets have their probabilities; None where no model says: it is late, fails or has no such form."""
        if not state.modelled or context.overdue:
            return None
        with context.stage("explain"):
            found = _tried(
                lambda: [schemas.Causes.model_validate(one.document()) for one in explains(state.rows, targets)]
            )
        return found or None

    def warm_up(self, user: str, now: int, like: UserRows | None = None) -> None:
        """Read nobody's row and run the models on it and on a row `like` users' own; start even where one is away."""
        try:
            rows = self._profiles.read([user], now=now)
        except StoreAway as away:
            log.warning("%s; serving starts without it", away)
            rows = self._nobody(user, now)
        try:
            for asked in [rows, *([] if like is None else [like] * warmup.TIMES)]:
                self._ranker.recommend(asked, self._scorer.predict(asked)[0], k=1, exclude=frozenset())
        except StoreAway as away:  # a model service
            log.warning("%s; serving starts without it", away)

    def _ranker_of(self, state: ProfileState) -> Ranker:
        return self._ranker if state.items is None else state.items.ranker

    def _read(self, user: str, now: int, context: RequestContext) -> UserRows:
        context.reading = True
        try:
            with context.stage("read profile"):
                return self._breaker.call(lambda: self._profiles.read([user], now=now))
        finally:
            context.reading = False

    def _overdue(self, user: str, now: int, context: RequestContext) -> ProfileState:
        """Answer from the row that was read in time; where the store has not answered yet, count a failure of it."""
        if context.reading:
            self._breaker.failed()
        return self._down(self._nobody(user, now) if context.rows is None else context.rows, reason="timeout")

    def _down(self, rows: UserRows, *, reason: schemas.Reason | None = None) -> ProfileState:
        """Step down to the row's segment, or to everyone where there is no row or no segment."""
        group = self._group(rows)
        rung: schemas.Rung = "popular" if group == self._fallback.everyone else "segment"
        return ProfileState(rows, self._profile(rows, rung, reason=reason), self._fallback.rates[group], modelled=False)

    def _group(self, rows: UserRows) -> int:
        segment = rows.numbers.get(columns.SEGMENT)
        return self._fallback.everyone if segment is None or not rows.known[0] else self._fallback.group(segment[0])

    def _profile(self, rows: UserRows, rung: schemas.Rung, *, reason: schemas.Reason | None = None) -> schemas.Profile:
        known, group = bool(rows.known[0]), self._group(rows)
        return schemas.Profile(
            rung=rung,
            state_at=instant(int(rows.state_at[0])) if known else None,
            age_days=round(int(rows.now[0] - rows.state_at[0]) / DAY, 3) if known else None,
            segment=None if group == self._fallback.everyone else self._fallback.names[group],
            degraded=reason is not None,
            reason=reason,
        )

    def _nobody(self, user: str, now: int) -> UserRows:
        return UserRows.unknown([user], now=now, windows_days=self._release.profiles.windows_days)


def _in_time(rows: UserRows, at: dt.datetime | None) -> UserRows:
    """Ask about a row no earlier than it knows: just after its last event, or not at all where `at` was named."""
    if not rows.known[0] or rows.state_at[0] <= rows.now[0]:
        return rows
    if at is None:
        return dataclasses.replace(rows, now=rows.state_at)
    since = instant(int(rows.state_at[0])).isoformat()
    raise refused("at", f"{at.isoformat()} is in the past of the user's profile", f"{since} or later")


def _finite(values: np.ndarray) -> np.ndarray:
    """Return what a model says; ArithmeticError where it says no number, from a spoilt profile or spoilt weights."""
    if not np.logical_and.reduce(np.isfinite(values)):
        raise ArithmeticError(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} values are no numbers")
    return values


def _valued(values: Sequence[RecommendedValue]) -> Sequence[RecommendedValue]:
    """Return values; ArithmeticError where a score is no number."""
    _finite(np.asarray([one.score for one in values], dtype=np.float64))
    return values


def _scored(items: Sequence[Recommended]) -> Sequence[Recommended]:
    """Return ranked items; ArithmeticError where a score is no number."""
    if not all(math.isfinite(item.score) for item in items):
        _finite(np.asarray([item.score for item in items], dtype=np.float64))
    return items


def _tried(ask: Callable[[], Answer]) -> Answer | None:
    """Return what a model says, or None where it fails: whatever it raises, there is an answer without it."""
    try:
        return ask()
    except StoreAway as away:  # a model service: that it is away is no fault of the code's
        log.warning("%s; answered without it", away)
        return None
    except ArithmeticError as no_number:
        log.warning("a model answered with no number: %s; answered without it", no_number)
        return None
    except Exception:
        log.exception("a model failed; answered without it")
        return None
