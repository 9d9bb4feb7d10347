"""The door, without HTTP: the parts that every endpoint's function works with, and the steps that they share.

The steps are: replace the user by a pseudonym and find their rung of the ladder (`state_of`), look items up, log the
answer (`write`) and sign it. What an endpoint does with them is in bentos/endpoints. Release, models, profile store,
logs, clock and key come in as arguments; `service.py` brings the real ones. The door keeps no cache of answers, so the
next answer shows what an event has changed.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bentos.endpoints import schemas
from bentos.endpoints.events import SetAside
from bentos.endpoints.items import ItemsRequest
from bentos.endpoints.rules import RulesRequest
from bentos.http.breaker import Breaker
from bentos.http.problems import refused, short
from bentos.http.request_context import RequestContext
from bentos.recommender import item_changes, rule_changes, rule_lists, short_histories, warmup
from bentos.recommender.anonymous import Anonymous
from bentos.recommender.catalogue import Grow, OpenCatalogue, ShownItems
from bentos.recommender.clock import Clock
from bentos.recommender.explanation import features_of
from bentos.recommender.exploration import Exploration
from bentos.recommender.gone import Gone
from bentos.recommender.ladder import Ladder, ProfileState, likeliest
from bentos.recommender.logs.event_rules import EventRules
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.intake import Intake
from bentos.recommender.logs.requestlog import LoggedAnswer, RequestLog
from bentos.recommender.ports import (
    Decides,
    Explains,
    ExplainsForecasts,
    Forecasts,
    Profiles,
    Ranker,
    Recommended,
    Scorer,
    Sessions,
)
from bentos.recommender.rule_lists import RuledList, Wanted
from bentos.release import Release
from components.ranking.eligibility import own_item
from components.ranking.rules.book import RuleBook
from components.ranking.rules.spec import Placement
from feature_repo import columns, records
from feature_repo.documents.log import DocumentLog
from feature_repo.errors import DataError, nearest
from feature_repo.fallback import Fallback
from feature_repo.memory import Remembered
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.update import Folding

NOBODY = ""  # no user has this id
INTENTS = TypeAdapter(list[schemas.Intent])
FORECAST: TypeAdapter[schemas.Forecast] = TypeAdapter(schemas.Forecast)


class Door:
    """One release and what is needed to answer from it."""

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
        documents: DocumentLog | None = None,  # what people change live; None: nobody can
        sessions: Sessions | None = None,  # None: no intent of the release is of a visit
        forecasts: Forecasts | None = None,  # None: none is of kind regression or multiclass
        explains_forecasts: ExplainsForecasts | None = None,
        grow: Grow | None = None,  # with it: the ranker over other items
        thresholds: Decides | None = None,  # None: the intent model has none
        explains: Explains | None = None,  # None: the intent model is a service of its own
        folds: Folding | None = None,  # how events become a row; None: sessions of nobody cannot be answered
    ) -> None:
        self.release = release
        self._log, self._clock, self._events, self._key = log, clock, events, key
        self._tombstones, self._profiles, self._sessions = tombstones, profiles, sessions
        self._thresholds, self._forecasts = thresholds, forecasts
        self._explains_forecasts = explains_forecasts
        self._explains = explains
        for part, found in (("intent", scorer.vocabulary.digest), ("ranking", ranker.vocabulary.digest)):
            if found != release.vocabulary:
                raise DataError(
                    f"release {release.id}: its {part} model has the vocabulary {found}, "
                    f"release.json says {release.vocabulary}; assemble the release again"
                )
        self.vocabulary = ranker.vocabulary  # the release's own: rows and intents follow it
        self.catalogue = OpenCatalogue(release, ranker, documents, grow)
        rule_changes.require_kept(release, ranker)
        self.ladder = Ladder(release, scorer, ranker, profiles, fallback, breaker=breaker or Breaker())
        self.rules: EventRules = EventRules(
            release.event_rules,
            known=lambda item: self.catalogue.current.vocabulary.knows(item),
            unknown=release.unknown_items,
        )
        words, segments = ranker.vocabulary, self.ladder.segments
        self.exploration = Exploration.of(release, segments=segments, words=words, key=key)  # None: it is greedy
        people = release.ranking.people
        self._gone = Gone(tombstones, profiles) if people else None
        self.intake = Intake(
            events,
            profiles,
            clock=clock,
            calendar=release.calendar,
            key=key,
            tombstones=tombstones,
            item_of=self.item_id if people else None,
            texts=release.profiles.rows_hold_texts,
        )
        self._anonymous = (
            None if folds is None else Anonymous(folds, self.rules, clock, item_of=self.item_id, forgets=self.forgets)
        )
        if events.latest is not None:
            clock.saw(events.latest)
        self.catalogue.start()

    def item_id(self, given: str) -> str:
        """Return an item's id as the catalogue has it: a person's pseudonym, given that or the raw id."""
        if not self.release.ranking.people or given in self.catalogue.current.vocabulary.index_of_item:
            return given
        return pseudonym(given, self._key)

    def forgets(self, item_id: str) -> bool:
        """Tell whether an item, by the catalogue's id, is a person who was forgotten: nothing is said or kept of it."""
        return self._gone is not None and self._gone.holds(item_id)

    def items_of(self, context: RequestContext) -> ShownItems:
        """Return the items that a request is about: as they are when it first asks, to its end."""
        if context.items is None:
            context.items = self.catalogue.current
        return context.items

    def index_of(self, item_id: str, context: RequestContext, *, where: str) -> int:
        """Return an item's position in the catalogue, or refuse the field `where` that names it."""
        found = self.items_of(context).vocabulary
        index = found.index_of_item.get(self.item_id(item_id))
        if index is None or self.forgets(self.item_id(item_id)):
            later = len(found.item_ids) - len(self.vocabulary.item_ids)
            more = f" and {later} that came later" if later else ""
            allowed = f"the {len(self.vocabulary.item_ids)} items of release {self.release.id}{more}"
            raise refused(where, f"{short(item_id)} is no item", allowed)
        return index

    def targets_of(self, item_id: str, context: RequestContext) -> list[int]:
        """Return the intents that an event with an item would fulfil, as positions in the vocabulary."""
        leveled = self.items_of(context).vocabulary.targets_of_item.get(self.item_id(item_id), ())
        return [t for t, target in enumerate(self.vocabulary.targets) if target.column is None or t in leveled]

    def state_of(self, user_id: str, at: dt.datetime | None, context: RequestContext) -> ProfileState:
        """Find the rung of a user as of `at`, or as of the clock's time."""
        now = self._clock.now() if at is None else int(at.timestamp())
        hidden, items = self._pseudonym(user_id), self.items_of(context)
        state = self.ladder.state_of(hidden, now, at, context)
        own = own_item(self.release.ranking, items.vocabulary.index_of_item, user_id, hidden=hidden)
        return self._shown(state, own, items)

    def state_of_session(
        self, events: Sequence[schemas.SessionEvent], at: dt.datetime | None, context: RequestContext
    ) -> tuple[ProfileState, list[SetAside]]:
        """Find the rung of somebody who is no user, from what they did; nothing of it is kept (anonymous.py)."""
        if self._anonymous is None:
            raise refused("events", "cannot be folded here", "a user_id")
        now = self._clock.now() if at is None else int(at.timestamp())
        found, aside = self._anonymous.row(events, pseudonym(NOBODY, self._key), now=now)
        if found is None:
            return self.nobody(context), aside
        state = self.ladder.state_of_session(found, at, context)
        return self._shown(state, frozenset(), self.items_of(context)), aside

    def nobody(self, context: RequestContext) -> ProfileState:
        """Return what a request that names no user is answered from, without a look at the store."""
        state = self.ladder.nobody(pseudonym(NOBODY, self._key), self._clock.now())
        return self._shown(state, frozenset(), self.items_of(context))

    def _shown(self, state: ProfileState, own: frozenset[int], items: ShownItems) -> ProfileState:
        """Add to a state what may be shown, and whom nobody is shown."""
        barred = own if self._gone is None else own | self._gone.items(items.vocabulary.item_ids)
        return dataclasses.replace(state, own=barred, items=items)

    def listed(
        self,
        state: ProfileState,
        k: int,
        context: RequestContext,
        *,
        exclude: frozenset[int] = frozenset(),
        placement: str | None = None,
        rules: RuleBook | None = None,
        explores: bool = False,
    ) -> RuledList:
        """Return a list of `k` items by the rules that hold, those of `rules` in place of what is shown by now.

        Where the user sees it and the log keeps it, it `explores`, if the release does.
        """
        book = self.items_of(context).rules if rules is None else rules

        def memory() -> Sequence[Remembered] | None:
            if state.remembered is not None:
                return state.remembered
            if context.overdue or state.profile.reason in ("store_away", "timeout"):
                return None
            return rule_lists.remembered(lambda: self._profiles.memories([str(state.rows.user_id[0])])[0])

        exploration = self.exploration if explores else None
        considered = k if exploration is None else exploration.considered(k)
        wanted = Wanted(k, considered, self.release.candidates, exclude, placement, explores=exploration is not None)
        found = rule_lists.recommend(self.ladder, state, wanted, book=book, memory=memory)
        if exploration is None:
            return found
        words = self.items_of(context).vocabulary
        drawn = exploration.explored(found, context.request_id, words=words, counts=not context.mirrored)
        return rule_lists.with_own_scores(self.ladder, drawn, before=found)

    def short_history(self, state: ProfileState, context: RequestContext) -> tuple[str, ...]:
        """Return titles of what a user had, the newest first, where a model is to order their list; else none."""
        return short_histories.history(self, state, context)

    def placement(self, name: str | None) -> Placement | None:
        """Return a placement by its name, or refuse it."""
        have = self.release.placements
        if name is None:
            return None
        if name not in have:
            said = f"{short(name)} is no placement{nearest(name, list(have))}"
            raise refused("placement", said, ", ".join(have) or "none: the spec declares no placements; leave it out")
        return have[name]

    def intents_of(self, state: ProfileState, targets: Iterable[int]) -> list[schemas.Intent]:
        """Name intents, each with its probability for the user."""
        return self._named(state.probabilities, targets)

    def decisions_of(self, state: ProfileState) -> dict[str, bool] | None:
        """Say of each intent whether it counts as yes; None where the release has no thresholds."""
        if self._thresholds is None:
            return None
        yes = self._thresholds.decided(np.asarray(state.probabilities)).tolist()
        return dict(zip(self.vocabulary.target_names, yes, strict=True))

    def causes_of(
        self, state: ProfileState, targets: Sequence[int], context: RequestContext
    ) -> list[schemas.Causes] | None:
        """Say why intents have their probabilities; None where no model in this process gave them, or tells why."""
        return None if self._explains is None else self.ladder.causes_of(self._explains, state, targets, context)

    def forecast_causes_of(self, state: ProfileState, context: RequestContext) -> list[schemas.ForecastCauses] | None:
        """Say why forecasts are what they are; None where none was made for the user, or nothing tells why."""
        why = self._explains_forecasts
        return None if why is None else self.ladder.forecast_causes_of(why, state, context)

    def session_of(self, state: ProfileState, context: RequestContext) -> schemas.Session | None:
        """Say what the rest of the visit that goes on may hold; None where the release has no intents of a visit."""
        if self._sessions is None:
            return None
        read = self.ladder.session_of(self._sessions, state, context)
        found = self._sessions.said([], now=0) if read is None else read
        basis: schemas.SessionBasis = "unknown" if read is None else "visit" if found.events else "start"
        named = zip(self._sessions.names, found.probabilities.tolist(), strict=True)
        every = [schemas.Intent(name=name, probability=probability) for name, probability in named]
        return schemas.Session(basis=basis, events=found.events, intents=every)

    def forecasts_of(self, state: ProfileState, context: RequestContext) -> list[schemas.Forecast] | None:
        """Say what the user comes to, and what comes next; None where the release has no such intents."""
        if self._forecasts is None:
            return None
        read = self.ladder.forecasts_of(self._forecasts, state, context)
        found = self._forecasts.said(None) if read is None else read
        return [FORECAST.validate_python(one) for one in found]

    def popular(
        self, among: ShownItems, *, items: int, intents: int
    ) -> tuple[Sequence[Recommended], list[schemas.Intent]]:
        """Return what the lowest rung says of anyone: at most so many items and intents."""
        gone = frozenset[int]() if self._gone is None else self._gone.items(among.vocabulary.item_ids)
        exclude = among.hidden | gone | self.hidden_by_rules(among)
        rates, listed = self.ladder.popular(most=items, n_items=len(among.titles), exclude=exclude)
        if any(one.caps for one in among.rules.rules):
            listed = rule_lists.kept_to_caps(listed, among.rules)
        return listed, self._named(rates, likeliest(rates, intents))

    def hidden_by_rules(self, among: ShownItems) -> frozenset[int]:
        """Return what any rule hides somewhere, now or later: for lists that name no placement."""
        return rule_lists.never_shown(among.rules, now=self._clock.now())

    def _named(self, probabilities: np.ndarray, targets: Iterable[int]) -> list[schemas.Intent]:
        """Name intents, each with its probability of these [C]."""
        names = self.vocabulary.target_names
        return INTENTS.validate_python([{"name": names[t], "probability": float(probabilities[t])} for t in targets])

    def features_of(
        self, state: ProfileState, index: int, targets: Iterable[int], *, reasons: Mapping[str, float]
    ) -> list[schemas.Feature]:
        """Return the values behind an item: the ranker's reasons, the user's record with the item and its intents."""
        named = {t: self.vocabulary.target_names[t] for t in targets}
        rows = records.read(state.rows, self.vocabulary.signs)
        return features_of(rows, item_index=index, targets=named, reasons=reasons)

    def changed(self, ask: ItemsRequest, *, who: str) -> item_changes.Written:
        """Write what a request says of items into the document log, and show it."""
        return item_changes.write(self.catalogue, ask, who=who)

    def ruled(self, ask: RulesRequest, *, who: str) -> rule_changes.WrittenRules:
        """Write what a request says of rules into the document log, and keep to it."""
        return rule_changes.write(self.catalogue, ask, who=who, segments=self.ladder.segments)

    def rules_after(self, ask: RulesRequest) -> RuleBook:
        """Return the rules that would hold after a request; nothing is written."""
        return rule_changes.previewed(self.catalogue, ask, segments=self.ladder.segments)

    def chosen(self, algorithm: str | None) -> dict[str, Any]:
        """Return what a log line says of the algorithm: its name where the release chooses among several."""
        return {columns.ALGORITHM: algorithm} if algorithm and self.release.ranking.choose is not None else {}

    def signed(self, context: RequestContext) -> dict[str, Any]:
        """Return the fields that every answer ends with."""
        version = self.items_of(context).version
        return {"catalogue_version": version, "release": self.release.id, "request_id": context.request_id}

    def write(
        self,
        context: RequestContext,
        state: ProfileState,
        *,
        asked: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Log an answer; where the request was answered meanwhile, end this call with GivenUp."""
        context.answer()
        self.append(context, state, asked=asked, items=items)

    def append(
        self,
        context: RequestContext,
        state: ProfileState,
        *,
        asked: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]],
    ) -> None:
        """Log an answer that this call has claimed the right to."""
        with context.stage("log"):
            self._log.append(
                LoggedAnswer(
                    request_id=context.request_id,
                    endpoint=context.endpoint,
                    release=self.release.id,
                    policy=self.release.policy,
                    rung=state.profile.rung,
                    degraded=state.profile.reason,
                    rows=state.rows,
                    probabilities=state.probabilities,
                    latency_ms=context.latency_ms,
                    asked=asked,
                    items=items,
                    mirrored=context.mirrored,
                    trace_id=context.trace_id,
                    catalogue_version=None if state.items is None else state.items.version,
                )
            )

    def write_nobody(self, context: RequestContext, state: ProfileState, *, asked: Mapping[str, Any]) -> None:
        """Log that a session of nobody was answered, and from which fault: no row, no intent and no item of it."""
        blank = self.nobody(context)
        failed = {"degraded": state.profile.degraded, "reason": state.profile.reason}
        profile = blank.profile.model_copy(update=failed)
        self.write(context, dataclasses.replace(blank, profile=profile), asked=asked)

    def warm_up(self, folding: Folding | None = None) -> None:
        """Answer for nobody, so that the first user does not wait for lazy work; nothing is stored or logged."""
        user, now = pseudonym(NOBODY, self._key), self._clock.now()
        self.ladder.warm_up(user, now, None if folding is None else warmup.row(folding, user, now=now))
        _ = self.vocabulary.index_of_item, self.vocabulary.targets_of_item

    def close(self) -> None:
        """Follow the catalogue no longer; sync and close the logs."""
        self.catalogue.close()
        self._events.close()  # first: the request log ships what both leave
        self._log.close()

    def _pseudonym(self, user_id: str) -> str:
        """Return a user's pseudonym; a person who was forgotten is answered, and logged, as nobody."""
        hidden = pseudonym(user_id, self._key)
        here = self._tombstones is not None and self._tombstones.holds(user_id)
        return pseudonym(NOBODY, self._key) if here or self._profiles.heard_of(hidden) else hidden
