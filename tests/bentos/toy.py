"""A toy recommender made by the real steps: the checkerboard world, trained, materialised, released."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.intent.steps import run_train_intent
from components.profiles.steps import run_materialise, run_profiles, run_training_set
from components.ranking.steps import run_train_ranking
from feature_repo import files
from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.environment import exported
from tests import made_once, worlds

NAME, KEY = "toy", "5eed"
SPLIT = json.dumps(worlds.SPLIT)
PROFILES = {"windows_days": [7, 28, 91], "ttl_days": 30, "segments": {"method": "kmeans", "k": 2}}
INTENTS = [{"name": "buy", "event": "purchase", "level": "category", "top": 4}, {"name": "visit"}]
INTENT = {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 6, "batch_size": 64}
RANKING = {"min_item_sessions": 2, "min_item_users": 1, "train_weeks": 3, "epochs": 6, "width": 16, "batch_size": 16}


@dataclass(frozen=True)
class Toy:
    """A state folder with an online store, a release folder, and the variables of a service."""

    home: Path
    release: Path
    variables: dict[str, str]


def copied(factory: pytest.TempPathFactory) -> Toy:
    """Return a toy of the asker's own; it is trained once, whoever asks."""
    return at(made_once.copied(factory, NAME, make))


def at(folder: Path) -> Toy:
    """Return the toy of a folder."""
    home = folder / "home"
    variables = {
        "INTENTFLOW_HOME": str(home),
        "INTENTFLOW_PSEUDONYM_KEY": KEY,
        "INTENTFLOW_CLOCK": "data_end",
        "INTENTFLOW_FEAST": json.dumps(
            {
                "registry": str(home / "feast" / "registry.db"),
                "online_store": {"type": "sqlite", "path": str(home / "feast" / "online.db")},
            }
        ),
    }
    return Toy(home, folder / "release", variables)


def make(folder: Path) -> None:
    """Run the steps from events to a release folder."""
    made = at(folder)
    (made.home / "feast").mkdir(parents=True)
    with exported(made.variables):
        _take_steps(folder, made.release)


def _take_steps(folder: Path, release: Path) -> None:
    clean, profiles, rows = (folder / part for part in ("clean", "profiles", "rows"))
    world().write(clean)
    run_profiles(json.dumps(PROFILES), SPLIT, json.dumps(worlds.VOCABULARY), clean=clean, destination=profiles)
    run_training_set(SPLIT, json.dumps({"train_weeks": 3, "test_every_weeks": 1}), clean=clean, profiles=profiles,
                     destination=rows)  # fmt: skip
    run_train_intent(
        json.dumps(INTENTS), json.dumps(INTENT), ranking_weeks=3, rows=str(rows), intent=str(release / "intent")
    )
    run_train_ranking(
        json.dumps(RANKING), rows=str(rows), intent=str(release / "intent"), ranker=str(release / "ranking")
    )
    run_materialise(NAME, profiles=profiles, release_version="1")
    files.write_json(release / "release.json", document(release, clean, profiles))


def world() -> worlds.World:
    """The checkerboard world as ingest leaves it: users are pseudonyms of u00, u01 …"""
    raw = worlds.checkerboard()
    hidden = {user: pseudonym(user, KEY) for user in raw.users}
    events = [event | {"user_id": hidden[str(event["user_id"])]} for event in raw.events]
    return replace(raw, events=events, users=list(hidden.values()))


def document(release: Path, clean: Path, profiles: Path) -> dict[str, object]:
    """Return release.json as the registry writes it."""
    snapshot = files.read_json(clean / "snapshot.json")
    rest = {
        "name": NAME,
        "intent": {"version": "1", "digest": files.file_digest(release / "intent")},
        "ranking": {"version": "1", "digest": files.file_digest(release / "ranking")},
        "policy": "greedy@1",
        "prompt": "template@1",
        "vocabulary": files.read_json(profiles / "profiles.json")["vocabulary"],
        "serving": {
            "name": NAME,
            "calendar": snapshot["calendar"],
            "data_end": snapshot["last"],
            "profiles": PROFILES,
            "intents": INTENTS,
            "ranking": RANKING,
            "serving": {"k": 4, "max_k": 20, "timeout_s": 10.0},
        },
    }
    return {"id": files.digest(rest), **rest}
