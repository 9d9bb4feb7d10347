"""A recommender whose pseudonyms' key is being changed, and people by their names under either key."""

import dataclasses
from pathlib import Path

import pytest

from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.environment import Installation
from pipelines.environment_spec import Pseudonyms, Requests

OLD, NEW = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def old(raw: str) -> str:
    """Return a person's name under the key of before."""
    return pseudonym(raw, OLD)


def new(raw: str) -> str:
    """Return a person's name under the key in use."""
    return pseudonym(raw, NEW)


def changing(
    where: Installation, folder: Path, people: list[str], patch: pytest.MonkeyPatch, *, url: str = ""
) -> Installation:
    """Return the installation between the change of the key and `rotate`; its source has these people."""
    patch.setattr("components.data.new_names.everyone", lambda data, base: people)
    (folder / "old.key").write_text(OLD)
    (folder / "new.key").write_text(NEW)
    named = Pseudonyms(key_file=str(folder / "new.key"), previous_key_file=str(folder / "old.key"))
    said = where.environment.model_copy(update={"pseudonyms": named, "requests": Requests(url=url)})
    return dataclasses.replace(where, environment=said)
