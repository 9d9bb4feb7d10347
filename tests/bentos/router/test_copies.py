"""What the router sends to a second release beside the answer: mirrored reads, and events to both sides."""

import asyncio

import pytest

from tests.bentos.router.conftest import TOKEN, World, event, until


def test_mirrored_reads_come_after_the_answer_and_are_compared(play):
    async def scene(world: World):
        world.route("shadow", mirror=1.0)
        world.candidate.items = ["i1", "i9", "i8"]
        world.candidate.pause_s = 0.2
        answered, body, _ = await asyncio.wait_for(world.post("/recommend", {"user_id": "1"}), 0.15)
        assert (answered, body["release"]) == (200, "aaa")
        await world.post("/rank", {"user_id": "1", "item_ids": ["i1"]})
        await until(lambda: world.router.counts.mirrored == 2)
        assert world.candidate.asked[0][2]["X-IntentFlow-Shadow"] == TOKEN
        shadow = (await world.seen())["shadow"]
        assert (shadow["mirrored"], shadow["errors"], shadow["differing"], shadow["compared"]) == (2, 0, 0, 1)
        assert shadow["overlap_sum"] == pytest.approx(1 / 3)
        assert (shadow["buckets_ms"]["100"], shadow["buckets_ms"]["+Inf"]) == (0, 2)
        assert (await world.seen())["arms"]["candidate"]["requests"] == 0
        world.candidate.pause_s, world.candidate.status = 0.0, 500
        await world.post("/recommend", {"user_id": "1"})
        await until(lambda: world.router.counts.mirrored == 3)
        assert [(await world.seen())["shadow"][name] for name in ("errors", "differing")] == [1, 1]

    play(scene)


def test_a_full_queue_drops_mirrored_reads_and_holds_up_nobody(play):
    async def scene(world: World):
        world.route("shadow", mirror=1.0)
        world.candidate.pause_s = 1.0
        codes = [(await asyncio.wait_for(world.post("/recommend", {"user_id": "1"}), 0.5))[0] for _ in range(10)]
        assert codes == [200] * 10
        assert (await world.seen())["shadow"]["dropped"] == 10 - 3  # one is out, two wait

    play(scene, mirror_queue=2, mirror_at_once=1)


def test_a_share_of_the_reads_is_mirrored(play):
    async def scene(world: World):
        world.route("shadow", mirror=0.0)
        for _ in range(5):
            await world.post("/recommend", {"user_id": "1"})
        await asyncio.sleep(0.05)
        assert world.candidate.asked == []

    play(scene)


def test_events_go_to_both_sides_and_a_copy_waits_for_a_door_that_is_away(play):
    async def scene(world: World):
        world.route("canary", share=1.0)
        await world.post("/events", {"events": [event(event_id="e1")]})
        await until(lambda: world.stable.asked)
        assert "X-IntentFlow-Shadow" not in world.candidate.asked[0][2]
        assert world.stable.asked[0][2]["X-IntentFlow-Shadow"] == TOKEN
        world.route("shadow")  # now stable takes them first
        await world.candidate.kill()
        await world.post("/events", {"events": [event(event_id="e2")]})
        await world.post("/events", {"events": [event(event_id="e3")]})
        await asyncio.sleep(0.15)
        await world.candidate.open()
        await until(lambda: len(world.candidate.asked) == 3)
        assert [body["events"][0]["event_id"] for body in world.candidate.of("/events")] == ["e1", "e2", "e3"]
        await until(lambda: world.router.counts.copies["sent"] == 3)
        assert (await world.seen())["copies"] == {"sent": 3, "failed": 0, "dropped": 0}

    play(scene)


def test_refused_events_are_not_copied_and_a_refused_copy_is_not_repeated(play):
    async def scene(world: World):
        world.route("shadow")
        world.stable.status = 422
        await world.post("/events", {"events": []})
        world.stable.status, world.candidate.status = 200, 422
        await world.post("/events", {"events": [event()]})
        await until(lambda: world.router.counts.copies["failed"] == 1)
        assert len(world.candidate.asked) == 1

    play(scene)


def test_releases_that_share_their_profiles_get_an_event_once(play):
    async def scene(world: World):
        world.route("shadow", shared=True)
        await world.post("/events", {"events": [event("1", "e1")]})
        world.route("shadow")
        await world.post("/events", {"events": [event("1", "e2")]})
        await until(lambda: world.router.counts.copies["sent"] == 1)
        assert [body["events"][0]["event_id"] for body in world.candidate.of("/events")] == ["e2"]
        assert [body["events"][0]["event_id"] for body in world.stable.of("/events")] == ["e1", "e2"]

    play(scene)
