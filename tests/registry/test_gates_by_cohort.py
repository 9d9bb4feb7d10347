"""Gates by cohort: each group holds for itself, those that are too small are named, and none at all is no pass."""

import pytest

from components.registry.gate_inputs import Champion, Group, Measurements, ResourceUse, cohorts, measured
from components.registry.gates import Outcome, evaluate
from components.registry.report import markdown
from components.registry.spec import Gate
from tests.registry.gate_examples import BETTER, FIRST, NDCG, overall


def document(**rows: tuple[int, float, float]) -> dict[str, object]:
    """metrics.json of a ranker by segment: rows, ndcg, and the baseline's ndcg."""
    cohorts = {
        name.replace("_", " "): {"rows": n, "ndcg_at_10": mine, "popular_ndcg_at_10": theirs}
        for name, (n, mine, theirs) in rows.items()
    }
    return {"test": {"ndcg_at_10": 0.3}, "baselines": {"popular": {"ndcg_at_10": 0.2}}, "cohorts": cohorts}


def test_a_gate_by_cohort_holds_for_each_and_names_the_one_that_fails_and_the_one_too_small() -> None:
    found = measured({"ranking": document(segment_0=(500, 0.3, 0.2), segment_1=(200, 0.1, 0.2), segment_2=(7, 0, 1))})
    verdict = evaluate([Gate(metric=NDCG, cohort="segment")], found, champion=None)
    assert [(o.cohort, o.verdict, o.skipped) for o in verdict.outcomes] == [
        ("segment 0", "passed", False), ("segment 1", "refused", False), ("segment 2", "undecided", True),
    ]  # fmt: skip
    assert verdict.refusals == (
        "ranking.ndcg_at_10 of segment 1 0.1 is below the baseline's 0.2 (no interval: written before evaluations kept "
        "resamples, 200 rows); promotion.gates[0]"
    )
    text = markdown(verdict, title="Release 1")
    assert "- ranking.ndcg_at_10: segment 2: 7 rows are behind it, fewer than 100: skipped" in text
    assert "| ranking.ndcg_at_10 | segment 1 | 200 | 0.1 | baseline 0.2 | 0.2 | - | **refused** |" in text


def test_an_outcome_of_a_cohort_names_it_and_its_rows() -> None:
    gate = Gate(metric=NDCG, cohort="segment", min_rows=100)
    found = measured({"ranking": document(segment_1=(99, 0.3, 0.2), segment_2=(100, 0.1, 0.2))})
    small, refused = evaluate([gate], found, champion=None).outcomes
    assert small == Outcome(
        NDCG, 0.3, "baseline", None, None, "undecided",
        "segment 1: 99 rows are behind it, fewer than 100: skipped",
        cohort="segment 1", rows=99, skipped=True, **FIRST,
    )  # fmt: skip
    assert refused == Outcome(
        NDCG, 0.1, "baseline", 0.2, 0.2, "refused", refused.reason, cohort="segment 2", rows=100, **FIRST,
    )  # fmt: skip
    assert (small.name, evaluate([BETTER], overall(), champion=None).outcomes[0].name) == (
        "ranking.ndcg_at_10 of segment 1", "intent.map",
    )  # fmt: skip


@pytest.mark.parametrize(
    "groups", [{"segment_1": (99, 0.3, 0.2), "segment_2": (1, 0.3, 0.2)}, {"tenure_new": (9, 1, 0)}]
)
def test_a_cohort_none_of_whose_groups_is_large_enough_is_not_passed(groups) -> None:
    found, gate = measured({"ranking": document(**groups)}), Gate(metric=NDCG, cohort="segment")
    verdict = evaluate([BETTER, gate], found, champion=None)
    assert (verdict.word, verdict.passed) == ("undecided", False)
    assert verdict.outcomes[-1] == Outcome(
        *(NDCG, None, "baseline", None, None, "undecided"),
        "no segment has 100 rows of 20 users, so ranking.ndcg_at_10 was not judged by it; promotion.gates[1]: lower "
        "min_rows or min_users, or `when_empty: allow`",
        cohort="segment",
        place="promotion.gates[1]",
    )
    allowed = evaluate([gate.model_copy(update={"when_empty": "allow"})], found, champion=None)
    assert (allowed.passed, allowed.outcomes[-1].verdict, allowed.outcomes[-1].skipped) == (True, "undecided", True)
    assert allowed.outcomes[-1].reason.endswith("not judged by it; promotion.gates[0].when_empty allows that")
    assert "promotion.gates[0].when_empty allows that" in markdown(allowed, title="Release 1")


