"""The spec: one recommender, composed of the slices that each part owns. `load` gives a frozen, checked one.

A mistake becomes one line: place, value, what is allowed, the nearest valid name.
"""

import typing
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from bentos.spec import Serving
from components.content import words
from components.content.spec import Content
from components.data.derived import with_bare, with_kinds, with_occasions, with_people, with_strength
from components.data.row_rules import OneOf
from components.data.source_spec import Files
from components.data.spec import Data
from components.intent import search_rows, search_space
from components.intent.forecasts.spec import USUAL_QUANTILES, Forecast, ForecastModel, ForecastRule
from components.intent.forecasts.spec import Kind as ForecastKind
from components.intent.networks import TEXT
from components.intent.sessions.spec import SessionIntent, SessionModel, SessionRule
from components.intent.spec import EVENTS, Intent, IntentModel, filled, read_by
from components.policy.spec import PolicySlice
from components.profiles import vocabulary_rule
from components.profiles.spec import HISTORIES, Profiles
from components.ranking.rules.spec import (
    MOST_RULES,
    Bought,
    Name,
    Pin,
    Placement,
    Rule,
    Shown,
    names_items,
    require_known_placements,
)
from components.ranking.spec import OF_PEOPLE, OF_VECTORS, Ranking
from components.registry.experiment_spec import Experiment
from components.registry.spec import Promotion
from components.vectors.spec import Vectors
from feature_repo import columns, files
from feature_repo.clock import HOUR, steps_of
from feature_repo.errors import SpecError, nearest, shortened
from feature_repo.slice import Slice
from monitoring.spec import Monitoring

# Slices that the environment has now: they change nothing that training makes. Specs of 0.1 are read until 0.3.
MOVED = ("compute", "jobs")
GRAPH, OF_KNOWLEDGE = (
    "graph",
    50,
)  # the source that reads what is known of items, and its limit where the spec says none
NEWER = ("vectors", "rules", "placements", "policy", "experiments")  # that dumps have only where a spec says them


