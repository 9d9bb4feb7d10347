"""Who is in which arm: sticky, evenly spread, and never moved back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bentos.router.requests import arm_for
from bentos.router.routes import Backend, Routes, arm_of, place_of

A, B = Backend(release="aaa", url="http://127.0.0.1:1/"), Backend(release="bbb", url="http://127.0.0.1:2")


def canary(share: float, rollout: str = "r1") -> Routes:
    return Routes(rollout=rollout, mode="canary", share=share, stable=A, candidate=B)


@given(user=st.text(), rollout=st.text(max_size=20), small=st.floats(0, 1), more=st.floats(0, 1))
def test_a_share_that_grows_moves_nobody_back(user, rollout, small, more):
    small, more = sorted((small, more))
    before, after = arm_of(user, canary(small, rollout)), arm_of(user, canary(more, rollout))
    assert before == "stable" or after == "candidate"
    assert arm_of(user, canary(0.0, rollout)) == "stable"
    assert arm_of(user, canary(1.0, rollout)) == "candidate"


@settings(max_examples=20, deadline=None)
@given(rollout=st.uuids().map(str), share=st.sampled_from([0.05, 0.25, 0.5, 0.9]))
def test_the_candidate_s_arm_holds_its_share_of_users(rollout, share):
    users = 4000
    inside = sum(place_of(str(user), rollout) < share for user in range(users))
    assert abs(inside / users - share) < 6 * (share * (1 - share) / users) ** 0.5  # six standard errors


def test_another_rollout_draws_another_canary():
    first, second = ({u for u in range(1000) if place_of(str(u), r) < 0.5} for r in ("r1", "r2"))
    assert 180 < len(first & second) < 320  # a quarter, as if drawn apart


@pytest.mark.parametrize(("mode", "arm"), [("stable", "stable"), ("shadow", "stable"), ("canary", "candidate")])
def test_a_share_counts_in_a_canary_only(mode, arm):
    routes = Routes(rollout="r1", mode=mode, share=1.0, stable=A, candidate=B)
    assert arm_of("1", routes) == arm


def test_events_are_the_candidate_s_where_all_of_their_users_are():
    routes = canary(0.5)
    inside = [str(u) for u in range(50) if arm_of(str(u), routes) == "candidate"]
    outside = next(str(u) for u in range(50) if arm_of(str(u), routes) == "stable")

    def arm(*users):
        events = ",".join(f'{{"user_id": "{user}"}}' for user in users)
        return arm_for("/events", f'{{"events": [{events}]}}'.encode(), routes)

    assert arm(*inside[:3]) == "candidate"
    assert arm(*inside[:3], outside) == "stable"
    assert arm() == "stable"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"user_id": 7}', b"[" * 100_000, b"\xff", b'{"events": [3]}'])
def test_what_cannot_be_read_is_stable_s_to_refuse(body):
    assert [arm_for(path, body, canary(1.0)) for path in ("/recommend", "/events")] == ["stable", "stable"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "canary"}, "needs a candidate"),
        ({"share": 1.5}, "less than or equal to 1"),
        ({"stable": {"release": "a", "url": "127.0.0.1:1"}}, "pattern"),
        ({"stable": {"release": "a", "url": "http://h/path"}}, "pattern"),
    ],
)
def test_routes_that_make_no_sense_are_refused(change, said):
    with pytest.raises(ValidationError, match=said):
        Routes.model_validate({"stable": A.model_dump()} | change)


def test_a_field_of_a_newer_loop_does_not_stop_an_old_router() -> None:
    stable = {"release": "a", "url": "http://a", "weight": 3}
    found = Routes.model_validate({"stable": stable, "token": 7})
    assert found == Routes.model_validate({"stable": {"release": "a", "url": "http://a"}})
