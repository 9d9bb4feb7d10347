"""A release as a service reads it: release.json of a release folder.

The registry writes the file (components/registry), services only read it: names, digests and the spec's slices that
serving needs, so that a Bento never imports `pipelines`. Nothing here loads a model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bentos.spec import Serving
from components.content.spec import Content
from components.data.derived import rules_at_the_door
from components.data.row_rules import RowRule
from components.profiles.spec import Profiles
from components.ranking.spec import Ranking
from feature_repo import files
from feature_repo.calendar import Calendar, epoch
from feature_repo.errors import DataError

FILE = "release.json"
INTENT = "intent"  # folder of the intent model
RANKING = "ranking"  # folder of the ranking model
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
    content: Content  # a release made before there was one has the defaults
    event_rules: tuple[RowRule, ...]  # of the data's contract: what an event must keep to
    document: dict[str, Any]  # release.json, whole

    @classmethod
    def load(cls, folder: Path) -> "Release":
        """Read and check the release in a folder."""
        path = folder / FILE
        if not path.is_file():
            raise DataError(f"{path}: no such file; a release folder holds {FILE}, {INTENT}/ and {RANKING}/")
        document = files.read_json(path)
        expected = files.digest({k: v for k, v in document.items() if k != "id"})
        if document.get("id") != expected:
            raise DataError(f"{path}: id '{document.get('id')}' is not the digest of the rest, '{expected}'")
        slices = document["serving"]
        return cls(
            id=expected,
            name=document["name"],
            folder=folder,
            vocabulary=document["vocabulary"],
            policy=document["policy"],
            calendar=Calendar(**slices["calendar"]),
            data_end=epoch(slices["data_end"]) + 1,
            profiles=Profiles.model_validate(slices["profiles"]),
            ranking=Ranking.model_validate(slices["ranking"]),
            serving=Serving.model_validate(slices["serving"]),
            content=Content.model_validate(slices.get("content", {})),
            event_rules=_event_rules(slices.get("event_rules")),
            document=document,
        )

    @property
    def key(self) -> str:
        """Fingerprint of the key that the users it knows are hashed with; '' where none was noted."""
        return str(self.document["serving"].get("key", ""))

    @property
    def ttl_s(self) -> int:
        """Seconds after which a profile is stale."""
        return self.profiles.ttl_days * 86_400

    @property
    def used_s(self) -> int:
        """Seconds after which a profile is no longer used."""
        return self.profiles.used_days * 86_400

    @property
    def candidates(self) -> int:
        """Items that the ranker looks at for a user, at most."""
        return sum(self.ranking.candidates.model_dump().values())


def _event_rules(stored: list[dict[str, Any]] | None) -> tuple[RowRule, ...]:
    """Read the rules of events; a release made before there were any keeps to those of every recommender."""
    if stored is None:
        return tuple(rules_at_the_door({}))
    return TypeAdapter(tuple[RowRule, ...]).validate_python(stored)
