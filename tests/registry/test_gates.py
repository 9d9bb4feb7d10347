"""Gates are arithmetic with words: known numbers in, a known verdict out."""

import math

import pytest
from pydantic import ValidationError

from components.registry.gates import evaluate, measured
from components.registry.spec import Gate

BETTER = Gate(metric="intent.map", against="baseline")
CALIBRATED = Gate(metric="intent.ece", against="value", limit=0.02)
NOT_WORSE = Gate(metric="ranking.ndcg_at_10", against="champion", tolerance=0.02)


@pytest.mark.parametrize(
    ("gate", "value", "baseline", "champion", "passed", "words"),
    [
        (BETTER, 0.26, 0.25, None, True, "intent.map 0.26 is at least the baseline's 0.25"),
        (BETTER, 0.25, 0.25, None, True, "intent.map 0.25 is at least the baseline's 0.25"),
        (BETTER, 0.24, 0.25, None, False, "intent.map 0.24 is below the baseline's 0.25"),
        (BETTER, None, 0.25, None, False, "intent.map was not measured"),
        (BETTER, math.nan, 0.25, None, False, "intent.map was not measured"),
        (BETTER, 0.26, None, None, False, "the baseline has no intent.map"),
        (CALIBRATED, 0.02, None, None, True, "intent.ece 0.02 is at most the ceiling 0.02"),
        (CALIBRATED, 0.03, None, None, False, "intent.ece 0.03 is above the ceiling 0.02"),
        (NOT_WORSE, 0.295, None, 0.30, True, "at least the champion's 0.3 less the tolerance of 2% (0.294)"),
        (NOT_WORSE, 0.293, None, 0.30, False, "below the champion's 0.3 less the tolerance of 2% (0.294)"),
        (NOT_WORSE, 0.1, None, None, True, "there is no champion yet"),
    ],
)
def test_a_gate_says_whether_and_why(gate, value, baseline, champion, passed, words) -> None:
    candidate = {} if value is None else {gate.metric: value}
    known = {} if baseline is None else {gate.metric: baseline}
    verdict = evaluate(
        [gate], candidate, baseline=known, champion=None if champion is None else {gate.metric: champion}
    )
    assert verdict.passed is passed
    assert words in verdict.outcomes[0].reason


def test_one_gate_that_refuses_refuses_all_and_is_named() -> None:
    candidate = {"intent.map": 0.3, "intent.ece": 0.5}
    verdict = evaluate([BETTER, CALIBRATED], candidate, baseline={"intent.map": 0.2}, champion=None)
    assert not verdict.passed
    assert verdict.refusals == "intent.ece 0.5 is above the ceiling 0.02"


def test_a_champion_that_never_measured_a_metric_does_not_block_it() -> None:
    verdict = evaluate([NOT_WORSE], {"ranking.ndcg_at_10": 0.1}, baseline={}, champion={"intent.map": 0.2})
    assert verdict.outcomes[0].reason == "the champion has no ranking.ndcg_at_10"
    assert verdict.passed


def test_where_lower_is_better_the_tolerance_goes_up() -> None:
    gate = Gate(metric="intent.bce", against="champion", tolerance=0.1)
    assert evaluate([gate], {"intent.bce": 0.219}, baseline={}, champion={"intent.bce": 0.2}).passed
    assert not evaluate([gate], {"intent.bce": 0.221}, baseline={}, champion={"intent.bce": 0.2}).passed


def test_a_report_shows_every_gate() -> None:
    verdict = evaluate([BETTER, NOT_WORSE], {"intent.map": 0.24}, baseline={"intent.map": 0.25}, champion=None)
    text = verdict.markdown(title="Release 1")
    assert text.startswith("# Release 1: refused\n")
    assert "| intent.map | 0.24 | baseline 0.25 | 0.25 | **refused** |" in text
    assert verdict.document()["gates"][1]["reason"] == "ranking.ndcg_at_10 was not measured"


def test_metrics_files_give_the_gates_their_names() -> None:
    ranking = {
        "test": {"ndcg_at_10": 0.3, "rows": 5, "note": "text"},
        "baselines": {"popular": {"ndcg_at_10": 0.1}, "personal_frequency": {"ndcg_at_10": 0.26}},
    }
    candidate, baseline = measured({"ranking": ranking})
    assert candidate == {"ranking.ndcg_at_10": 0.3, "ranking.rows": 5.0}
    assert baseline == {"ranking.ndcg_at_10": 0.26}


def test_a_limit_goes_with_value_only() -> None:
    with pytest.raises(ValidationError, match="limit goes with"):
        Gate(metric="intent.map", against="baseline", limit=0.1)
