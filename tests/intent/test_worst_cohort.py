"""The worst cohort: which one it is, its interval, and a gate that refuses a model for it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.intent import evaluate as judging
from components.intent import uncertainty
from components.registry.gate_inputs import measured
from components.registry.gates import evaluate
from components.registry.report import markdown
from components.registry.spec import Gate
from components.resamples import Line, Resamples
from components.verdicts import Least
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows
from tests.intent.conftest import checkerboard, known_row, user_rows

ENOUGH = Least(rows=100, users=20)
OTHER = "decayed_rate"


def lines(cohort: str, mine: list[float], theirs: list[float], *, rows: int = 200, users: int = 50) -> list[Line]:
    return [
        Line("map", np.array(values), rows, users, side=side, cohort=cohort)
        for side, values in (("model", mine), (OTHER, theirs))
    ]


def test_the_worst_cohort_is_the_one_of_the_smallest_lead_and_its_resamples_are_of_any() -> None:
    drawn = lines("segment 0", [0.5, 0.5], [0.3, 0.3]) + lines("segment 1", [0.4, 0.6], [0.4, 0.35])
    found = uncertainty.worst(drawn, {"segment 0": 0.2, "segment 1": 0.1}, other=OTHER, least=ENOUGH)
    assert found is not None
    assert (found.cohort, found.line.metric, found.line.rows, found.line.users) == (
        "segment 1", "cohorts.worst", 200, 50
    )  # fmt: skip
    assert found.line.resampled.tolist() == pytest.approx([0.0, 0.2])  # the second draw's smallest is segment 0's


@pytest.mark.parametrize(
    ("small", "lead"), [({"rows": 99}, -0.5), ({"users": 19}, -0.5), ({}, None)], ids=["rows", "users", "unmeasured"]
)
def test_a_cohort_of_too_few_counts_for_nothing(small: dict[str, int], lead: float | None) -> None:
    drawn = lines("segment 0", [0.5], [0.3]) + lines("tiny", [0.1], [0.6], **small)
    found = uncertainty.worst(drawn, {"segment 0": 0.2, "tiny": lead}, other=OTHER, least=ENOUGH)
    assert found is not None
    assert found.cohort == "segment 0"
    assert uncertainty.worst(drawn, {"tiny": lead}, other=OTHER, least=ENOUGH) is None


def judged(lead: float, spread: float, *, limit: float = 0.0) -> Any:
    """Return the outcome of a gate on a worst cohort with resamples around its lead."""
    document = {"test": {"cohorts.worst": lead, "rows": 400}, "worst_cohort": "activity low"}
    line = Line("cohorts.worst", lead + spread * np.tile([-1.0, 1.0], 20), 200, 50)
    kept = Resamples({(line.cohort, line.side, line.draws, line.metric): line})
    gate = Gate(metric="intent.cohorts.worst", limit=limit)
    verdict = evaluate([gate], measured({"intent": document}, resamples={"intent": kept}), champion=None)
    assert "intent.cohorts.worst" in markdown(verdict, title="Gates")
    return verdict.outcomes[0]


@pytest.mark.parametrize(
    ("lead", "spread", "word"),
    [(0.05, 0.01, "passed"), (-0.05, 0.01, "refused"), (-0.005, 0.01, "undecided"), (0.005, 0.01, "undecided")],
)
def test_a_gate_holds_it_to_a_limit_by_its_interval_and_names_the_cohort(lead: float, spread: float, word: str) -> None:
    outcome = judged(lead, spread)
    assert outcome.verdict == word
    assert outcome.reason.startswith(f"intent.cohorts.worst of activity low {lead:.6g} is ")
    assert (outcome.rows, outcome.users) == (200, 50)


def test_a_slack_is_a_lower_limit() -> None:
    assert judged(-0.05, 0.01, limit=-0.1).verdict == "passed"


def test_where_no_cohort_is_large_enough_nothing_passes() -> None:
    gate = Gate(metric="intent.cohorts.worst", limit=0.0)
    verdict = evaluate([gate], measured({"intent": {"test": {"cohorts.worst": None}}}), champion=None)
    assert verdict.word == "undecided"


@pytest.mark.parametrize("given", [{}, {"against": "baseline"}, {"against": "champion"}])
def test_it_goes_with_a_limit_alone(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is a lead over the decayed rate already; give a `limit`, such as 0"):
        Gate(metric="intent.cohorts.worst", **given)  # type: ignore[arg-type]


def declaring(codes: list[list[int]]) -> UserRows:
    """Return three weeks of rows of the checkerboard's users, each of whom declared something."""
    rows = user_rows([known_row(user, h, week) for week in (9, 10, 11) for user, h in checkerboard().items()])
    flat = np.array(codes * 3, dtype=np.int32)
    offsets = np.arange(len(flat) + 1) * flat.shape[1]
    return replace(rows, lists={**rows.lists, columns.ATTRIBUTES: Ragged(flat.ravel(), offsets)})


def test_declared_attributes_are_cohorts_where_enough_users_share_a_value() -> None:
    ages = [[1], *([2] * 1 for _ in range(37)), [0], [0]]  # one young, 37 old, two who said nothing
    found = judging.declared(declaring(ages), {"age": ("19-24", "65+")})
    assert {name: int(mask.sum()) for name, mask in found.items()} == {"attribute age: 65+": 3 * 37}


def test_the_largest_declared_groups_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "ENOUGH", Least(rows=3, users=1))
    monkeypatch.setattr(judging, "MOST_DECLARED", 2)
    ages = [[1]] * 10 + [[2]] * 20 + [[0]] * 10
    found = judging.declared(declaring(ages), {"age": ("19-24", "65+")})
    assert list(found) == ["attribute age: 65+", "attribute age: unknown"]


def test_rows_without_codes_have_no_such_cohorts() -> None:
    rows = user_rows([known_row(user, h, 9) for user, h in checkerboard().items()])
    assert judging.declared(rows, {}) == {}


@pytest.mark.world
def test_an_evaluation_says_its_worst_cohort(training: Any, examples: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "ENOUGH", Least(rows=20, users=10))
    found = judging.evaluate(training("cnn").scorer, examples)
    leads = {name: v["map"] - v["decayed_rate_map"] for name, v in found.cohorts.items() if v["rows"] >= 20}  # type: ignore[operator]
    assert found.test["cohorts.worst"] == pytest.approx(min(leads.values()), abs=1e-6)
    assert leads[found.worst_cohort] == pytest.approx(min(leads.values()), abs=1e-6)
    line = next(line for line in found.resamples if line.metric == "cohorts.worst")
    assert line.rows == found.cohorts[found.worst_cohort]["rows"]
    assert "cohorts.worst" not in found.intervals
