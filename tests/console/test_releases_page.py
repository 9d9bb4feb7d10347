"""The page of releases over a real registry and the rollout's own loop: who serves, a rollback that is read back."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from starlette.testclient import TestClient

from bentos.router.routes import Backend, Routes
from components.registry import aliases, rollout_tags
from components.registry.release import model_name
from feature_repo.errors import ServerError
from pipelines.console.releases import LiveReleases
from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import loop, restore
from pipelines.rollout.experiment_state import ExperimentState
from pipelines.rollout.state import State
from tests.console.pages import Page, opened, pressed, visitor
from tests.patience import patient
from tests.pipelines.rollout.test_loop import PaperActuator, place, registry  # noqa: F401 (fixtures)

pytestmark = pytest.mark.process  # MLflow's database takes as long as a process
GATES = {
    "gates": [
        {"metric": "intent.map", "passed": True, "verdict": "passed", "reason": "map 0.4 is above 0.3"},
        {"metric": "ranking.ndcg_at_10", "cohort": "new", "passed": False, "verdict": "refused", "reason": "0.1 < 0.2"},
        {"metric": "service.p99", "passed": True, "skipped": True, "reason": "nothing was measured"},
    ]
}


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> PaperActuator:
    """Doors and routes on paper, for whoever asks for an actuator."""
    found = PaperActuator()
    monkeypatch.setattr(loop, "actuator_of", lambda _: found)
    return found


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory, registry: Path) -> tuple[Path, PaperActuator]:  # noqa: F811
    """A registry and doors where version 1 served, then 2 was rolled out: version 1 is the one before. Copied."""
    here = place.__wrapped__(tmp_path_factory.mktemp("rolled"), registry)
    found = PaperActuator()
    with variables(here):
        look(here, found)
        promote(here, "2")
        look(here, found, times=4)
    assert found.routes is not None
    assert (found.routes.stable.release, found.routes.mode) == ("r2", "stable")
    return here.home / "mlflow" / "mlflow.db", found


@pytest.fixture
def served(
    place: Installation,
    paper: PaperActuator,
    rolled: tuple[Path, PaperActuator],
    monkeypatch: pytest.MonkeyPatch,
) -> Installation:
    """Version 2 serves, version 1 did before and its door still runs."""
    for name, value in place.variables.items():  # as the console's process has them
        monkeypatch.setenv(name, value)
    shutil.copy(rolled[0], place.home / "mlflow" / "mlflow.db")
    paper.up, paper.routes, paper.looks = dict(rolled[1].up), rolled[1].routes, rolled[1].looks
    return place


def look(place: Installation, paper: PaperActuator, times: int = 1) -> None:
    for _ in range(times):
        with held(place) as lease:
            loop.once(place, paper, lease)


def promote(place: Installation, version: str) -> None:
    with variables(place):
        aliases.promote("grocery", version, who="ana", why="better")


def registered(place: Installation) -> mlflow.MlflowClient:
    with variables(place):
        return mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])


def holders(place: Installation) -> dict[str, str]:
    with variables(place):
        return aliases.status("grocery").holders


def browser(place: Installation) -> TestClient:
    """A visitor who waits for a rollback to its end, however busy the machine is."""
    return visitor(releases=LiveReleases(lambda: place, patience_s=patient(120)))


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """A rollback that a test began ends with it: it works on this process's variables."""
    yield
    for thread in threading.enumerate():
        if thread.name == "rollback":
            thread.join(patient(120))


def test_the_page_says_who_serves_what_was_judged_and_why(served: Installation) -> None:
    client = registered(served)
    for tag, value in (("gates", "refused"), ("verdict", json.dumps(GATES))):
        client.set_model_version_tag(model_name("grocery"), "3", tag, value)
    text = opened(browser(served), "/console/releases").text
    assert "Champion: version 2. All users are led to version 2 (release r2), as the routes say." in text
    assert "Version 2 champion serves Release r2" in text
    assert "Version 1 previous Release r1" in text
    assert "Version 3 archived Release r3" in text
    third = text.partition("Version 3")[2]
    assert "gates refused" in third
    assert third.index("ranking.ndcg_at_10 · new refused 0.1 < 0.2") < third.index("intent.map passed map 0.4")
    assert "service.p99 not judged nothing was measured" in third
    assert "champion 1 → 2 ana better" in text
    assert "Its rollout" in text.partition("Version 2")[2]


