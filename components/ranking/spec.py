"""The spec's `models.ranking` slice."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from components.ranking import ensemble_spec
from components.ranking.choose_spec import Choose
from components.ranking.diversity_spec import Diversity
from components.ranking.models import ALGORITHMS, BY_NAME, ENSEMBLE, MODELS, NETWORK
from components.ranking.sources import LEARNT, SOURCES
from components.training.spec import DDP, TrainerOptions
from feature_repo.clock import DURATION
from feature_repo.errors import nearest
from feature_repo.signs import MOST_KINDS, Signs
from feature_repo.slice import Slice

Repeat = Literal["allow", "forbid"]
ALLOW: Literal["allow"] = "allow"
FORBID: Literal["forbid"] = "forbid"
# Fields that dumps have only where a spec says them, so that digests recorded before them hold.
NEWER = ("repeat", "exclude_self", "people", "weight", "kinds", "hide", "undo", "impression", "passed_over", "vectors",
         "later_items", "start", "algorithm", "horizon", "trainer", "choose", "diversity",
         "recommend", "audiences", "short_histories", "members")  # fmt: skip
LARGEST_WEIGHT = 1000
OF_PEOPLE = {source.name: source.for_people for source in SOURCES if source.for_people}  # limits where items are people
OF_VECTORS = {source.name: source.for_vectors for source in SOURCES if source.for_vectors}  # where vectors are declared
Scale = Literal["log", "rank"]
STARTS_OF_PEOPLE = ("wrote_to_me", "repeat_and_wrote", "latest_contact", "common_neighbours", "adamic_adar")
STARTS = ("popular", "popular_now", "personal_frequency", "personal_popular", "decayed_personal", "last_event",
          "item_knn", *STARTS_OF_PEOPLE)  # fmt: skip

if TYPE_CHECKING:  # a type checker cannot read a tuple as a Literal, or make a class of one
    Architecture = str
    Ranked = str
    Start = str
    Limits = Slice
else:
    Architecture = Literal[MODELS]
    Ranked = Literal[tuple(BY_NAME)]
    Start = Literal[STARTS]
    Limits = create_model(
        "Limits",
        __base__=Slice,
        **{s.name: (int, Field(default=s.limit, ge=s.least, le=512, description=s.about)) for s in SOURCES},
    )


class Candidates(Limits):
    """How many items each source may bring before ranking; 0 switches a source off."""

    def limit(self, source: str) -> int:
        """Return the limit of a source."""
        return int(getattr(self, source))

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out limits of no training's concern where nobody says them, so that digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        newer = [source for source in SOURCES if source.later or source.for_vectors or source.asked]
        unsaid = {source.name for source in newer if self.limit(source.name) == source.limit}
        return {name: limit for name, limit in dumped.items() if name not in unsaid}


class Weight(Slice):
    """How much a label is wanted, 0 to 1, by a number of its events: the weight in training, and NDCG's gain."""

    of: Literal["strength", "quantity", "value"] = Field(
        description="The events' number: strength, which the source maps to stars or plays; quantity; or value"
    )
    scale: Scale = Field(
        default="log",
        description="log: of counts, which add up in a week; rank: of grades such as stars, the largest of a week. "
        "Both by what training weeks held; 0 and below is no label",
    )


