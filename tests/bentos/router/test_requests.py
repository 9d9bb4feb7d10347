"""What the router reads of a body: the same as a reader of all of it, though it reads only what it needs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.router.counts import Metrics
from bentos.router.requests import arm_for, degraded, items_of, owner_of
from bentos.router.routes import Backend, Routes

A, B = Backend(release="aaa", url="http://127.0.0.1:1/"), Backend(release="bbb", url="http://127.0.0.1:2")
ALL = Routes(rollout="r", mode="canary", share=1.0, stable=A, candidate=B)


def whole(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b'{"user_id": "1", "user_id": "2"}', "2"),  # the last one counts, as at the doors
        (b'{"user\\u005fid": "1"}', "1"),
        (b'{"user_id": "\\ud800"}', "\ud800"),
        (b'\xef\xbb\xbf{"user_id": "1"}', "1"),
        ('{"user_id": "1"}'.encode("utf-16"), "1"),
        (b'{"k": NaN, "user_id": "1"}', "1"),
        (b'{"k": 1e400, "user_id": "1"}', "1"),
        (b'{"user_id": "1"} {"user_id": "2"}', None),
        (b'{"user_id": "1", "k": "\xff"}', None),
        (b'{"user_id": "1", "k": "a\nb"}', None),
        (b'{"user_id": "1", "k": ' + b"[" * 100_000, None),
        (b'[{"user_id": "1"}]', None),
        (b'{"user_id": 1}', None),
        (b'{"user_id": null}', None),
        (b'{"k": {"user_id": "1"}}', None),
        (b'"user_id"', None),
        (b"", None),
    ],
)
def test_a_user_is_the_one_that_the_whole_body_names(body, user):
    assert arm_for("/recommend", body, ALL) == ("stable" if user is None else "candidate")
    named = b'{"events": [%b]}' % json.dumps({"user_id": user}).encode() if user is not None else b"{}"
    assert owner_of("/recommend", body) == owner_of("/events", named)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["items", "item_id", "x"]), inner),
    max_leaves=12,
)


@given(answer=st.fixed_dictionaries({}, optional={"items": json_values, "profile": json_values}) | json_values)
def test_the_items_are_those_of_the_whole_answer(answer):
    body = json.dumps(answer).encode()
    found, listed = whole(body), None
    if isinstance(found, dict) and isinstance(found.get("items"), list):
        listed = [str(item["item_id"]) for item in found["items"] if isinstance(item, dict) and "item_id" in item]
    assert items_of(body) == listed


@pytest.mark.parametrize(
    ("answer", "low"),
    [
        (b'{"degraded":true}', True),
        (b'{"degraded": true}', True),
        (b'{"a":{"degraded":false},"b":{"degraded":true}}', True),
        (b'{"degraded":false}', False),
        (b'{"title":"\\"degraded\\":true"}', False),
        (b'{"degraded":', False),
    ],
)
def test_an_answer_is_degraded_wherever_it_says_so(answer, low):
    assert degraded(answer) is low


def test_metrics_count_attempts_by_arm_and_bucket():
    metrics = Metrics()
    for code, seconds in ((200, 0.001), (200, 0.004), (0, 9.0)):
        metrics.attempt("stable", "aaa", code, endpoint="/rank", seconds=seconds)
    value = metrics.registry.get_sample_value
    asked = {"arm": "stable", "release": "aaa", "endpoint": "/rank"}
    assert value("intentflow_router_requests_total", asked | {"code": "200"}) == 2
    assert value("intentflow_router_requests_total", asked | {"code": "0"}) == 1
    timed, name = {"arm": "stable", "endpoint": "/rank"}, "intentflow_router_door_seconds"
    seen = {le: value(f"{name}_bucket", timed | {"le": le}) for le in ("0.001", "0.003", "0.005", "5.0", "+Inf")}
    assert seen == {"0.001": 1, "0.003": 1, "0.005": 2, "5.0": 2, "+Inf": 3}
    assert value(f"{name}_count", timed) == 3
    assert value(f"{name}_sum", timed) == pytest.approx(9.005)