class Models(Slice):
    """The models of a recommender."""

    intent: IntentModel = IntentModel()
    session: SessionModel = SessionModel()
    forecast: ForecastModel = ForecastModel()
    ranking: Ranking = Ranking()

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that these hold."""
        dumped: dict[str, Any] = dump(self)
        if self.session == SessionModel():
            dumped.pop("session", None)
        if self.forecast == ForecastModel():
            dumped.pop("forecast", None)
        return dumped


class Recommender(Slice):
    """One recommender, whole."""

    apiVersion: Literal["intentflow/v1"] = Field(description="Format of this file")  # noqa: N815 - as in Kubernetes
    kind: Literal["Recommender"] = Field(description="What the file declares")
    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        max_length=40,
        description="Names the state folder, registered models and releases",
    )
    data: Data
    profiles: Profiles = Profiles()
    intents: tuple[Intent, ...] = Field(
        min_length=1, max_length=16, description="What users may be about to do; each has a name of its own"
    )
    vectors: Vectors | None = Field(
        default=None, description="Vectors of items' texts and images: candidates, features, and items nobody chose yet"
    )
    models: Models = Models()
    placements: dict[Name, Placement] = Field(
        default={}, max_length=32, description="Where lists are shown, by name, such as home, basket, item page"
    )
    rules: list[Rule] = Field(
        default=[],
        max_length=MOST_RULES,
        description="What lists may hold: filter, boost, bury, pin, cap, stock, price, bought, shown, new. PUT /rules "
        "changes them while the service runs",
    )
    policy: PolicySlice = Field(default=PolicySlice(), description="What is shown of what was ranked, and its rewards")
    promotion: Promotion = Promotion()
    experiments: tuple[Experiment, ...] = Field(
        default=(),
        max_length=16,
        description="Releases side by side, and what decides between them; one runs at a time",
    )
    serving: Serving = Serving()
    content: Content = Content()
    monitoring: Monitoring = Monitoring()

    @field_validator("intents")
    @classmethod
    def _names_differ(cls, value: tuple[Intent, ...]) -> tuple[Intent, ...]:
        names = [intent.name for intent in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is declared twice; give each intent a name of its own")
        return value

    @model_validator(mode="before")
    @classmethod
    def _items_are_people(cls, document: Any) -> Any:
        """Rank people as such where items are users: nobody to themselves, and from who acted on whom."""
        if not _of(document, "data", "source", "items").get("from"):
            return document
        models = _of(document, "models")
        ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
        said = {"people": True, "exclude_self": True} | ranking | {"candidates": OF_PEOPLE | limits}
        return {**document, "models": {**models, "ranking": said}}

    @model_validator(mode="before")
    @classmethod
    def _items_have_vectors(cls, document: Any) -> Any:
        """Tell ranking what vectors of items there are; what is wrong with them their own slice says."""
        if not isinstance(document, dict) or not document.get("vectors"):
            return document
        try:
            vectors = Vectors.model_validate(document["vectors"]).slice()
        except ValidationError:
            return document
        models = _of(document, "models")
        ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
        said = ranking | {"vectors": vectors, "candidates": OF_VECTORS | limits}
        return {**document, "models": {**models, "ranking": said}}

    @model_validator(mode="before")
    @classmethod
    def _items_are_known(cls, document: Any) -> Any:
        """Have candidates come through what the spec knows of items, unless it says how many."""
        if not _of(document, "data", "knowledge"):
            return document
        models = _of(document, "models")
        ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
        said = ranking | {"candidates": {GRAPH: OF_KNOWLEDGE} | limits}
        return {**document, "models": {**models, "ranking": said}}

    @model_validator(mode="after")
    def _knowledge_is_there(self) -> "Recommender":
        if self.models.ranking.candidates.limit(GRAPH) and self.data.knowledge is None:
            raise ValueError(
                "models.ranking.candidates.graph: goes from item to item through `data.knowledge`, and there is none; "
                "say `data: {knowledge: {edges: <file>}}`, or leave graph out"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _events_are_kept(cls, document: Any) -> Any:
        """Keep memories of training rows, and read vectors of texts, where the intent model reads events."""
        models, intent = _of(document, "models"), _of(document, "models", "intent")
        if intent.get("reads") != EVENTS:
            return document
        said = filled(intent, _of(document, "vectors"))
        told = intent.get("architecture") == TEXT and columns.TEXT in _of(
            document, "data", "source", "events", "columns"
        )
        kept = columns.OF_TEXTS if told else columns.OF_TRAINING
        profiles = {columns.MEMORY: kept} | _of(document, "profiles")
        return {**document, "profiles": profiles, "models": {**models, "intent": said}}

    @model_validator(mode="after")
    def _events_are_there(self) -> "Recommender":
        if self.models.intent.reads == EVENTS and not self.profiles.rows_hold_events:
            raise ValueError(
                f"profiles.memory: {self.profiles.memory}, and models.intent.reads: {EVENTS} needs those of training "
                f"rows; use memory: {columns.OF_TRAINING}, or leave it out"
            )
        if self.profiles.rows_hold_texts and not self.data.has_text:
            raise ValueError(
                f"profiles.memory: {columns.OF_TEXTS} keeps what users wrote, and the source has no such column; map "
                f"{columns.TEXT} in data.source.events.columns, or use memory: {columns.OF_TRAINING}"
            )
        if self.data.has_text and not self.profiles.rows_hold_texts:
            raise ValueError(
                f"data.source.events.columns.{columns.TEXT}: what users wrote is kept for a model that reads it alone; "
                f"use models.intent.architecture: {TEXT} with reads: {EVENTS}, or leave {columns.TEXT} out"
            )
        if self.models.intent.titles and (self.vectors is None or self.vectors.text is None):
            raise ValueError("models.intent.titles: needs vectors of texts; add `vectors: {text: {}}`, or drop titles")
        return self

    @model_validator(mode="after")
    def _vectors_are_of_things(self) -> "Recommender":
        if self.vectors is not None and self.data.items_are_users:
            raise ValueError(
                "vectors: items are users, and what is known of people stays in the source, where `forget` reaches it; "
                "leave vectors out"
            )
        if self.models.ranking.vectors != (self.vectors and self.vectors.slice()):
            raise ValueError("models.ranking.vectors: follows from `vectors`; leave it out, and say that")
        # A text is there before its item is: at a test hour it would bring items of the hours after.
        if self.models.ranking.later_items and self.models.ranking.candidates.limit("content"):
            raise ValueError(
                "models.ranking.later_items: with vectors, each step's candidates would hold items that came after it, "
                "by their texts; say `candidates: {content: 0}`, which leaves vectors as features, or leave one out"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests where there is none of it, so that they hold."""
        dumped: dict[str, Any] = dump(self)
        if self.policy == PolicySlice():
            dumped.pop("policy", None)
        return {name: value for name, value in dumped.items() if name not in NEWER or value}

    @model_validator(mode="after")
    def _experiments_fit(self) -> "Recommender":
        """Refuse experiments of one name, and covariates that no row has."""
        names = [one.name for one in self.experiments]
        have = columns.profile_columns(self.profiles.windows_days)
        for place, one in enumerate(self.experiments):
            if names.count(one.name) > 1:
                raise ValueError(f"experiments[{place}].name: '{one.name}' is declared twice; give each its own")
            for covariate in one.covariates:
                if covariate not in have:
                    raise ValueError(
                        f"experiments[{place}].covariates: '{covariate}' is no number of a user's row; have "
                        f"{', '.join(have)}{nearest(covariate, list(have))}"
                    )
        return self

    @model_validator(mode="after")
    def _people_are_users(self) -> "Recommender":
        for place, intent in enumerate(self.intents):
            if self.data.items_are_users and intent.column == columns.ITEM_ID:
                raise ValueError(
                    f"intents[{place}].level: items.item_id would name people one by one, in answers and tables; leave "
                    "level out, to ask whether a user will act on anyone, or name another column"
                )
        if self.models.ranking.people != self.data.items_are_users:
            raise ValueError(
                "models.ranking.people: follows from `data.source.items: {from: users}`; leave it out, and say that"
            )
        return self

    @model_validator(mode="after")
    def _k_fits(self) -> "Recommender":
        if self.serving.k > self.serving.max_k:
            raise ValueError(f"serving.k: {self.serving.k} is above serving.max_k {self.serving.max_k}; raise max_k")
        return self

    @model_validator(mode="after")
    def _policy_guards_what_is_there(self) -> "Recommender":
        """Refuse to protect a placement that no request can name: nothing would be protected, in silence."""
        have = list(self.placements)
        for name in self.policy.guard.placements:
            if name not in have:
                told = f"have {', '.join(have)}{nearest(name, have)}" if have else "declare `placements`"
                raise ValueError(f"policy.guard.placements: '{name}' is no placement; {told}")
        if self.policy.explores and self.policy.candidates < self.serving.k:
            raise ValueError(
                f"policy.candidates: {self.policy.candidates} is below serving.k {self.serving.k}, so nothing else "
                "could be shown; raise it"
            )
        return self

    @model_validator(mode="after")
    def _a_model_may_order_lists(self) -> "Recommender":
        """Refuse a model that orders what a policy draws, whose propensities would be of another list; or people."""
        if self.content.model is None or self.content.model.rerank is None:
            return self
        if self.policy.explores:
            raise ValueError(
                "content.model.rerank: policy draws the lists, and says how likely each was; leave one out"
            )
        if self.data.items_are_users:
            raise ValueError("content.model.rerank: items are users, whose names are shown to no model; leave it out")
        return self

    @model_validator(mode="after")
    def _rules_can_be_kept(self) -> "Recommender":
        """Refuse rules that contradict each other, or ask what nothing here says; columns of items the door knows."""
        if not self.rules and not self.placements:
            return self
        names, most, ranking = [rule.name for rule in self.rules], self.serving.max_k, self.models.ranking
        require_known_placements(self.rules, self.placements)
        for place, placement in self.placements.items():
            if (placement.k or 0) > most:
                raise ValueError(f"placements.{place}.k: {placement.k} is above serving.max_k {most}; raise max_k")
        for number, rule in enumerate(self.rules):
            where = f"rules[{number}]"
            if names.count(rule.name) > 1:
                raise ValueError(f"{where}.name: '{rule.name}' is there twice; give each rule a name of its own")
            if isinstance(rule, Pin) and rule.place > most:
                raise ValueError(f"{where}.place: {rule.place} is above serving.max_k {most}; no list is so long")
            if ranking.exclude_self and names_items(rule):
                raise ValueError(f"{where}: items are users, and no rule names one; say it by columns of users")
            if isinstance(rule, Shown) and ranking.impression is None:
                raise ValueError(
                    f"{where}: shown needs models.ranking.impression, the kind of event that says what a user was shown"
                )
            if isinstance(rule, Bought) and rule.event is not None and rule.event not in ranking.kinds:
                have = list(ranking.kinds)
                told = (
                    f"have {', '.join(have)}{nearest(rule.event, have)}" if have else "none are declared; leave it out"
                )
                raise ValueError(f"{where}.event: '{rule.event}' is no kind of models.ranking.kinds; {told}")
        from components.ranking.rules import clashes  # numpy, which only specs with rules pay for

        clashes.require_no_pins_clash(self.rules)
        return self

    @model_validator(mode="after")
    def _horizons_are_steps(self) -> "Recommender":
        for intent in (*self.clocked, *self.of_forecasts):
            intent.steps(self.data.pace)
        return self

    @model_validator(mode="after")
    def _forecasts_fit(self) -> "Recommender":
        """Refuse forecasts alone, and what is said of forecasts that are not there: it would say nothing."""
        if not self.clocked and self.of_forecasts:
            raise ValueError(
                "intents: none is of kind: binary with a horizon on the clock, and the ranker learns from those; add "
                "one, such as {name: visit}"
            )
        for place, intent in enumerate(self.intents):
            if intent.value == columns.STRENGTH and not self.data.has_strength:
                raise ValueError(
                    f"intents[{place}].value: strength is no column of these events; map it as "
                    "`data.source.events.columns: {strength: <column>}`, or use value, quantity or count"
                )
        needs = "an intent of kind: regression or multiclass, and there is none; add one, such as "
        example = "{name: spend, kind: regression, value: value}"
        if not self.of_forecasts and self.models.forecast != ForecastModel():
            raise ValueError(f"models.forecast: is for {needs}{example}, or drop it")
        kinds: dict[str, tuple[str, str]] = {one.name: (one.kind, one.loss) for one in self.of_forecasts}
        for place, gate in enumerate(self.promotion.gates):
            gate.require_forecast(f"promotion.gates[{place}]", kinds)
        return self

    @model_validator(mode="after")
    def _sessions_fit(self) -> "Recommender":
        """Refuse sessions alone, and what is said of sessions where there are none: it would say nothing."""
        if not self.clocked:
            raise ValueError(
                "intents: each has horizon: session, and the ranker learns from what users are about to do on the "
                "clock; add one, such as {name: visit}"
            )
        if self.of_sessions:
            return self
        needs = "an intent with horizon: session, and there is none; add one, such as "
        example = "{name: buy_now, event: purchase, horizon: session}"
        if self.data.session_gap is not None:
            raise ValueError(f"data.session_gap: is for {needs}{example}, or drop it")
        if self.models.session != SessionModel():
            raise ValueError(f"models.session: is for {needs}{example}, or drop it")
        for place, gate in enumerate(self.promotion.gates):
            if gate.metric.startswith("session."):
                raise ValueError(f"promotion.gates[{place}]: {gate.metric} is measured of {needs}{example}")
        return self

    @property
    def clocked(self) -> tuple[Intent, ...]:
        """The intents that look ahead on the clock, yes or no: the intent model's."""
        return tuple(intent for intent in self.intents if not intent.of_session and not intent.of_forecast)

    @property
    def of_forecasts(self) -> tuple[Intent, ...]:
        """The intents of other kinds than binary: the forecasts'."""
        return tuple(intent for intent in self.intents if intent.of_forecast)

    def forecast_rule(self) -> ForecastRule | None:
        """Return what the forecasts need; None where no intent is of such a kind."""
        if not self.of_forecasts:
            return None
        pace = self.data.pace
        return ForecastRule(
            intents=tuple(
                Forecast(
                    name=i.name,
                    kind=cast(ForecastKind, i.kind),
                    event=i.event,
                    steps=i.steps(pace),
                    value=i.value or "",
                    aggregate=i.aggregate,
                    unit=i.unit or "",
                    loss=i.loss,
                    quantiles=(i.quantiles or USUAL_QUANTILES) if i.loss == "quantile" else (),
                    column=i.column,
                    top=i.top,
                    offer=i.offer,
                )
                for i in self.of_forecasts
            ),
            model=self.models.forecast,
        )

    @property
    def of_sessions(self) -> tuple[Intent, ...]:
        """The intents of a visit: the session model's."""
        return tuple(intent for intent in self.intents if intent.of_session)

    def session_rule(self) -> SessionRule | None:
        """Return what the session model needs; None where no intent is of a visit."""
        if not self.of_sessions:
            return None
        return SessionRule(
            intents=tuple(SessionIntent(name=i.name, event=i.event, ends=i.ends) for i in self.of_sessions),
            gap=self.data.session_gap,
            people=self.data.items_are_users,
            model=self.models.session,
        )

    @model_validator(mode="after")
    def _search_fits(self) -> "Recommender":
        """Check the space of a search beside the settings that it begins with; not again with those that it finds."""
        if (search := self.models.intent.search) is not None:
            try:
                search_space.require(self.models.intent, search, read_by)
                search_rows.require(self.models.intent, search)
            except ValueError as error:
                raise ValueError(f"models.intent.{error}") from None
        return self

    @model_validator(mode="after")
    def _windows_are_counted(self) -> "Recommender":
        """Refuse windows in hours where time is counted in days: they would be counted as whole days, or as none."""
        hours = [f"{days * 24:.0f}h" for days in self.profiles.windows_days if days != int(days)]
        if hours and self.data.step != HOUR:
            raise ValueError(
                f"profiles.windows_days: {hours[0]} is no whole number of days, and data.step is {self.data.step}, "
                "which counts days; use whole days, or `data.step: hour`"
            )
        return self

    @property
    def _ranking_steps(self) -> int:
        """Return how many steps the ranker's labels look ahead."""
        said = self.models.ranking.horizon
        return 1 if said is None else steps_of(said, self.data.pace)

    @model_validator(mode="after")
    def _ranking_looks_ahead(self) -> "Recommender":
        """Refuse a horizon of the ranker that its clock, its weights or its split cannot count."""
        ranking = self.models.ranking
        if ranking.horizon is None:
            return self
        try:
            steps = self._ranking_steps
        except ValueError as error:
            raise ValueError(f"models.ranking.horizon: {error}") from None
        if steps > 1 and ranking.weight is not None:
            raise ValueError(
                "models.ranking.weight: weighs what one step holds, and models.ranking.horizon is "
                f"{self.data.pace.counted(steps)}; leave one of the two out"
            )
        if steps > 1 and self.data.split.leave_one_out is not None:
            raise ValueError(
                f"models.ranking.horizon: {ranking.horizon} is {steps} steps, and under data.split.leave_one_out a "
                "user's test is one; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _choice_has_steps(self) -> "Recommender":
        """Refuse a choice among rankers where the validation steps cannot be cut in two."""
        least, have = 1 + self._ranking_steps, self.data.split.lengths()["validate_weeks"]
        if self.models.ranking.choose is not None and have < least:
            raise ValueError(
                f"models.ranking.choose: needs {least} or more validation steps, of which the later half chooses and "
                f"the others stop training, and data.split has {have}; set data.split.validate_weeks (validate_steps): "
                f"{max(least, 4)}, or leave choose out"
            )
        return self

    @model_validator(mode="after")
    def _privacy_is_of_one_training(self) -> "Recommender":
        if self.models.intent.privacy is not None and self.promotion.refit:
            raise ValueError(
                "promotion.refit: trains once more, which models.intent.privacy.epsilon does not account for; use "
                "refit: false, or drop privacy"
            )
        return self

    @model_validator(mode="after")
    def _weight_is_there(self) -> "Recommender":
        weight = self.models.ranking.weight
        if weight is not None and weight.of == columns.STRENGTH and not self.data.has_strength:
            raise ValueError(
                "models.ranking.weight.of: strength is no column of these events; map it as "
                "`data.source.events.columns: {strength: <column>}`, or use quantity or value"
            )
        return self

    @model_validator(mode="after")
    def _places_are_no_days(self) -> "Recommender":
        """Refuse what counts in days or visits where steps are places in a user's order."""
        if self.data.split.leave_one_out is None:
            return self
        for intent in self.intents:
            place = f"intents.{intent.name}.horizon"
            if intent.of_session:
                raise ValueError(f"{place}: visits have no order under data.split.leave_one_out; leave the intent out")
            if (steps := intent.steps(self.data.pace)) > 1:
                raise ValueError(
                    f"{place}: {intent.horizon} is {steps} steps, and under data.split.leave_one_out a user's test is "
                    "one; use 24h, or leave the intent out"
                )
        if self.models.ranking.later_items:
            raise ValueError(
                "models.ranking.later_items: items come by their days, which data.split.leave_one_out gives up; leave "
                "one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _kinds_are_known(self) -> "Recommender":
        """Refuse kinds of events on which the spec's parts disagree; each would be counted by nobody, in silence."""
        ranking, bare = self.models.ranking, self.data.without_item
        if ranking.impression in bare:
            raise ValueError(
                f"data.without_item: '{ranking.impression}' is models.ranking.impression, and what is shown is an "
                "item; take it out of either"
            )
        for kind in bare:
            if ranking.kinds.get(kind, 0) != 0 or kind == ranking.event:
                raise ValueError(
                    f"data.without_item: '{kind}' says in models.ranking whether an item was wanted, so it has one; "
                    "take it out of either"
                )
        for intent in self.intents:
            place = f"intents.{intent.name}.event"
            if intent.event in bare and intent.column is not None:
                raise ValueError(
                    f"{place}: '{intent.event}' is in data.without_item, and level {intent.level} is of items; leave "
                    "level out, or name a kind with items"
                )
            if not ranking.kinds or intent.event is None or intent.event in bare:
                continue
            if intent.event not in ranking.kinds:
                have = [*ranking.kinds, *bare]
                raise ValueError(
                    f"{place}: '{intent.event}' is no kind of models.ranking.kinds; have {', '.join(have)}"
                    f"{nearest(intent.event, have)}"
                )
            if ranking.kinds[intent.event] < 0:
                raise ValueError(
                    f"{place}: '{intent.event}' has the weight {ranking.kinds[intent.event]:g}, which says that an "
                    "item was not wanted; an intent is about a kind of 0 or more"
                )
        listed = self.data.source.impressions if isinstance(self.data.source, Files) else None
        if listed and (ranking.impression != listed.shown or ranking.kinds.get(listed.clicked, 0) <= 0):
            raise ValueError(
                f"data.source.impressions: declare its kinds in models.ranking, such as kinds: {{{listed.clicked}: 1, "
                f"{listed.shown}: 0}} and impression: {listed.shown}; else what was shown would count as wanted"
            )
        for rule in self.data.contract.get("events", ()):
            if isinstance(rule, OneOf) and rule.column == columns.EVENT:
                for kind in (*ranking.kinds, *bare):
                    if kind not in map(str, rule.values):
                        have = [str(value) for value in rule.values]
                        raise ValueError(
                            f"models.ranking.kinds: '{kind}' is no event that data.contract allows; one_of has "
                            f"{', '.join(have)}{nearest(kind, have)}"
                        )
        return self

    @cached_property
    def digest(self) -> str:
        """Digest of what is declared."""
        return files.digest(self.model_dump(mode="json"))

    @property
    def verb(self) -> str:
        """What users do to items, past tense: texts and reports speak with it."""
        return words.verb(self.models.ranking.main_event, (intent.event for intent in self.clocked), self.content.verbs)

    def judged_data(self) -> Data:
        """Return the data slice as the contract judges it: events of the kinds that models are about must occur."""
        ranking, bare = self.models.ranking, self.data.without_item
        told = (*(i.event for i in self.intents), ranking.event, *ranking.signs().wanted)
        every = dict.fromkeys((*ranking.kinds, *bare)) if ranking.kinds else ()
        contract = with_kinds(self.data.contract, list(dict.fromkeys(kind for kind in told if kind)), every=list(every))
        contract = with_bare(contract, bare)
        contract = with_strength(contract) if self.data.has_strength else contract
        contract = with_people(contract) if self.data.items_are_users else contract
        contract = with_occasions(contract, self.monitoring.calendar)
        return self.data.model_copy(update={"contract": contract})

    def ranking_rows(self) -> dict[str, Any]:
        """Return what the training set needs of ranking: which weeks, and what weighs a label."""
        dumped = self.models.ranking.model_dump(mode="json")
        refit = {"refit": True} if self.promotion.refit else {}  # left out where it is off: the rows are the same
        texts = (
            {HISTORIES: True} if self.models.intent.architecture == TEXT and self.models.intent.reads != EVENTS else {}
        )
        ahead = {columns.LABELS_AHEAD: steps} if (steps := self._ranking_steps) > 1 else {}
        return (
            {key: dumped[key] for key in ("train_weeks", "test_every_weeks", "weight") if key in dumped}
            | refit
            | ahead
            | texts
        )

    def split_slice(self) -> dict[str, int]:
        """Return how steps are laid out: each part's length, and how many the longest label looks ahead, if several."""
        longest = max(
            self._ranking_steps, *(intent.steps(self.data.pace) for intent in (*self.clocked, *self.of_forecasts))
        )
        return self.data.split.lengths() | ({"horizon": longest} if longest > 1 else {})

    def vocabulary_rule(self) -> dict[str, Any]:
        """Return what vocabularies and profiles need of the intents and of ranking."""
        return vocabulary_rule.of(
            [intent.model_dump(mode="json") for intent in self.clocked],
            self.models.ranking.model_dump(mode="json"),
            self.data.pace,
            signs=self.models.ranking.signs(self.data.without_item),
        )


def _of(document: Any, *keys: str) -> dict[str, Any]:
    """Return a mapping within a document that nothing has checked yet; empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def load(path: Path) -> Recommender:
    """Read and check a spec; raises SpecError with one line."""
    return parse(split(read_yaml(path))[0], place=str(path))


def split(document: Any) -> tuple[Any, dict[str, Any]]:
    """Take out of a document what the environment has now; return the rest, and that."""
    if not isinstance(document, dict):
        return document, {}
    moved = {key: document[key] for key in MOVED if key in document}
    return {key: value for key, value in document.items() if key not in moved}, moved


def parse(document: Any, *, place: str) -> Recommender:
    """Check a document."""
    return checked(Recommender, document, place=place)


Model = typing.TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], document: Any, *, place: str) -> Model:
    """Validate a document against a model; the first mistake becomes a SpecError."""
    if not isinstance(document, dict):
        raise SpecError(f"{place}: holds no mapping; begin with `apiVersion: intentflow/v1`")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # A missing or misspelt key often comes in pairs; the unknown one is the one to mend.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise SpecError(f"{place}: {explain(model, first)}") from None


def explain(model: type[BaseModel], error: Any) -> str:
    """Say in one line what is wrong, what is allowed, and what was meant.

    >>> try: Recommender.model_validate({"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "a"})
    ... except ValidationError as e: print(explain(Recommender, e.errors()[0]))
    data: is missing; add it
    """
    loc = tuple(error["loc"])
    place, kind, context = _place(model, loc), error["type"], error.get("ctx", {})
    value = error.get("input")
    if kind == "missing":
        return f"{place}: is missing; add it"
    if kind == "extra_forbidden":
        have = sorted(_fields_at(model, loc[:-1]))
        return f"{place}: no such key; have {', '.join(have)}{nearest(str(loc[-1]), have)}"
    if kind in ("literal_error", "enum"):
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f"{place}: '{value}' is not allowed; use {context['expected']}{nearest(str(value), allowed)}"
    if kind == "union_tag_invalid":
        allowed = [word.strip(" '") for word in context["expected_tags"].split(", ")]
        key = context["discriminator"].strip("'")
        tag, use = context["tag"], ", ".join(allowed)
        return f"{place}.{key}: '{tag}' is not allowed; use {use}{nearest(tag, allowed)}"
    if kind == "union_tag_not_found":
        return f"{place}: is missing the key {context['discriminator']}; add it"
    if kind == "value_error":
        return f"{place}: {context['error']}" if place else str(context["error"])
    shown = "" if isinstance(value, dict | list) else f"{value!r} is wrong: "
    return f"{place}: {shown}{error['msg'][0].lower()}{error['msg'][1:]}"


def _place(model: type[BaseModel], loc: tuple[Any, ...]) -> str:
    """Write a location as in the YAML: tags of unions, which pydantic puts between, are left out."""
    parts: list[str] = []
    kind: Any = model
    for step in loc:
        below = _below(kind, step)
        if below is _TAG:
            kind = _tagged(kind, step)
            continue
        if step != "[key]":  # pydantic's mark of a dict's key
            parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
        kind = below
    return "".join(parts).lstrip(".")


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    kind: Any = model
    for step in loc:
        below = _below(kind, step)
        kind = _tagged(kind, step) if below is _TAG else below
    kind = _plain(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


_TAG = object()


def _plain(kind: Any) -> Any:
    """Strip Annotated and Optional."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    options = [o for o in typing.get_args(kind) if o is not type(None)]
    if type(None) in typing.get_args(kind) and len(options) == 1:
        return _plain(options[0])
    return kind


def _below(kind: Any, step: Any) -> Any:
    """Return the type below one step of a location, or _TAG where the step is a union's tag."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return Any if field is None else field.annotation
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple, set):
        return arguments[0]
    if origin is dict:
        return arguments[1]
    if arguments and isinstance(step, str):
        return _TAG
    return Any


def _tagged(kind: Any, tag: str) -> Any:
    """Return the member of a discriminated union that has the tag."""
    for member in typing.get_args(_plain(kind)):
        if any(getattr(mark, "tag", None) == tag for mark in getattr(member, "__metadata__", ())):
            return _plain(member)
        for field in getattr(_plain(member), "model_fields", {}).values():
            if tag in typing.get_args(field.annotation):
                return member
    return Any


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice, which YAML's own would silently overwrite."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _value in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise SpecError(f"line {key_node.start_mark.line + 1}: a key must be a word, not a list or a mapping")
        if key in seen:
            raise SpecError(f"line {key_node.start_mark.line + 1}: the key '{key}' is given twice; keep one")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; raises SpecError for one that is absent or is no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        siblings = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise SpecError(f"{path}: no such file{nearest(str(path), siblings)}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise SpecError(f"{path}: is no YAML file; name a spec such as pipelines/specs/grocery.yaml") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}: line {line}: {error.problem}; mend the YAML there") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # A control character, a 30th of February, a number of 5,000 digits, lists in lists without end, a tag's value
        # of another kind than the tag: PyYAML raises what its readers of values do.
        said = " ".join(str(error).split())
        raise SpecError(f"{path}: is no YAML that can be read: {shortened(said, 200)}; mend it") from None
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
