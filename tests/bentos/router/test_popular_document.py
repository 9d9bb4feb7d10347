"""The document of what is popular, in the router: when it holds, which is refused, and what a restart finds."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bentos.router.conftest import TOKEN, World, popular_document, until
from tests.bentos.router.test_popular import ASK, QUICK, armed, ids, value


def test_the_router_asks_with_its_token_and_names_no_user(play):
    async def scene(world: World):
        await armed(world)
        await world.post("/recommend", ASK)
        given = world.stable.popular_asked[-1]
        assert given["X-IntentFlow-Shadow"] == TOKEN
        assert {name.lower() for name in given} == {"host", "x-intentflow-shadow", "accept"}

    play(scene)


def test_a_document_expires(play):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 200
        await until(lambda: world.router._popular.document(world.router.file.routes) is None)
        status, _, headers = await world.post("/recommend", ASK)
        assert (status, headers["Retry-After"]) == (503, "1")

    play(scene, popular_s=1.0, **QUICK)


def test_a_door_that_confirms_the_document_keeps_it(play):
    async def scene(world: World):
        await armed(world)
        await asyncio.sleep(1.5)
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 200

    play(scene, popular_s=1.0, **QUICK)


def test_after_a_promotion_the_old_release_s_document_is_not_served(play):
    async def scene(world: World):
        await armed(world)
        world.candidate.popular = popular_document("bbb", items=2)
        world.stable, world.candidate = world.candidate, world.stable
        world.route(candidate=False, rollout="r2")
        await until(lambda: world.router._popular.document(world.router.file.routes) is not None)
        await world.stable.kill()
        _, body, headers = await world.post("/recommend", ASK)
        assert (body["release"], headers["X-IntentFlow-Release"], ids(body)) == ("bbb", "bbb", ["p0", "p1"])

    play(scene, popular_every_s=60.0)


def test_a_promoted_release_that_gave_no_document_has_none_to_serve(play):
    async def scene(world: World):
        await armed(world)
        world.stable, world.candidate = world.candidate, world.stable
        world.route(candidate=False, rollout="r2")
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 503

    play(scene, **QUICK)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "no JSON, 0 bytes"),
        (popular_document()[:-20], "no JSON"),
        (popular_document().replace(b'"p1"', b'"q1"'), "it is damaged"),
        (popular_document("ccc"), "release: ccc is foreign; allowed: aaa"),
        (popular_document(items=0), "items: "),
        (popular_document() + b" " * (3 << 20), "too large"),
        (popular_document() + b" " * (5 << 20), "too large"),
        (popular_document(auth="keys"), "auth: the door has keys, this router none"),
        (None, "the door answers 404"),
    ],
    ids=["empty", "cut", "damaged", "foreign", "without items", "large", "too large to read", "of keys", "none"],
)
def test_a_bad_document_is_refused_loudly_and_the_good_one_stays(play, caplog, document, said):
    async def scene(world: World):
        await armed(world)
        world.stable.popular = document
        asked = len(world.stable.popular_asked)
        await until(lambda: len(world.stable.popular_asked) > asked + 3)
        assert len([r for r in caplog.records if said in r.message and "that of aaa stays" in r.message]) == 1
        assert await value(world, 'intentflow_router_popular_documents_total{outcome="refused"}') >= 2
        await world.stable.kill()
        assert ids((await world.post("/recommend", ASK))[1]) == ["p0", "p1", "p2"]

    play(scene, **QUICK)


def test_the_committed_routes_take_the_release_that_the_doors_have(play):
    async def scene(world: World):
        world.stable.release = "seed"
        world.route(candidate=False)
        world.stable.popular = popular_document("6e063a109c9c")
        await until(lambda: world.router._popular.document(world.router.file.routes) is not None)
        await world.stable.kill()
        _, body, headers = await world.post("/recommend", ASK)
        assert (body["release"], headers["X-IntentFlow-Release"]) == ("6e063a109c9c", "6e063a109c9c")

    play(scene, **QUICK)


def test_a_router_that_restarts_without_a_door_still_answers(play, tmp_path, caplog):
    async def first(world: World):
        await armed(world)
        await until(lambda: (tmp_path / "popular.json").exists())

    async def second(world: World):
        await world.stable.kill()
        assert ids((await world.post("/recommend", ASK))[1]) == ["p0", "p1", "p2"]

    play(first, scratch=tmp_path)
    play(second, scratch=tmp_path, popular_again_s=60.0)


def spoiled(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text("{"), "no JSON"),
        (lambda path: path.write_text(path.read_text().replace('"p1"', '"q1"')), "it is damaged"),
        (lambda path: path.write_text(path.read_text() + " " * (3 << 20)), "too large"),
        (lambda path: spoiled(path, confirmed_at=time.time() + 600), "is no time in the past"),
        (lambda path: spoiled(path, confirmed_at="now"), "is no time in the past"),
        (lambda path: spoiled(path, document=json.loads(popular_document("ccc"))), "release: ccc is foreign"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        (lambda path: spoiled(path, confirmed_at=time.time() - 901), ""),  # its time is up; that is no fault
    ],
    ids=["cut", "damaged", "large", "of the future", "without a time", "foreign", "a folder", "old"],
)
def test_a_bad_file_is_refused(play, tmp_path, caplog, spoil, said):
    async def first(world: World):
        await armed(world)
        await until(lambda: (tmp_path / "popular.json").exists())
        world.route(candidate=False)

    async def second(world: World):
        assert world.router._popular.document(world.router.file.routes) is None
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 503
        assert (
            any(str(tmp_path / "popular.json") in r.message and said in r.message for r in caplog.records) or not said
        )

    play(first, scratch=tmp_path)
    spoil(tmp_path / "popular.json")
    caplog.clear()
    play(second, scratch=tmp_path, popular_again_s=60.0)


def test_a_folder_that_cannot_be_written_costs_the_file_alone(play, tmp_path, caplog):
    (tmp_path / "file").write_text("")

    async def scene(world: World):
        await armed(world)
        await until(lambda: any("a restarted router lacks it" in r.message for r in caplog.records))
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 200

    play(scene, scratch=tmp_path / "file")
