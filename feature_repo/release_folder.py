"""The one reader of `release.json`: what a release is made of, where its parts lie, and the spec's slices in it.

A release folder holds `release.json`, `intent/`, `ranking/` and, of a signed one, `signature.json`. The registry writes
the document; doors, jobs, the rollout loop and the answers' replay read it here, which checks its signature where the
environment asks for one. The slices stay as they were written: the models that validate them belong to the layers
above, and bentos/release.py applies those of the services. Nothing here loads a model; who does calls `verified`.

`format` says how a document is laid out. Documents written before there was such a field are format 1.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from feature_repo import erasure, files, signing
from feature_repo.calendar import Calendar
from feature_repo.clock import epoch
from feature_repo.errors import DataError

FILE = "release.json"
INTENT = "intent"  # folder of the intent model
RANKING = "ranking"  # folder of the ranking model
FORECASTS = "forecasts"  # folder of the forecasts, within the intent model's; absent where no intent is of such a kind
SESSION = "session"  # folder of the session model, within the intent model's; absent where no intent is of a visit

FORMAT = "format"
FIRST = 1  # of documents without the field
CURRENT = 2  # what this code writes
READABLE = (FIRST, CURRENT)  # today's and the one before it

ID, KEY, SLICES = "id", "key", "serving"
KIND, BASELINE, BASELINES = "kind", "baseline", "baselines"  # of releases that serve since no champion was there
PARTS = (INTENT, RANKING)
SHAPE: dict[str, type] = {"name": str, "vocabulary": str, "policy": str, INTENT: dict, RANKING: dict, SLICES: dict}
NAMED: dict[type, str] = {str: "text", dict: "object"}
ANEW = "fetch the release again, or run the pipeline to register it anew"
JUDGED = "judged"  # the release whose refit this one is; absent where what was judged serves itself


@dataclass(frozen=True)
class ReleaseFolder:
    """A release folder and its document, which is whole: the id is the digest of the rest."""

    path: Path
    document: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "ReleaseFolder":
        """Read and check the release in a folder, its signature included where the environment asks for one."""
        found, signature = cls.described(path), path / signing.FILE
        text = signature.read_text(errors="replace") if signature.is_file() else ""
        signing.trusted(os.environ).require(found.document, text, path / FILE)
        return found

    @classmethod
    def described(cls, path: Path) -> "ReleaseFolder":
        """Read what a release was, whoever signed it: nothing of it may be loaded."""
        file = path / FILE
        if not file.is_file():
            raise DataError(f"{file}: no such file; a release folder holds {FILE}, {INTENT}/ and {RANKING}/")
        return cls(path, _checked(_parsed(file), file))

    @classmethod
    def verified(cls, path: Path) -> "ReleaseFolder":
        """Read a release whose models are about to be loaded: every byte must be what the document stands for.

        Rows of forgotten people are the exception, as erasure.py notes and checks them.
        """
        found = cls.read(path)
        for part in PARTS:
            if not erasure.matches(path / part, expected := found.digest(part)):
                raise DataError(
                    f"{path / part}: is not what release {found.id} was made of (digest {expected}); delete the folder "
                    "and fetch the release again"
                )
        return found

    def digest(self, part: str) -> str:
        """Return the digest that a part was registered with."""
        found = self.document.get(part, {}).get("digest")
        if not isinstance(found, str):
            raise DataError(f"{self.path / FILE}: holds no digest of '{part}'; {ANEW}")
        return found

    @property
    def id(self) -> str:
        """The digest of the rest of the document."""
        return str(self.document[ID])

    @property
    def format(self) -> int:
        """How the document is laid out."""
        return int(format_of(self.document))

    @property
    def name(self) -> str:
        """The recommender."""
        return str(self.document["name"])

    @property
    def vocabulary(self) -> str:
        """The digest of the vocabulary that both models are aligned to."""
        return str(self.document["vocabulary"])

    @property
    def segments(self) -> str:
        """The digest of the users' segments; '' where there are none."""
        return str(self.document.get("segments", ""))

    @property
    def policy(self) -> str:
        """The policy that chooses what is shown."""
        return str(self.document["policy"])

    @property
    def baselines(self) -> Mapping[str, str]:
        """The baseline by part that stands in a model's place, where no gate had passed one; {} of others."""
        found: Mapping[str, str] = self.document.get(BASELINES, {})
        return found

    @property
    def slices(self) -> Mapping[str, Any]:
        """The spec's slices that serving needs, as they were written: `profiles`, `ranking`, `serving` and others."""
        found: Mapping[str, Any] = self.document[SLICES]
        return found

    @property
    def judged(self) -> Mapping[str, Any]:
        """The judged release that this one is a refit of: `id`, `version` and each part's; empty where it is none."""
        found: Mapping[str, Any] = self.document.get(JUDGED, {})
        return found

    @property
    def key(self) -> str:
        """Fingerprint of the key that its users' pseudonyms were made under; '' where none was noted."""
        return str(self.slices.get(KEY, ""))

    @cached_property
    def calendar(self) -> Calendar:
        """The calendar that its rows were made by."""
        return Calendar(**self.slices["calendar"])

    @cached_property
    def data_end(self) -> int:
        """The first second after the last event of its data, epoch seconds."""
        return epoch(self.slices["data_end"]) + 1

    @property
    def intent(self) -> Path:
        """The folder of the intent model."""
        return self.path / INTENT

    @property
    def session(self) -> Path:
        """The folder of the session model, if the release has one."""
        return self.intent / SESSION

    @property
    def ranking(self) -> Path:
        """The folder of the ranking model, which also holds the vocabulary, the segments and the fallback."""
        return self.path / RANKING


