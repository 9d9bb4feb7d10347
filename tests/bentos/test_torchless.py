"""A door needs neither torch nor pandas; one whose release is older than the numpy form answers the same with torch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components import served_form
from feature_repo import env_names, file_set, files, release_folder
from tests.bentos import toy
from tests.patience import patient

pytestmark = [pytest.mark.process, pytest.mark.world]
USERS = [*(f"u{n:02}" for n in range(24)), "nobody"]
# Scores that are nearer are equal. Each form alone is within 1e-5, but the ranker sees intents as log odds, and at .998
# the last bit of a float32 probability is 3e-5 of them.
APART = 5e-5
# What a process of the door must not import: each takes memory from every one of them, and time from its start.
HEAVY = ["pandas", "duckdb", "sqlalchemy", "fastapi", "sklearn", "scipy.optimize", "scipy.stats", "onnxruntime"]
HEAVY += ["lightgbm", "mlflow", "kfp", "optuna", "transformers", "feast.feature_store", "great_expectations"]
ASK = """
import datetime as dt, json, os, sys
from bentos.endpoints import events, recommend
from bentos.http.request_context import RequestContext
from bentos.recommender import service
from bentos.recommender.settings import Settings

opened = service.open_door(Settings.read(os.environ))
found, at = {}, dt.datetime.fromtimestamp(opened.door.release.data_end + 60, dt.UTC)
for number, user in enumerate(json.loads(os.environ["USERS"])):
    context = RequestContext()
    answer = recommend.answer(opened.door, recommend.RecommendRequest(user_id=user, k=8, at=at), context)
    found[user] = answer.model_dump(mode="json")
event = {"user_id": "somebody else", "item_id": "i00", "event": "purchase"}
told = events.EventsRequest.model_validate({"events": [event]})
events.answer(opened.door, told, RequestContext())
opened.door.close()
heavy = [name for name in json.loads(os.environ["HEAVY"]) if name in sys.modules]
print("FOUND", json.dumps({"torch": "torch" in sys.modules, "heavy": heavy, "answers": found}))
"""


def answers(made: toy.Toy, release: Path, home: Path) -> dict[str, Any]:
    """Open the door of a release in a process of its own, over the toy's store, and ask it about every user."""
    variables = os.environ | made.variables | {env_names.RELEASE: str(release), env_names.HOME: str(home)}
    variables |= {"HEAVY": json.dumps(HEAVY)}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=variables | {"USERS": json.dumps(USERS)},
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(lines[0].removeprefix("FOUND "))
    return found


def in_order(items: list[dict[str, Any]]) -> list[list[str]]:
    """Name items from the best on, those with equal scores together; the last ones may have equals beyond the cut."""
    groups: list[list[str]] = []
    last = np.inf
    for item in items:
        if last - item["score"] > APART:
            groups.append([])
        groups[-1].append(item["item_id"])
        last = item["score"]
    return [sorted(group) for group in groups[:-1]]


def test_a_door_needs_no_torch_and_a_release_of_before_answers_the_same_from_one_store(
    trained_toy: toy.Toy, tmp_path: Path
) -> None:
    older = shutil.copytree(trained_toy.release, tmp_path / "older")
    rest = {key: value for key, value in files.read_json(older / "release.json").items() if key != "id"}
    for part in ("intent", "ranking"):
        (older / part / served_form.FILE).unlink()
        rest[part]["digest"] = file_set.digest(older / part)
    files.write_json(older / "release.json", release_folder.identified(rest))
    new = answers(trained_toy, trained_toy.release, tmp_path / "new")
    old = answers(trained_toy, older, tmp_path / "old")
    assert (new["torch"], old["torch"]) == (False, True)
    assert new["heavy"] == []
    for user in USERS:
        one, other = new["answers"][user], old["answers"][user]
        assert in_order(one["items"]) == in_order(other["items"])
        for kind, field, most in (("items", "score", APART), ("intents", "probability", 1e-5)):
            scores = [[entry[field] for entry in answer[kind]] for answer in (one, other)]
            np.testing.assert_allclose(*scores, atol=most)
    assert {new["answers"][user]["profile"]["rung"] for user in USERS} == {"fresh", "popular"}
