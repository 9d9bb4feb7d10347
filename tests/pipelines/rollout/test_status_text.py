"""What `intentflow status` says of a rollout: who serves whom, how far it is, why."""

import json

from pipelines.rollout import status_text

STABLE = {"release": "aaaaaaaaaaaa", "url": "http://127.0.0.1:1001"}
CANDIDATE = {"release": "bbbbbbbbbbbb", "url": "http://127.0.0.1:1002"}


def test_a_canary_is_told_with_both_releases_their_shares_and_the_last_reasons():
    found = {
        **{"rollout": "r7", "phase": "canary", "candidate": {"version": "2", "release": "bbbbbbbbbbbb"}},
        "routes": {"mode": "canary", "share": 0.25, "mirror": 1.0, "stable": STABLE, "candidate": CANDIDATE},
        "running": {"aaaaaaaaaaaa": STABLE["url"]},
    }
    assert list(
        status_text.lines(found, {"2": {"rollout_log": "10:00 shadow passed\n10:01 canary 25%: no harm seen"}})
    ) == [
        "  stable      release aaaaaaaaaaaa  http://127.0.0.1:1001  75% of users",
        "  candidate   release bbbbbbbbbbbb  http://127.0.0.1:1002  25% of users  NOT RUNNING",
        "  rollout     r7: canary, version 2 (release bbbbbbbbbbbb)",
        "    10:00 shadow passed",
        "    10:01 canary 25%: no harm seen",
    ]


def test_what_somebody_changed_and_why_a_release_is_held_are_lines():
    found = {
        **{"rollout": "r1", "phase": "build", "candidate": {"version": "1", "release": "aaaaaaaaaaaa"}},
        **{"held": 2, "why": "no node has room", "notice": "the routes lead elsewhere (written by kubectl-edit)"},
    }
    assert list(status_text.lines(found, {})) == [
        "  noticed     the routes lead elsewhere (written by kubectl-edit)",
        "  rollout     r1: build, version 1 (release aaaaaaaaaaaa), waits: no node has room",
    ]


def test_a_rollout_that_is_over_is_told_with_its_reason():
    found = {"candidate": None, "last": {"version": "2", "result": "rolled_back", "why": "errors: 9 of 80"}}
    assert list(status_text.lines(found, {})) == ["  rollout     version 2 rolled back: errors: 9 of 80"]


def test_a_cluster_that_does_not_answer_is_one_line():
    assert list(status_text.lines({"problem": "no route to host"}, {})) == ["  serving     unknown: no route to host"]


def test_gates_that_refused_come_first_with_their_reasons():
    gates = [
        {"metric": "intent.map", "passed": True, "reason": "0.30 >= 0.25"},
        {
            "metric": "ranking.ndcg_at_10",
            "cohort": "new",
            "passed": False,
            "reason": "ranking.ndcg_at_10 of new: 0.1 < 0.2",
        },
        {"metric": "memory", "passed": True, "skipped": True, "reason": "not measured"},
        {"metric": "intent.bce", "passed": False, "verdict": "undecided", "reason": "intent.bce may be either"},
        {"metric": "intent.ece", "passed": False, "verdict": "refused", "reason": "intent.ece is above"},
    ]
    assert list(status_text.gates({"verdict": json.dumps({"gates": gates})})) == [
        "    refused: ranking.ndcg_at_10 of new: 0.1 < 0.2",  # of a release that is older than `undecided`
        "    refused: intent.ece is above",
        "    undecided: intent.bce may be either",
        "    passed: intent.map",
        "    not judged: memory: not measured",
    ]
    assert list(status_text.gates({})) == []