def test_a_rollback_asks_once_more_and_says_what_serves_as_read_back(
    served: Installation, paper: PaperActuator
) -> None:
    visit = browser(served)
    assert 'href="/console/releases/rollback"' in visit.get("/console/releases").text
    asked = opened(visit, "/console/releases/rollback")
    assert "Roll back from version 2 to version 1?" in asked.text
    assert holders(served)["champion"] == "2", "a look moves nothing"
    done = pressed(visit, asked, "Roll back now", why="users <b>complain</b>")
    assert "Version 1 is the champion (champion 2 -> 1), and release r1 serves, as read back" in done.text
    assert "Asked for by console." in done.text
    assert "Champion: version 1. All users are led to version 1 (release r1)" in done.text
    assert paper.routes is not None
    assert (paper.routes.stable.release, paper.routes.mode) == ("r1", "stable")
    assert holders(served) == {"champion": "1"}
    with variables(served):
        move = [one for one in aliases.status("grocery").history if one.alias == "champion"][-1]
        assert (move.origin, move.to, move.who, move.why) == ("2", "1", "console", "users <b>complain</b>")
        assert "by console: users <b>complain</b>" in aliases.rolled_back("grocery", "2")
    assert "users <b>complain</b>" in done.text, "as text"
    assert "nothing to go back to" in done.text, "and there is no second step back"


def test_a_form_that_is_sent_twice_moves_nothing_twice(served: Installation) -> None:
    visit = browser(served)
    asked = opened(visit, "/console/releases/rollback")
    pressed(visit, asked, "Roll back now")
    again = pressed(visit, asked, "Roll back now", status=409)
    assert "so there is nothing to go back to" in again.text
    assert holders(served) == {"champion": "1"}


def test_a_rollback_of_what_moved_meanwhile_is_refused(served: Installation, paper: PaperActuator) -> None:
    visit = browser(served)
    asked = opened(visit, "/console/releases/rollback")
    promote(served, "3")
    look(served, paper, times=4)
    refused = pressed(visit, asked, "Roll back now", status=409)
    assert (
        "rollback: from version 2 to 1 was asked for, but by now version 3 is the champion and 2 the one before; "
        "nothing was moved" in refused.text
    )
    assert holders(served) == {"champion": "3", "previous": "2"}


def test_while_a_rollout_runs_it_is_refused_in_a_sentence(served: Installation, paper: PaperActuator) -> None:
    visit = browser(served)
    asked = opened(visit, "/console/releases/rollback")
    promote(served, "3")
    paper.observe = lambda: None  # type: ignore[method-assign]  # no traffic yet
    look(served, paper)
    page = opened(visit, "/console/releases")
    said = "of version 3 (release r3) is under way"
    assert said in page.text
    assert "Version 3 champion being rolled out" in page.text
    assert "Roll back to version" not in page.text
    before = holders(served)
    assert said in pressed(visit, asked, "Roll back now", status=409).text
    reply = visit.get("/console/releases/rollback")
    assert (reply.status_code, said in Page(reply.text).text) == (409, True)
    assert holders(served) == before


