"""The spec: one recommender, composed of the slices that each part owns. `load` gives a frozen, checked one.

A mistake becomes one line: place, value, what is allowed, the nearest valid name.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from bentos.spec import Serving
from components.content import words
from components.content.spec import Content
from components.data.derived import with_bare, with_kinds, with_occasions, with_people, with_strength
from components.data.spec import Data
from components.intent.forecasts.spec import USUAL_QUANTILES, Forecast, ForecastModel, ForecastRule
from components.intent.forecasts.spec import Kind as ForecastKind
from components.intent.networks import TEXT
from components.intent.sessions.spec import SessionIntent, SessionModel, SessionRule
from components.intent.spec import EVENTS, Intent, IntentModel
from components.policy.spec import PolicySlice
from components.profiles import vocabulary_rule
from components.profiles.spec import HISTORIES, Profiles
from components.ranking.rules.spec import (
    MOST_RULES,
    Name,
    Placement,
    Rule,
)
from components.ranking.spec import Ranking
from components.registry.experiment_spec import Experiment
from components.registry.spec import Promotion
from components.vectors.spec import Vectors
from feature_repo import columns, files
from feature_repo.clock import steps_of
from feature_repo.slice import Slice
from monitoring.spec import Monitoring
from pipelines import spec_mistakes, spec_yaml
from pipelines.spec_checks import CHECKS
from pipelines.spec_fills import FILLS

# Slices that the environment has now: they change nothing that training makes. Specs of 0.1 are read until 0.3.
MOVED = ("compute", "jobs")
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
    def _filled(cls, document: Any) -> Any:
        for fill in FILLS:
            document = fill(document)
        return document

    @model_validator(mode="after")
    def _parts_agree(self) -> "Recommender":
        for check in CHECKS:
            check(self)
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests where there is none of it, so that they hold."""
        dumped: dict[str, Any] = dump(self)
        if self.policy == PolicySlice():
            dumped.pop("policy", None)
        return {name: value for name, value in dumped.items() if name not in NEWER or value}

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

    @property
    def ranking_steps(self) -> int:
        """Return how many steps the ranker's labels look ahead."""
        said = self.models.ranking.horizon
        return 1 if said is None else steps_of(said, self.data.pace)

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
        ahead = {columns.LABELS_AHEAD: steps} if (steps := self.ranking_steps) > 1 else {}
        return (
            {key: dumped[key] for key in ("train_weeks", "test_every_weeks", "weight") if key in dumped}
            | refit
            | ahead
            | texts
        )

    def split_slice(self) -> dict[str, int]:
        """Return how steps are laid out: each part's length, and how many the longest label looks ahead, if several."""
        longest = max(
            self.ranking_steps, *(intent.steps(self.data.pace) for intent in (*self.clocked, *self.of_forecasts))
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


def load(path: Path) -> Recommender:
    """Read and check a spec; raises SpecError with one line."""
    return parse(split(spec_yaml.read_yaml(path))[0], place=str(path))


def split(document: Any) -> tuple[Any, dict[str, Any]]:
    """Take out of a document what the environment has now; return the rest, and that."""
    if not isinstance(document, dict):
        return document, {}
    moved = {key: document[key] for key in MOVED if key in document}
    return {key: value for key, value in document.items() if key not in moved}, moved


def parse(document: Any, *, place: str) -> Recommender:
    """Check a document."""
    return spec_mistakes.checked(Recommender, document, place=place)
