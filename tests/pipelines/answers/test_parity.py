"""Logged answers replayed offline: a planted difference is found, and named by its feature; and why one was given."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.recommender.logs import eventlog, requestlog
from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.update import Event, Folding
from pipelines import cli, environment
from pipelines.answers import explain, offline_rows, parity
from pipelines.environment import Installation, place
from pipelines.environment_spec import Kubernetes
from tests.bentos.conftest import vocabulary
from tests.pipelines.conftest import RAW, USER, Shop

Line = dict[str, Any]


@pytest.fixture
def logged(shop: Shop, tmp_path: Path) -> tuple[Installation, str, Line]:
    """The shop with a request log of its own, its release, and an answer of the demo."""
    at = place(shop.spec, "local", variables=shop.environment())
    home = tmp_path / "home"
    home.mkdir()
    for name in ("releases", "secrets", "events", "features"):
        (home / name).symlink_to(shop.home / name)
    shutil.copyfile(shop.home / "run.json", home / "run.json")
    line = next(line for line in requestlog.read(shop.home / "requests") if line["endpoint"] == "recommend")
    return dataclasses.replace(at, home=home), str(line["release"]), line


def log(at: Installation, *lines: Line) -> None:
    folder = at.home / "requests"
    folder.mkdir(exist_ok=True)
    (folder / "2024-01-01.00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_answers_replay_to_the_same_scores_and_features(logged: tuple[Installation, str, Line]) -> None:
    at, release, line = logged
    log(at, line)
    found = parity.parity(at, release)
    assert (found["checked"], found["mismatches"], found["passed"]) == (1, 0, True), found["reason"]
    assert "not recomputed" not in found["reason"]


def test_without_answers_nothing_is_checked_and_it_says_so(logged: tuple[Installation, str, Line]) -> None:
    at, release, _ = logged
    found = parity.parity(at, release)
    assert (found["checked"], found["passed"], found["first"]) == (0, False, None)
    assert parity.text(found) == (
        f"parity not checked: no answer of release {release} is logged here yet: nothing to replay"
    )


def test_logs_that_stay_in_the_pods_of_a_cluster_are_not_a_parity_that_holds(
    logged: tuple[Installation, str, Line],
) -> None:
    at, release, _ = logged
    settings = at.environment.model_copy(update={"kubernetes": Kubernetes(overlay="local")})
    assert parity.text(parity.parity(dataclasses.replace(at, environment=settings), release)).startswith(
        "parity not checked: request logs stay with their pods (requests.url ships them), and no answer of release "
    )


def test_the_verb_ends_with_3_where_nothing_was_compared(
    logged: tuple[Installation, str, Line],
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at, release, _ = logged
    monkeypatch.setattr(environment, "place", lambda *_: at)
    with pytest.raises(SystemExit) as ended:
        cli.main(["parity", str(shop.spec), "--release", release])
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("intentflow: parity not checked: no answer of release ")


def test_a_changed_feature_is_named_with_both_values(logged: tuple[Installation, str, Line]) -> None:
    at, release, line = logged
    bad = copy.deepcopy(line)
    bad["request_id"] = "planted"
    bad["numbers"]["value_28d"] += 7.0
    log(at, line, bad)
    found = parity.parity(at, release)
    assert (found["checked"], found["mismatches"], found["passed"]) == (2, 1, False)
    assert found["by_field"]["value_28d"] == 1
    assert (found["first"]["field"], found["first"]["request_id"]) == ("value_28d", "planted")
    assert found["first"]["online"] == pytest.approx(found["first"]["offline"] + 7.0, abs=1e-3)


def test_a_door_with_a_skewed_encoder_is_found_by_its_scores(logged: tuple[Installation, str, Line]) -> None:
    at, release, line = logged
    bad = line | {"probabilities": [value * 0.9 for value in line["probabilities"]]}
    log(at, bad)
    found = parity.parity(at, release)
    assert not found["passed"]
    assert found["first"]["field"].startswith("probability of ")
    assert line["user_id"] in found["reason"]


def test_why_says_what_an_answer_rests_on(logged: tuple[Installation, str, Line]) -> None:
    at, release, line = logged
    log(at, line)
    found = explain.why(at, user=USER)
    assert (found["request_id"], found["release"]) == (line["request_id"], release)
    assert found["items"][0]["reasons"]
    assert found["events"][0]["at"] <= found["now"]
    assert {"name": "events_total", "value": line["numbers"]["events_total"], "at": found["now"]} in found["features"]
    said = explain.text(found)
    assert release in said
    assert RAW not in said
    assert explain.why(at, request_id=line["request_id"]) == found
    assert explain.why(at, user=USER, at="2999-01-01T00:00:00+00:00") == found


def test_why_says_what_the_likeliest_intents_rest_on_and_draws_it(
    logged: tuple[Installation, str, Line], tmp_path: Path
) -> None:
    at, _, line = logged
    log(at, line)
    picture = tmp_path / "why.svg"
    found = explain.why(at, user=USER, picture=picture)
    assert [one["intent"] for one in found["causes"]] == [intent["name"] for intent in found["intents"][:3]]
    for one in found["causes"]:
        effects = sum(cause["effect"] for cause in one["causes"]) + one["others"]
        assert effects == pytest.approx(one["said"] - one["nobody"], abs=2e-3)
    said = explain.text(found)
    assert f"Causes     {found['causes'][0]['intent']}: log odds " in said
    assert found["causes"][0]["causes"][0]["words"] in said
    drawn = picture.read_text()
    assert drawn.startswith("<svg ")
    assert found["causes"][0]["intent"] in drawn
    assert RAW not in drawn


def test_a_picture_of_an_answer_that_no_model_gave_is_one_line_and_nothing_is_written(
    logged: tuple[Installation, str, Line], tmp_path: Path
) -> None:
    at, _, line = logged
    log(at, line | {"rung": "popular"})
    with pytest.raises(SpecError, match=r"--picture: the answer .* \(rung popular\), so nothing says what its intents"):
        explain.why(at, user=USER, picture=tmp_path / "why.svg")
    assert not (tmp_path / "why.svg").exists()


def test_an_unknown_user_or_time_is_one_line(logged: tuple[Installation, str, Line]) -> None:
    at, _, line = logged
    log(at, line)
    with pytest.raises(SpecError, match=r"no logged answer for this user.*the log's latest answer is of"):
        explain.why(at, user="nobody-here")
    with pytest.raises(SpecError, match=r"had no answer by 2001.*nearest are of 2"):
        explain.why(at, user=USER, at="2001-01-01T00:00:00+00:00")
    with pytest.raises(SpecError, match="no time"):
        explain.why(at, user=USER, at="yesterday")
    assert pseudonym(USER, "00") != line["user_id"]


def test_a_row_is_what_the_batch_made_with_the_events_since_and_not_a_history_folded_anew() -> None:
    folding = Folding(Calendar("2016-12-26"), vocabulary(), (7, 28, 91), "purchase")
    end = 1_500_000_000
    bought = [Event("i0", "purchase", end - 86_400 * 10, "s1"), Event("i1", "purchase", end - 86_400, "s2")]
    batch = folding.fold(folding.empty(), bought) | {"state_at": end}
    # As where an item fell out of a full history and came back: the batch counts its earlier weeks, folding cannot.
    batch["history_weeks"] = batch["history_weeks"] + np.float32(1)
    line = {"user_id": "u", "item_id": "i0", "event": "purchase", "timestamp": end + 5, "created_at": end + 5,
            "session_id": "s3", "key": "k"}  # fmt: skip
    offline = offline_rows.Offline(folding, {"u": batch}, end, {"u": [line]})
    served = folding.fold(batch, [eventlog.pushed(line, folding.calendar)])
    assert list(offline_rows.contrasts(answer_of(served), offline.row(answer_of(served)) or {})) == []
    served["history_weeks"] = served["history_weeks"] - np.float32(1)
    (item, *_) = {
        name for name, _, _ in offline_rows.contrasts(answer_of(served), offline.row(answer_of(served)) or {})
    }
    assert item.startswith("history_weeks of ")
    assert offline.row(answer_of(served) | {"state_at": end - 1}) is None  # older than the files


def answer_of(state: dict[str, Any]) -> Line:
    """Return a logged answer from a row."""
    lists = {name: value.tolist() for name, value in state.items() if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in state.items() if isinstance(value, int | float) and name != "state_at"}
    return {"user_id": "u", "state_at": state["state_at"], "numbers": numbers, "lists": lists}