def holds(path: Path) -> bool:
    """Tell whether a folder holds a release, of whatever format."""
    return (path / FILE).is_file()


def identified(rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a new release: today's format, and the id that follows from all the rest.

    >>> identified({"name": "shop"})
    {'id': '390f9f738877', 'format': 2, 'name': 'shop'}
    """
    document = {FORMAT: CURRENT, **rest}
    return {ID: files.digest(document), **document}


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the id that a document should have."""
    return files.digest({key: value for key, value in document.items() if key != ID})


def format_of(document: Mapping[str, Any]) -> Any:
    """Return the format that a document says it has."""
    return document.get(FORMAT, FIRST)


def require_readable(document: Mapping[str, Any], place: object) -> None:
    """Refuse a document of a format that this code does not read."""
    found = format_of(document)
    if isinstance(found, int) and not isinstance(found, bool) and found in READABLE:
        return
    allowed = " and ".join(map(str, READABLE))
    raise DataError(
        f"{place}: release format {found!r}; this version reads {allowed}; `intentflow run` with this version "
        f"registers the release anew in format {CURRENT}, or serve it with the version that wrote it"
    )


def _parsed(file: Path) -> dict[str, Any]:
    try:
        found = files.read_json(file)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: line {error.lineno} is no JSON; fetch the release again") from error
    except (ValueError, RecursionError) as error:  # bytes that are no text, a number of 5,000 digits, lists without end
        raise DataError(f"{file}: is no JSON that can be read; fetch the release again") from error
    if not isinstance(found, dict):
        raise DataError(f"{file}: no JSON object; fetch the release again")
    return found


def _checked(document: dict[str, Any], place: object) -> dict[str, Any]:
    require_readable(document, place)
    try:
        expected = digest_of(document)
    except UnicodeEncodeError as error:  # half of a pair of surrogates, which JSON can write and UTF-8 cannot
        raise DataError(f"{place}: holds text that is no Unicode; {ANEW}") from error
    except ValueError as error:  # 1e400, which JSON can write and a number cannot hold
        raise DataError(f"{place}: holds a number that is too large; {ANEW}") from error
    if document.get(ID) != expected:
        raise DataError(f"{place}: id '{document.get(ID)}' is not the digest of the rest, '{expected}'")
    if wrong := [name for name, kind in SHAPE.items() if not isinstance(document.get(name, kind()), kind)]:
        raise DataError(f"{place}: its '{wrong[0]}' is no {NAMED[SHAPE[wrong[0]]]}; {ANEW}")
    return document