def test_cohorts_without_rows_are_not_cohorts_of_a_metric() -> None:
    found = measured({"ranking": document(segment_1=(0, 0.1, 0.2), segment_12=(1, 0.1, 0.2), segments_3=(9, 0, 0))})
    assert list(found.of_kind("segment", NDCG)) == ["segment 12"]
    assert found.of_kind("segment", "intent.map") == {}


def test_a_tolerance_of_a_cohort_is_counted_for_itself() -> None:
    gate = Gate(metric=NDCG, against="champion", cohort="activity", tolerance=0.1, repeats=1)
    numbers = {"activity heavy": {NDCG: 0.3}, "activity light": {NDCG: 0.3}}
    champion = Champion({}, numbers, used={f"{NDCG} of activity heavy": ResourceUse(1, 0.3)})
    found = measured({"ranking": document(activity_heavy=(500, 0.29, 0), activity_light=(500, 0.29, 0))})
    verdict = evaluate([gate], found, champion=champion)
    assert [(one.cohort, one.passed) for one in verdict.outcomes] == [
        ("activity heavy", False), ("activity light", True),
    ]  # fmt: skip
    assert set(verdict.tolerance()) == {f"{NDCG} of activity heavy", f"{NDCG} of activity light"}


@pytest.mark.parametrize(
    ("gate", "segments", "skipped"),
    [
        (Gate(metric=NDCG, against="champion", cohort="segment"), "bbbb", True),
        (Gate(metric=NDCG, against="champion", cohort="segment"), "aaaa", False),
        (Gate(metric=NDCG, against="champion", cohort="activity"), "bbbb", False),  # these mean the same everywhere
        (Gate(metric=NDCG, cohort="segment"), "bbbb", False),  # its baseline is its own
    ],
)
def test_other_segments_matter_only_where_segments_are_compared(gate, segments, skipped) -> None:
    rows = {"segment_0": (500, 0.1, 0.2), "activity_heavy": (500, 0.1, 0.2)}
    champion = Champion({}, {name.replace("_", " "): {NDCG: 0.3} for name in rows}, segments=segments)
    (outcome,) = evaluate([gate], measured({"ranking": document(**rows)}, segments="aaaa"), champion=champion).outcomes
    assert (outcome.skipped, outcome.passed) == (skipped, skipped)


def test_releases_without_digests_of_segments_are_compared() -> None:
    gate = Gate(metric=NDCG, against="champion", cohort="segment")
    found = Measurements(Group(), {"segment 0": Group({NDCG: 0.1, "ranking.rows": 500})})
    verdict = evaluate([gate], found, champion=Champion({}, {"segment 0": {NDCG: 0.3}}))
    assert (verdict.outcomes[0].skipped, verdict.passed) == (False, False)


def test_a_champion_is_compared_by_segment_only_where_both_mean_the_same_segments() -> None:
    gate = Gate(metric=NDCG, against="champion", cohort="segment")
    candidate = measured({"ranking": document(segment_0=(500, 0.1, 0.2))}, segments="aaaa")
    champion = {"values": {}, "cohorts": {"segment 0": {NDCG: 0.3}}}
    same = evaluate([gate], candidate, champion=Champion(**champion, segments="aaaa"))
    other = evaluate([gate], candidate, champion=Champion(**champion, segments="bbbb"))
    assert not same.passed
    assert other.outcomes[0].skipped
    assert "other groups of users" in other.outcomes[0].reason


def test_a_cohorts_baseline_is_the_best_of_it() -> None:
    ranking = {
        "baselines": {"popular": {}, "recent": {}},
        "cohorts": {
            "segment 1": {
                "rows": 5,
                "ndcg_at_10": 0.4,
                "popular_ndcg_at_10": 0.5,
                "recent_ndcg_at_10": 0.3,
                "note": "text",
            }
        },
    }
    intent = {"baselines": {"popular": {}}, "cohorts": {"segment 1": {"ece": 0.1, "popular_map": 0.2}}}
    assert cohorts({"ranking": ranking, "intent": intent}) == {
        "segment 1": Group({"ranking.rows": 5.0, NDCG: 0.4, "intent.ece": 0.1}, {NDCG: 0.5, "intent.map": 0.2})
    }
    lower = {"baselines": {"popular": {}, "recent": {}}, "cohorts": {"all": {"popular_bce": 0.5, "recent_bce": 0.3}}}
    assert cohorts({"intent": lower})["all"].baseline == {"intent.bce": 0.3}
