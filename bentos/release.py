"""A release as a service reads it: the release folder's own reading, with the spec's slices validated.

The registry writes the file (components/registry), services only read it: names, digests and the spec's slices that
serving needs, so that a Bento never imports `pipelines`. Nothing here loads a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bentos.spec import Serving
from components.content import words, writers
from components.content.facts import Language
from components.content.llm import prompts
from components.content.spec import Content
from components.data.derived import rules_at_the_door, rules_of_an_item
from components.data.row_rules import RowRule, Severity
from components.profiles.spec import Profiles
from components.ranking.rules.spec import PLACEMENTS, RULES, Placement, Rule
from components.ranking.sources import SOURCES
from components.ranking.spec import Ranking
from feature_repo import release_folder
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, shortened
from feature_repo.release_folder import FILE, SLICES, ReleaseFolder
from feature_repo.release_folder import INTENT as INTENT
from feature_repo.release_folder import RANKING as RANKING

MODEL_ALIAS = "release"  # how a Bento calls the BentoML model that holds the folder


@dataclass(frozen=True)
class Release:
    """The matched set of versions that one service serves."""

    id: str
    name: str
    folder: Path
    vocabulary: str  # digest
    policy: str
    calendar: Calendar
    data_end: int  # epoch seconds: the first second after the last event, as profiles have it
    profiles: Profiles
    ranking: Ranking
    serving: Serving
    content: Content  # a release made before there was one has its writer's sentences
    prompts: Mapping[Language, str] | None  # the language model's, by language; None: the spec asks for no model
    title_prompts: Mapping[Language, str] | None  # of shelves; None also of a release made before there were some
    rerank_prompts: Mapping[Language, str] | None  # of short lists; None: the spec has no model order them
    verb: str  # what users do to items, past tense
    event_rules: tuple[RowRule, ...]  # of the data's contract: what an event must keep to
    item_rules: tuple[RowRule, ...]  # of the data's contract: what an item that is changed live must keep to
    unknown_items: Severity | None  # how grave an event with an item outside the catalogue is; None: it is fine
    document: dict[str, Any]  # release.json, whole
    key: str  # fingerprint of the key that the users it knows are hashed with; '' where none was noted
    rules: Sequence[Rule] = ()  # the spec's: what lists may hold
    placements: Mapping[str, Placement] = field(default_factory=dict)
    exploration: Mapping[str, Any] = field(default_factory=dict)  # the policy's settings and guard; empty: greedy

    @classmethod
    def load(cls, folder: Path) -> "Release":
        """Read and check the release in a folder; its models' bytes are not looked at."""
        return cls._of(ReleaseFolder.read(folder))

    @classmethod
    def verified(cls, folder: Path) -> "Release":
        """Do the same before its models are loaded: every byte of them must be the registered one."""
        return cls._of(ReleaseFolder.verified(folder))

    @classmethod
    def _of(cls, released: ReleaseFolder) -> "Release":
        """Validate the slices; a document whose id is right may still hold what no version ever wrote."""
        try:
            return cls._read(released)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            said = shortened(" ".join(str(error).split()), 200)
            raise DataError(
                f"{released.path / FILE}: {SLICES}: {type(error).__name__}: {said}; {release_folder.ANEW}"
            ) from error

    @classmethod
    def _read(cls, released: ReleaseFolder) -> "Release":
        slices = released.slices
        return cls(
            id=released.id,
            name=released.name,
            folder=released.path,
            vocabulary=released.vocabulary,
            policy=released.policy,
            calendar=released.calendar,
            data_end=released.data_end,
            profiles=Profiles.model_validate(slices["profiles"]),
            ranking=Ranking.model_validate(slices["ranking"]),
            serving=Serving.model_validate(slices["serving"]),
            content=Content.model_validate(slices.get("content", {"prompt": writers.UNNAMED})),
            prompts=_prompts(slices),
            title_prompts=_prompts(slices, "title_prompts", named="titles") if "title_prompts" in slices else None,
            rerank_prompts=_rerank_prompts(slices),
            verb=_verb(slices),
            event_rules=_event_rules(slices.get("event_rules")),
            item_rules=_item_rules(slices.get("item_rules")),
            unknown_items=slices.get("unknown_items"),
            document=released.document,
            key=released.key,
            rules=tuple(RULES.validate_python(slices.get("rules", []))),
            placements=PLACEMENTS.validate_python(slices.get("placements", {})),
            exploration=slices.get("policy", {}),
        )

    @property
    def ttl_s(self) -> int:
        """Seconds after which a profile is stale."""
        return self.profiles.ttl_days * 86_400

    @property
    def used_s(self) -> int:
        """Seconds after which a profile is no longer used."""
        return self.profiles.used_days * 86_400

    @cached_property
    def candidates(self) -> int:
        """Items that the ranker looks at for a user, at most."""
        return sum(self.ranking.candidates.limit(source.name) for source in SOURCES)


def _prompts(slices: Mapping[str, Any], key: str = "prompts", *, named: str = "prompt") -> dict[Language, str] | None:
    model = slices.get("content", {}).get("model")
    return None if not model else prompts.checked(model[named], slices[key])


def _rerank_prompts(slices: Mapping[str, Any]) -> dict[Language, str] | None:
    asked = (slices.get("content", {}).get("model") or {}).get("rerank")
    return None if not asked else prompts.checked(asked["prompt"], slices["rerank_prompts"])


def _verb(slices: Mapping[str, Any]) -> str:
    kinds = (intent.get("event") for intent in slices.get("intents", ()))
    ranked = Ranking.model_validate(slices["ranking"]).main_event
    return words.verb(ranked, kinds, slices.get("content", {}).get("verbs", {}))


def _event_rules(stored: list[dict[str, Any]] | None) -> tuple[RowRule, ...]:
    """Read the rules of events; a release made before there were any keeps to those of every recommender."""
    if stored is None:
        return tuple(rules_at_the_door({}))
    return TypeAdapter(tuple[RowRule, ...]).validate_python(stored)


def _item_rules(stored: list[dict[str, Any]] | None) -> tuple[RowRule, ...]:
    """Read the rules of items; a spec that asks nothing of its own keeps to those of every recommender."""
    if stored is None:
        return tuple(rules_of_an_item({}))
    return TypeAdapter(tuple[RowRule, ...]).validate_python(stored)