def test_where_there_is_nothing_before_it_says_so(
    place: Installation,
    paper: PaperActuator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    look(place, paper)
    text = opened(browser(place), "/console/releases").text
    assert "rollback: grocery-release has no version 'previous', so there is nothing to go back to" in text
    assert "Roll back to version" not in text


def test_where_no_service_runs_the_alias_moves_and_the_page_says_that_nothing_serves(
    place: Installation,
    paper: PaperActuator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    with variables(place):
        aliases.notice("grocery")
    promote(place, "2")
    visit = browser(place)
    done = pressed(visit, opened(visit, "/console/releases/rollback"), "Roll back now")
    assert "Version 1 is the champion (champion 2 -> 1). No service runs here" in done.text
    assert "release r1 serves" not in done.text
    assert holders(place) == {"champion": "1"}


def test_what_serving_does_not_follow_is_no_success(
    served: Installation, paper: PaperActuator, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.broken["start"] = ServerError("no port is free")
    paper.up.pop("r1", None)
    monkeypatch.setattr(restore, "STARTS_S", 0.1)
    visit = browser(served)
    said = pressed(visit, opened(visit, "/console/releases/rollback"), "Roll back now").text
    assert "The rollback from version 2 to 1, asked for by console, did not come to its end: " in said
    assert "version 1 is the champion, but serving did not follow" in said
    assert "The champion is version 1, and version 2 serves" in said
    assert "as read back" not in said


def test_one_that_takes_long_is_said_to_run_and_a_second_is_refused(
    served: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, real = threading.Event(), restore.restore

    def slow(*args: object, **named: object) -> object:
        assert let_go.wait(patient(60))
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(restore, "restore", slow)
    releases = LiveReleases(lambda: served, patience_s=0.05)
    visit = visitor(releases=releases)
    asked = opened(visit, "/console/releases/rollback")
    page = pressed(visit, asked, "Roll back now")
    assert "The rollback from version 2 to 1, asked for by console, runs since 0 s." in page.text
    assert 'hx-trigger="every 2s"' in visit.get("/console/releases").text
    assert "runs since" in pressed(visit, asked, "Roll back now", status=409).text
    let_go.set()
    assert releases._run is not None
    releases._run.join(patient(60))
    part = visit.get("/console/releases", headers={"HX-Request": "true"}).text
    assert "release r1 serves, as read back" in part
    assert "<html" not in part
    assert "every 2s" not in part, "it asks no more"


def elsewhere(place: Installation) -> Installation:
    """The same registry, of an environment that rolls out on a cluster of which this process knows nothing."""
    settings = place.environment.kubernetes.model_copy(update={"namespace": "shop"})
    return replace(place, environment=place.environment.model_copy(update={"kubernetes": settings}))


def test_on_a_cluster_the_loop_there_follows_and_what_it_records_is_read_back(
    served: Installation, paper: PaperActuator, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = LiveReleases(lambda: elsewhere(served), patience_s=0.05)
    visit = visitor(releases=releases)
    page = opened(visit, "/console/releases")
    assert "Version 2 (release r2) serves, as the rollout recorded it." in page.text
    asked = opened(visit, "/console/releases/rollback")
    assert "runs since" in pressed(visit, asked, "Roll back now").text
    assert releases._run is not None
    while releases._run.is_alive():  # the loop of the cluster; the rollback has an end of its own
        look(served, paper)
    text = opened(visit, "/console/releases").text
    assert "and release r1 serves, as read back" in text
    assert "Version 1 (release r1) serves, as the rollout recorded it." in text


def test_on_a_cluster_without_a_loop_it_is_no_success(served: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "FOLLOWS_S", 0.1)
    visit = visitor(releases=LiveReleases(lambda: elsewhere(served), patience_s=patient(60)))
    text = pressed(visit, opened(visit, "/console/releases/rollback"), "Roll back now").text
    assert "version 1 is the champion, but the rollout's loop did not record in 0 s that it serves" in text
    assert "as read back" not in text


def test_on_a_cluster_where_no_loop_ever_looked_nothing_is_moved(
    place: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with variables(place):
        aliases.notice("grocery")
    promote(place, "2")
    visit = visitor(releases=LiveReleases(lambda: elsewhere(place)))
    assert "no loop has recorded what serves on the cluster" in opened(visit, "/console/releases").text
    form = {"champion": "2", "to": "1", "why": "x"}
    assert visit.post("/console/releases/rollback", data=form | {"csrf": csrf(visit)}).status_code == 409
    assert holders(place) == {"champion": "2", "previous": "1"}


def csrf(visit: TestClient) -> str:
    """The token of the visitor's own forms, as the page gives it to htmx."""
    return visit.get("/console/releases").text.partition('"X-CSRF-Token": "')[2][:64]


def test_an_experiment_under_way_is_named_before_it_ends(served: Installation) -> None:
    with variables(served):
        state = State.of(rollout_tags.read("grocery").state)
        tried = ExperimentState(1, {"name": "warmer"}, ())
        rollout_tags.write("grocery", replace(state, experiment=tried).document())
    text = opened(browser(served), "/console/releases/rollback").text
    assert "Experiment warmer is under way, and ends with a rollback." in text


def test_what_serves_and_is_no_version_of_ours_is_said(served: Installation, paper: PaperActuator) -> None:
    paper.routes = Routes(stable=Backend(release="stranger", url="http://127.0.0.1:1"))
    assert "Users are led to release stranger" in opened(browser(served), "/console/releases").text


def test_before_anything_is_registered_the_page_says_so_and_makes_nothing(tmp_path: Path) -> None:
    spec = Path(__file__).parents[2] / "pipelines" / "specs" / "grocery.yaml"
    here = find_place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    text = opened(browser(here), "/console/releases").text
    assert "No version is registered yet." in text
    assert "nothing is registered of grocery yet; `intentflow run` makes a release" in text
    assert not (here.home / "mlflow").exists()


def test_a_registry_that_is_away_is_a_sentence(served: Installation) -> None:
    settings = served.environment.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    environment = served.environment.model_copy(update={"mlflow": settings})
    away = replace(served, environment=environment)
    reply = visitor(releases=LiveReleases(lambda: away)).get("/console/releases")
    assert reply.status_code == 503
    assert "127.0.0.1:9" in Page(reply.text).text


def test_versions_past_those_that_are_shown_stay_where_they_hold_an_alias(
    served: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.console import releases

    monkeypatch.setattr(releases, "SHOWN", 1)
    text = opened(browser(served), "/console/releases").text
    assert "The newest 3 of 3" not in text
    assert "Version 3 archived" in text
    assert "Version 1 previous" in text
    with variables(served):
        kept, in_all = aliases.kept("grocery", most=2)
    assert ([one.version for one in kept], in_all) == (["3", "2"], 3)
