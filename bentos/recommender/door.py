"""The door's logic, without HTTP: hash the user, read the profile, score intents, rank items, log what was served.

Everything it needs comes in: release, models, profile store, logs, clock and key. `service.py` brings the real
ones. It keeps no cache of answers: what an event changes, the next answer shows.

Letters: C targets of the intent model, M items asked about.
"""

import dataclasses
import datetime as dt
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bentos.recommender import schemas
from bentos.recommender.clock import DAY, Clock
from bentos.recommender.eventlog import EventLog
from bentos.recommender.explanation import features_of
from bentos.recommender.intake import Intake, instant
from bentos.recommender.ports import Profiles, Ranker, Recommended, Scorer
from bentos.recommender.problems import refused, short
from bentos.recommender.requestlog import RequestLog, Served
from bentos.release import Release
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.pseudonyms import pseudonym
from feature_repo.rows import UserRows

TOP_INTENTS = 5
GREEDY = 1.0  # propensity: this policy shows its best items, always


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What one request saw: the user's row and intents; and its id and start."""

    rows: UserRows
    probabilities: np.ndarray  # [C]
    profile: schemas.Profile
    request_id: str
    started: float


class Door:
    """Answers the endpoints' requests about one release."""

    def __init__(
        self,
        release: Release,
        scorer: Scorer,
        ranker: Ranker,
        profiles: Profiles,
        log: RequestLog,
        clock: Clock,
        *,
        events: EventLog,
        key: str,
    ) -> None:
        self.release, self._scorer, self._ranker, self._profiles = release, scorer, ranker, profiles
        self._log, self._clock, self._events, self._key = log, clock, events, key
        for part, found in (("intent", scorer.vocabulary.digest), ("ranking", ranker.vocabulary.digest)):
            if found != release.vocabulary:
                raise DataError(
                    f"release {release.id}: its {part} model has the vocabulary {found}, "
                    f"release.json says {release.vocabulary}; assemble the release again"
                )
        self._vocabulary = ranker.vocabulary
        titles = self._vocabulary.items[columns.TITLE].to_pylist()
        self._titles = [t or i for t, i in zip(titles, self._vocabulary.item_ids, strict=True)]
        self._intake = Intake(events, profiles, clock=clock, calendar=release.calendar, key=key)
        if events.latest is not None:
            clock.saw(events.latest)

    def recommend(self, ask: schemas.RecommendRequest) -> schemas.Recommendations:
        """Recommend items to a user."""
        k = self._k(ask.k)
        seen = self._look(ask.user_id, ask.at)
        index = self._vocabulary.index_of_item
        exclude = frozenset(index[item] for item in ask.exclude if item in index)
        items = [
            self._shown(one) for one in self._ranker.recommend(seen.rows, seen.probabilities, k=k, exclude=exclude)
        ]
        best = np.argsort(-seen.probabilities, kind="stable")[:TOP_INTENTS].tolist()
        self._write(
            "recommend",
            seen,
            asked={"k": k, "context": ask.context, "exclude": ask.exclude, "at": ask.at},
            items=[
                {"position": place, **item.model_dump(exclude={"title", "reasons"})}
                for place, item in enumerate(items, 1)
            ],
        )
        return schemas.Recommendations(
            items=items, intents=self._intents(best, seen), profile=seen.profile, **self._signed(seen)
        )

    def intents(self, ask: schemas.IntentsRequest) -> schemas.Intents:
        """Return every intent of a user."""
        seen = self._look(ask.user_id, ask.at)
        self._write("intents", seen, asked={"at": ask.at})
        every = self._intents(range(len(seen.probabilities)), seen)
        return schemas.Intents(intents=every, profile=seen.profile, **self._signed(seen))

    def rank(self, ask: schemas.RankRequest) -> schemas.Scores:
        """Score given items for a user, in the order given."""
        indexes = [self._index(item, where=f"item_ids[{place}]") for place, item in enumerate(ask.item_ids)]
        seen = self._look(ask.user_id, ask.at)
        values = self._score(seen, indexes)
        self._write("rank", seen, asked={"item_ids": ask.item_ids, "scores": values, "at": ask.at})
        scores = [schemas.Score(item_id=i, score=s) for i, s in zip(ask.item_ids, values, strict=True)]
        return schemas.Scores(scores=scores, profile=seen.profile, **self._signed(seen))

    def explain(self, ask: schemas.ExplainRequest) -> schemas.Explanation:
        """Say what speaks for an item: its source and place, the features and the intents it rests on."""
        index = self._index(ask.item_id, where="item_id")
        seen = self._look(ask.user_id, ask.at)
        position, found = self._place(seen, index)
        leveled = self._vocabulary.targets_of_item.get(ask.item_id, ())
        targets = [t for t, target in enumerate(self._vocabulary.targets) if target.column is None or t in leveled]
        features = features_of(
            seen.rows,
            item_index=index,
            targets={t: self._vocabulary.target_names[t] for t in targets},
            reasons=found.reasons if found else {},
        )
        self._write("explain", seen, asked={"item_id": ask.item_id, "at": ask.at})
        return schemas.Explanation(
            item_id=ask.item_id,
            title=self._titles[index],
            source=found.source if found else None,
            position=position,
            score=float(found.score) if found else self._score(seen, [index])[0],
            intents=self._intents(targets, seen),
            features=features,
            profile=seen.profile,
            **self._signed(seen),
        )

    def events(self, ask: schemas.EventsRequest) -> schemas.Accepted:
        """Store events durably and fold them into their users' profiles."""
        fresh = self._intake.take(ask.events)
        return schemas.Accepted(
            accepted=fresh,
            duplicates=len(ask.events) - fresh,
            release=self.release.id,
            request_id=uuid.uuid4().hex,
        )

    def warm_up(self) -> None:
        """Answer once for nobody, so that the first user does not wait for lazy work; nothing is logged."""
        rows = self._read(pseudonym("", self._key), None)
        self._ranker.recommend(rows, self._scorer.predict(rows)[0], k=self._k(None), exclude=frozenset())
        _ = self._vocabulary.index_of_item, self._vocabulary.targets_of_item

    def close(self) -> None:
        """Sync and close the logs."""
        self._log.close()
        self._events.close()

    def _k(self, asked: int | None) -> int:
        """Return how many items to show; the spec says how many at most."""
        serving = self.release.serving
        if asked is not None and asked > serving.max_k:
            raise refused("k", f"{asked} is too many", f"1 to {serving.max_k}")
        return asked or serving.k

    def _index(self, item_id: str, *, where: str) -> int:
        """Return an item's position in the catalogue."""
        index = self._vocabulary.index_of_item.get(item_id)
        if index is None:
            allowed = f"the {len(self._vocabulary.item_ids)} items of release {self.release.id}"
            raise refused(where, f"{short(item_id)} is no item", allowed)
        return index

    def _look(self, user_id: str, at: dt.datetime | None) -> _Seen:
        """Read a user's row as of `at` and predict the intents."""
        started = time.perf_counter()
        rows = self._read(pseudonym(user_id, self._key), at)
        return _Seen(rows, self._scorer.predict(rows)[0], self._profile(rows), uuid.uuid4().hex, started)

    def _read(self, user: str, at: dt.datetime | None) -> UserRows:
        """Read a row. Without `at` it is asked about when the clock stands, or just after its last event."""
        rows = self._profiles.read([user], now=self._clock.now() if at is None else int(at.timestamp()))
        if not rows.known[0] or rows.state_at[0] <= rows.now[0]:
            return rows
        if at is None:
            return dataclasses.replace(rows, now=rows.state_at)
        since = instant(int(rows.state_at[0])).isoformat()
        raise refused("at", f"{at.isoformat()} is in the past of the user's profile", f"{since} or later")

    def _profile(self, rows: UserRows) -> schemas.Profile:
        """Tell the rung of the ladder: fresh, stale but used, or unknown."""
        if not rows.known[0]:
            return schemas.Profile(rung="unknown", state_at=None, age_days=None)
        state_at = int(rows.state_at[0])
        age_s = int(rows.now[0]) - state_at
        rung: schemas.Rung = "fresh" if age_s <= self.release.ttl_s else "stale"
        return schemas.Profile(rung=rung, state_at=instant(state_at), age_days=round(age_s / DAY, 3))

    def _shown(self, one: Recommended) -> schemas.Item:
        return schemas.Item(
            item_id=self._vocabulary.item_ids[one.item_index],
            title=self._titles[one.item_index],
            score=float(one.score),
            source=one.source,
            propensity=GREEDY,
            reasons={name: float(value) for name, value in one.reasons.items()},
        )

    def _score(self, seen: _Seen, indexes: list[int]) -> list[float]:
        values = self._ranker.score(seen.rows, seen.probabilities, np.asarray(indexes, dtype=np.int64))  # [M]
        return [float(value) for value in values]

    def _place(self, seen: _Seen, index: int) -> tuple[int | None, Recommended | None]:
        """Find an item among all candidates of the user: its place from 1, or nothing."""
        every = self._ranker.recommend(seen.rows, seen.probabilities, k=self.release.candidates, exclude=frozenset())
        return next(((place, one) for place, one in enumerate(every, 1) if one.item_index == index), (None, None))

    def _intents(self, targets: Iterable[int], seen: _Seen) -> list[schemas.Intent]:
        names = self._vocabulary.target_names
        return [schemas.Intent(name=names[t], probability=float(seen.probabilities[t])) for t in targets]

    def _signed(self, seen: _Seen) -> dict[str, str]:
        return {"release": self.release.id, "request_id": seen.request_id}

    def _write(
        self, endpoint: str, seen: _Seen, *, asked: Mapping[str, Any], items: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Log an answer."""
        self._log.append(
            Served(
                request_id=seen.request_id,
                endpoint=endpoint,
                release=self.release.id,
                policy=self.release.policy,
                rung=seen.profile.rung,
                rows=seen.rows,
                probabilities=seen.probabilities,
                latency_ms=1000 * (time.perf_counter() - seen.started),
                asked=asked,
                items=items,
            )
        )
