"""The door's logic, without HTTP: hash the user, find their rung of the ladder, answer from it, log what was served.

Everything it needs comes in: release, models, profile store, logs, clock and key. `service.py` brings the real
ones. It keeps no cache of answers: what an event changes, the next answer shows.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bentos.http.breaker import Breaker
from bentos.http.problems import refused, short
from bentos.http.request_context import RequestContext
from bentos.recommender import schemas, warmup
from bentos.recommender.clock import Clock
from bentos.recommender.explanation import features_of
from bentos.recommender.ladder import Ladder, ProfileState
from bentos.recommender.logs.event_rules import EventRules
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.intake import Intake
from bentos.recommender.logs.requestlog import LoggedAnswer, RequestLog
from bentos.recommender.ports import Profiles, Ranker, Recommended, Scorer
from bentos.recommender.texts import Texts
from bentos.release import Release
from components.policy import policies
from components.policy.choice import draws
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.fallback import Fallback
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.update import Folding

TOP_INTENTS = 5
NOBODY = ""  # no user has this id


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
        fallback: Fallback,
        key: str,
        tombstones: Tombstones | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.release = release
        self._log, self._clock, self._events, self._key = log, clock, events, key
        self._tombstones = tombstones
        for part, found in (("intent", scorer.vocabulary.digest), ("ranking", ranker.vocabulary.digest)):
            if found != release.vocabulary:
                raise DataError(
                    f"release {release.id}: its {part} model has the vocabulary {found}, "
                    f"release.json says {release.vocabulary}; assemble the release again"
                )
        self._vocabulary = ranker.vocabulary
        self._ladder = Ladder(release, scorer, ranker, profiles, fallback, breaker=breaker or Breaker())
        self.rules = EventRules(release.event_rules)
        titles = self._vocabulary.items[columns.TITLE].to_pylist()
        self._policy = policies.named(release.policy)
        self._titles = [t or i for t, i in zip(titles, self._vocabulary.item_ids, strict=True)]
        self._texts = Texts(self._vocabulary, self._titles, release.content)
        self._intake = Intake(events, profiles, clock=clock, calendar=release.calendar, key=key, tombstones=tombstones)
        if events.latest is not None:
            clock.saw(events.latest)

    def recommend(self, ask: schemas.RecommendRequest, turn: RequestContext | None = None) -> schemas.Recommendations:
        """Recommend items to a user."""
        k, turn = self._k(ask.k), turn or RequestContext()
        index = self._vocabulary.index_of_item
        exclude = frozenset(index[item] for item in ask.exclude if item in index)
        standing = self._stand(ask.user_id, ask.at, turn)
        with turn.stage("rank"):
            standing, found = self._ladder.recommend(standing, k=self._policy.considered(k), exclude=exclude)
            choice = self._policy.choose(np.asarray([one.score for one in found]), k, draws(turn.request_id))
        shown = zip(choice.order, choice.propensities, strict=True)
        items = [self._shown(found[place], float(propensity)) for place, propensity in shown]
        best = np.argsort(-standing.probabilities, kind="stable")[:TOP_INTENTS].tolist()
        self._write(
            "recommend",
            turn,
            standing,
            asked={"k": k, "context": ask.context, "exclude": ask.exclude, "at": ask.at},
            items=[
                {"position": place, **item.model_dump(exclude={"title", "reasons"})}
                for place, item in enumerate(items, 1)
            ],
        )
        return schemas.Recommendations(
            items=items, intents=self._intents(best, standing), profile=standing.profile, **self._signed(turn)
        )

    def intents(self, ask: schemas.IntentsRequest, turn: RequestContext | None = None) -> schemas.Intents:
        """Return every intent of a user."""
        turn = turn or RequestContext()
        standing = self._stand(ask.user_id, ask.at, turn)
        self._write("intents", turn, standing, asked={"at": ask.at})
        every = self._intents(range(len(standing.probabilities)), standing)
        return schemas.Intents(intents=every, profile=standing.profile, **self._signed(turn))

    def rank(self, ask: schemas.RankRequest, turn: RequestContext | None = None) -> schemas.Scores:
        """Score given items for a user, in the order given."""
        turn = turn or RequestContext()
        indexes = [self._index(item, where=f"item_ids[{place}]") for place, item in enumerate(ask.item_ids)]
        standing = self._stand(ask.user_id, ask.at, turn)
        with turn.stage("rank"):
            standing, values = self._ladder.score(standing, indexes)
        self._write("rank", turn, standing, asked={"item_ids": ask.item_ids, "scores": values, "at": ask.at})
        scores = [schemas.Score(item_id=i, score=s) for i, s in zip(ask.item_ids, values, strict=True)]
        return schemas.Scores(scores=scores, profile=standing.profile, **self._signed(turn))

    def explain(self, ask: schemas.ExplainRequest, turn: RequestContext | None = None) -> schemas.Explanation:
        """Say what speaks for an item: its source and place, the features and the intents it rests on."""
        turn = turn or RequestContext()
        index = self._index(ask.item_id, where="item_id")
        standing = self._stand(ask.user_id, ask.at, turn)
        with turn.stage("rank"):
            standing, every = self._ladder.recommend(standing, k=self.release.candidates)
        position, found = next(((n, one) for n, one in enumerate(every, 1) if one.item_index == index), (None, None))
        if found is None:
            standing, (score,) = self._ladder.score(standing, [index])
        leveled = self._vocabulary.targets_of_item.get(ask.item_id, ())
        targets = [t for t, target in enumerate(self._vocabulary.targets) if target.column is None or t in leveled]
        features = features_of(
            standing.rows,
            item_index=index,
            targets={t: self._vocabulary.target_names[t] for t in targets},
            reasons=found.reasons if found else {},
        )
        self._write("explain", turn, standing, asked={"item_id": ask.item_id, "at": ask.at})
        return schemas.Explanation(
            item_id=ask.item_id,
            title=self._titles[index],
            source=found.source if found else None,
            position=position,
            score=float(found.score) if found else score,
            intents=self._intents(targets, standing),
            features=features,
            profile=standing.profile,
            **self._signed(turn),
        )

    def describe(self, ask: schemas.DescribeRequest, turn: RequestContext | None = None) -> schemas.Descriptions:
        """Say in words what is known of items, and what speaks for them."""
        turn, most = turn or RequestContext(), self.release.content.max_items
        if len(ask.item_ids) > most:
            raise refused("item_ids", f"{len(ask.item_ids)} are too many", f"1 to {most}")
        indexes = [self._index(item, where=f"item_ids[{place}]") for place, item in enumerate(ask.item_ids)]
        standing = self._stand(ask.user_id, ask.at, turn)
        with turn.stage("rank"):
            standing, every = self._ladder.recommend(standing, k=self.release.candidates)
        found = {one.item_index: one for one in every}
        texts = [self._texts.describe(index, found.get(index), standing) for index in indexes]
        asked = {"item_ids": ask.item_ids, "at": ask.at, "prompt": self.release.content.prompt}
        self._write("describe", turn, standing, asked=asked)
        return schemas.Descriptions(items=texts, profile=standing.profile, **self._signed(turn))

    def events(self, ask: schemas.EventsRequest, turn: RequestContext | None = None) -> schemas.Accepted:
        """Store events durably and fold them into their users' profiles."""
        turn = turn or RequestContext()
        with turn.stage("store and fold events"):
            taken = self._intake.take(ask.events, mirrored=turn.mirrored)
        noted = self.rules.noted(ask.events)
        return schemas.Accepted(
            **dataclasses.asdict(taken),
            noted=noted,
            release=self.release.id,
            request_id=turn.request_id,
        )

    def warm_up(self, folding: Folding | None = None) -> None:
        """Answer for nobody, so that the first user does not wait for lazy work; nothing is stored or logged."""
        user, now = pseudonym(NOBODY, self._key), self._clock.now()
        self._ladder.warm_up(user, now, None if folding is None else warmup.row(folding, user, now=now))
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

    def _stand(self, user_id: str, at: dt.datetime | None, turn: RequestContext) -> ProfileState:
        """Find the rung of a user, asked about at `at` or when the clock stands."""
        now = self._clock.now() if at is None else int(at.timestamp())
        return self._ladder.stand(self._hidden(user_id), now, at, turn)

    def _hidden(self, user_id: str) -> str:
        """Return a user's pseudonym; a forgotten person is answered, and logged, as nobody."""
        forgotten = self._tombstones is not None and self._tombstones.holds(user_id)
        return pseudonym(NOBODY if forgotten else user_id, self._key)

    def _shown(self, one: Recommended, propensity: float) -> schemas.Item:
        return schemas.Item(
            item_id=self._vocabulary.item_ids[one.item_index],
            title=self._titles[one.item_index],
            score=float(one.score),
            source=one.source,
            propensity=propensity,
            reasons={name: float(value) for name, value in one.reasons.items()},
        )

    def _intents(self, targets: Iterable[int], standing: ProfileState) -> list[schemas.Intent]:
        names = self._vocabulary.target_names
        return [schemas.Intent(name=names[t], probability=float(standing.probabilities[t])) for t in targets]

    def _signed(self, turn: RequestContext) -> dict[str, str]:
        return {"release": self.release.id, "request_id": turn.request_id}

    def _write(
        self,
        endpoint: str,
        turn: RequestContext,
        standing: ProfileState,
        *,
        asked: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Log an answer: the one that is given, for the call that is late is told to stop here."""
        turn.answer()
        with turn.stage("log"):
            self._log.append(
                LoggedAnswer(
                    request_id=turn.request_id,
                    endpoint=endpoint,
                    release=self.release.id,
                    policy=self.release.policy,
                    rung=standing.profile.rung,
                    degraded=standing.profile.reason,
                    rows=standing.rows,
                    probabilities=standing.probabilities,
                    latency_ms=turn.latency_ms,
                    asked=asked,
                    items=items,
                    mirrored=turn.mirrored,
                    trace_id=turn.trace_id,
                )
            )