class Ranking(Slice):
    """How candidates are found and ordered."""

    event: str | None = Field(default=None, description="Kind of event that counts; left out: any")
    kinds: dict[str, Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT)]] = Field(
        default={},
        max_length=MOST_KINDS,
        description="Every kind of event with its weight, instead of `event`: above 0 the user wanted the item, below "
        "0 did not, 0 says nothing of it. Weights count in labels, history, neighbours and popularity; other kinds of "
        "events are set aside, and refused at the door",
    )
    hide: tuple[str, ...] = Field(
        default=(), description="Kinds of a weight below 0 after which the user is not shown the item any more"
    )
    undo: dict[str, str] = Field(
        default={}, description="Kind: the kind that it takes back, such as return: purchase; its weight is 0 or less"
    )
    impression: str | None = Field(
        default=None,
        description="Kind of event that says that an item was shown, of the weight 0: never interest; what was shown "
        "and not wanted teaches the ranker, and how often an item is wanted when shown is a feature",
    )
    passed_over: int = Field(
        default=20,
        ge=0,
        le=512,
        description="Of the items that a user was shown in a training week and did not want, at most so many are "
        "learnt from, by chance; only with impression",
    )
    horizon: str | None = Field(
        default=None,
        pattern=DURATION,
        description="How far ahead the ranker's labels look: what the user had in the step that begins, or within "
        "hours or days that are whole steps of data.step, such as 3d; left out: one step",
    )
    repeat: Repeat | dict[str, Repeat] = Field(
        default=ALLOW,
        description="Whether a user may be shown an item again that they had; forbid where nobody wants it twice: "
        "films, news, friends. Then only new items are candidates, labels and answers, and rows keep whole histories. "
        "By kind where kinds are declared, such as {purchase: forbid, view: allow}; kinds left out are allowed",
    )
    exclude_self: bool = Field(
        default=False,
        description="Items are users, such as friends or recipients: nobody is recommended to themselves",
    )
    people: bool = Field(
        default=False,
        description="Set where `data.source.items` is `{from: users}`: items are users by pseudonym; `exclude_self` "
        "holds, and candidates come from who acted on whom",
    )
    vectors: dict[str, Any] | None = Field(
        default=None,
        description="Set where the spec declares `vectors`: what that says; candidates and features come from them",
    )
    weight: Weight | None = Field(
        default=None, description="How much a label is wanted, by stars, plays or money; left out: all alike"
    )
    min_item_sessions: int = Field(default=20, ge=1, description="Items with fewer sessions are not recommended")
    min_item_users: int = Field(default=5, ge=1, description="Items with fewer users are not recommended")
    later_items: bool = Field(
        default=False,
        description="Items whose first_seen lies after the training weeks are ranked too, whatever their sessions: the "
        "network knows no item by name, so it scores them by what is known of them at each step. For items that live "
        "shorter than the split, such as news",
    )
    candidates: Candidates = Candidates()
    algorithm: Ranked = Field(
        default=NETWORK,
        description="What orders the candidates; " + "; ".join(f"{one.name}: {one.about}" for one in ALGORITHMS),
    )
    choose: Choose | None = Field(
        default=None,
        description="Which of several algorithms answers for which predicted intent and length of history, learnt on "
        "validation steps that stop no training; `algorithm` answers where nothing is known to be better. Left out: "
        "`algorithm` answers always",
    )
    members: ensemble_spec.Members = Field(
        default=ensemble_spec.DEFAULT,
        description="Rankers that `ensemble` means: a list, or each with its weight, such as {network: 2, tifu: 1}",
    )
    diversity: Diversity | None = Field(
        default=None, description="How the best candidates are ordered anew, so that they are less alike; left out: not"
    )
    architecture: Architecture = Field(default="listwise_mlp", description="Network that scores the candidates")
    start: Start | None = Field(
        default=None,
        description="Baseline whose order training starts from: each item's place in it is a feature, the untrained "
        "network ranks as it does, and stays where no epoch does better on the validation weeks. For few rows, of "
        "which a network alone learns less than the baseline knows",
    )
    recommend: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(),
        max_length=8,
        description="Text attributes of items whose values are recommended too, such as brand: `POST /values`; offers: "
        "the items on offer",
    )
    audiences: bool = Field(
        default=False,
        description="Learn how likely a user wants what the ranker says, so that the job `audiences` can list the "
        "users most likely to want an item",
    )
    train_weeks: int = Field(default=8, ge=2, le=260, description="Last training weeks that rows come from")
    short_histories: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the training user-steps that are learnt from a second time as if the user had just come, "
        "with the last 1 to 8 items of the history alone, so that lists after a first visit are better; 0: none",
    )
    test_every_weeks: int = Field(default=1, ge=1, le=8, description="Every n-th test week is evaluated")
    width: int = Field(default=64, ge=8, le=512, description="Width of the hidden layers")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of activations dropped in training")
    epochs: int = Field(default=3, ge=1, le=100, description="At most; stops early on the validation weeks")
    batch_size: int = Field(default=32, ge=1, le=4096, description="User-weeks a step")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same model")
    trainer: TrainerOptions = Field(
        default=TrainerOptions(), description="How the network is trained: checkpoints, precision, parts of batches"
    )

    @model_validator(mode="after")
    def _trains_a_network(self) -> "Ranking":
        """Refuse what says how a network is trained where there is none, or one without layers to cut."""
        if self.trainer != TrainerOptions() and NETWORK not in self.algorithms:
            raise ValueError(f"trainer: of networks, and algorithm {self.algorithm} is none; leave trainer out")
        if self.trainer.parallel != DDP:
            raise ValueError(
                f"trainer.parallel: {self.trainer.parallel} is of networks with BERT layers, and the ranker has none; "
                f"use {DDP}"
            )
        return self

    @field_validator("recommend")
    @classmethod
    def _attributes_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"'{name}' is named twice; name each attribute once")
        return value

    @model_validator(mode="after")
    def _chooses_beside_its_own(self) -> "Ranking":
        """Refuse a choice that leaves out what answers where nothing is known to be better, and members of nothing."""
        ensemble_spec.require_asked(self)
        if self.choose is not None and self.algorithm not in self.choose.among:
            raise ValueError(
                f"choose.among: {', '.join(self.choose.among)} lacks {self.algorithm}, which answers where nothing is "
                f"known to be better; add {self.algorithm}, or set algorithm: {self.choose.among[0]}"
            )
        return self

    @model_validator(mode="after")
    def _cuts_what_is_learnt_from(self) -> "Ranking":
        """Refuse rows that are cut where no ranker learns from rows, or items are people."""
        if not self.short_histories:
            return self
        if all(BY_NAME[name].formula for name in self.algorithms):
            raise ValueError(
                f"short_histories: {' and '.join(self.algorithms)} learn from no rows; leave it out, or say algorithm: "
                f"{NETWORK}"
            )
        if self.people:
            raise ValueError(
                "short_histories: items are people here, and who acted on whom cannot be cut; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _scores_of_audiences_compare(self) -> "Ranking":
        """Refuse a curve over scores of several algorithms, which have no common scale."""
        if self.choose is not None and self.audiences:
            raise ValueError(
                "audiences: each algorithm of choose has a scale of its own, so no probability follows from a score; "
                "leave choose out, or audiences"
            )
        return self

    @model_validator(mode="after")
    def _people_are_others(self) -> "Ranking":
        """Refuse sources of people where items are none, and oneself among people."""
        on = [name for name in OF_PEOPLE if self.candidates.limit(name)]
        if on and not self.people:
            raise ValueError(
                f"candidates: {on[0]} finds people, and items are none here; leave it out, or say "
                "`data.source.items: {from: users}`"
            )
        if self.people and not self.exclude_self:
            raise ValueError("exclude_self: false is not allowed where items are users; leave it out")
        return self

    @model_validator(mode="after")
    def _starts_from_what_is_there(self) -> "Ranking":
        """Refuse to start from a baseline of people where items are none, and a start of what is no network."""
        if self.start and NETWORK not in self.algorithms:
            raise ValueError(
                f"start: {self.algorithm} starts from nothing; leave start out, or say algorithm: {NETWORK}"
            )
        if self.start in STARTS_OF_PEOPLE and not self.people:
            have = [name for name in STARTS if name not in STARTS_OF_PEOPLE]
            raise ValueError(
                f"start: {self.start} ranks people, and items are none here; have {', '.join(have)}, or say "
                "`data.source.items: {from: users}`"
            )
        return self

    @model_validator(mode="after")
    def _content_has_vectors(self) -> "Ranking":
        """Refuse sources that look at vectors where the spec declares none: they would bring nothing, in silence."""
        on = [name for name in OF_VECTORS if self.candidates.limit(name)]
        if on and self.vectors is None:
            raise ValueError(
                f"candidates: {on[0]} compares vectors of items, and none are declared; leave it out, or say "
                "`vectors: {text: {columns: [title]}}`"
            )
        return self

    @model_validator(mode="after")
    def _brings_something(self) -> "Ranking":
        """Refuse limits under which every candidate would be a repeat, while repeats are forbidden."""
        asked = [s.name for s in SOURCES if not s.brings_new and self.candidates.limit(s.name)]
        others = [s.name for s in SOURCES if s.brings_new and not s.least and not s.later]
        if self.repeats == FORBID and asked and not any(self.candidates.limit(name) for name in others):
            raise ValueError(
                f"candidates: {asked[0]} alone brings nothing under `repeat: forbid`, since it brings only what the "
                f"user had; raise {' or '.join(others)}, or set {asked[0]}: 0 to rank popular items alone"
            )
        return self

    @model_validator(mode="after")
    def _kinds_agree(self) -> "Ranking":
        """Refuse what says of kinds of events what cannot be."""
        said = [name for name in ("event", "weight") if getattr(self, name) is not None]
        if self.kinds and said:
            what = {"event": "which kind counts", "weight": "how much a label is wanted"}[said[0]]
            raise ValueError(f"{said[0]}: kinds says {what}; leave {said[0]} out, or kinds")
        if self.kinds and max(self.kinds.values()) <= 0:
            raise ValueError("kinds: no kind has a weight above 0, so nothing is wanted; give one a weight above 0")
        forbidden = [kind for kind, repeat in self.repeat_by_kind.items() if repeat == FORBID]
        self._declared("hide", self.hide)
        self._declared("undo", [*self.undo, *self.undo.values()])
        self._declared("repeat", list(self.repeat_by_kind))
        self._declared("impression", [self.impression] if self.impression else [])
        if self.impression and (self.kinds[self.impression] != 0 or self.impression in self.undo):
            raise ValueError(
                f"impression: '{self.impression}' has the weight {self.kinds[self.impression]:g} or takes something "
                "back; to be shown an item says nothing of it: give it the weight 0, and no undo"
            )
        for kind in self.hide:
            if self.kinds[kind] >= 0:
                raise ValueError(f"hide: '{kind}' has the weight {self.kinds[kind]:g}; give it one below 0, such as -1")
        for kind in forbidden:
            if self.kinds[kind] <= 0:
                raise ValueError(
                    f"repeat: '{kind}' has the weight {self.kinds[kind]:g}, and only what was wanted can repeat; "
                    "name a kind of a weight above 0, or say `hide` of one below"
                )
        for kind, undone in self.undo.items():
            if self.kinds[kind] > 0:
                raise ValueError(f"undo: '{kind}' has the weight {self.kinds[kind]:g}; give it 0, or one below")
            if undone == kind or undone in self.undo:
                raise ValueError(f"undo: '{kind}' takes back '{undone}', which takes back itself; name another kind")
        return self

    def _declared(self, place: str, names: Sequence[str]) -> None:
        """Refuse a kind that `kinds` does not declare."""
        for name in names:
            if name not in self.kinds:
                have = list(self.kinds)
                told = f"have {', '.join(have)}{nearest(name, have)}" if have else "declare kinds with their weights"
                raise ValueError(f"{place}: '{name}' is no kind of models.ranking.kinds; {told}")

    @property
    def repeat_by_kind(self) -> Mapping[str, Repeat]:
        """Return what `repeat` says by kind; {} where it speaks of all."""
        return self.repeat if isinstance(self.repeat, dict) else {}

    @property
    def repeats(self) -> Repeat:
        """Return whether all that a user had may be shown again."""
        return ALLOW if isinstance(self.repeat, dict) else self.repeat

    @property
    def learn(self) -> tuple[str, ...]:
        """Name the candidate sources that are fitted, in their order."""
        read = {BY_NAME[name].source for name in self.algorithms}
        return tuple(name for name in LEARNT if self.candidates.limit(name) or name in read)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Name all that are trained: `algorithm`, or those that are chosen among; of an ensemble its members."""
        named = (self.algorithm,) if self.choose is None else self.choose.among
        return tuple(dict.fromkeys(m for name in named for m in (self.members if name == ENSEMBLE else (name,))))

    @property
    def main_event(self) -> str | None:
        """The kind of event that answers speak of; None: any."""
        return self.event or self.signs().main

    def signs(self, bare: Sequence[str] = ()) -> Signs:
        """Return what each declared kind says of an item; `bare` are the kinds without one."""
        once = [kind for kind, repeat in self.repeat_by_kind.items() if repeat == FORBID]
        told = {"weights": self.kinds, "hides": self.hide, "once": once, "undoes": self.undo, "bare": bare}
        return Signs.of(told | {"shown": self.impression or ""})

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        if not self.people:  # digests recorded before there were sources of people hold
            limits = dumped["candidates"]
            dumped["candidates"] = {name: limit for name, limit in limits.items() if name not in OF_PEOPLE}
        if self.vectors is not None:  # there, to be off is to be said
            dumped["candidates"] |= {name: self.candidates.limit(name) for name in OF_VECTORS}
        return {k: v for k, v in dumped.items() if k not in NEWER or getattr(self, k) != fields[k].default}
