"""Gates on per-user rows: intervals from the evaluation's file, paired or not."""

from pathlib import Path

import numpy as np
import pytest

from components import resamples, verdicts
from components.ranking import uncertainty
from components.ranking.metrics import PerRow
from components.registry.gate_inputs import Champion, Measurements, measured
from components.registry.gates import Outcome, evaluate
from components.registry.report import markdown
from components.registry.spec import Gate
from components.resamples import MODEL, Resamples

NDCG = "ranking.ndcg_at_10"
BEAT = Gate(metric=NDCG)
KEEP = Gate(metric=NDCG, against="champion", tolerance=0.02)
WEEKS = 2


def per_row(ndcg: np.ndarray) -> PerRow:
    return PerRow(ndcg, ndcg, ndcg, np.ones(len(ndcg), bool))


def evaluation(
    folder: Path, model: np.ndarray, baseline: np.ndarray, *, users: np.ndarray | None = None, digest: str = "rows"
) -> tuple[dict[str, object], Resamples]:
    """Write what an evaluation of a row's NDCG leaves, and read it as the registry does."""
    user = np.repeat([f"u{n}" for n in range(len(model) // WEEKS)], WEEKS) if users is None else users
    judged = {MODEL: (per_row(model),) * 2, "popular": (per_row(baseline),) * 2}
    groups = {"segment 0": np.arange(len(model)) % 4 < 2, "segment 1": np.arange(len(model)) < 8}
    lines = uncertainty.lines(judged, user, groups=groups, chosen="popular", explore="explore_ndcg_at_10")
    folder.mkdir(parents=True, exist_ok=True)
    resamples.write(folder, lines, rows_digest=digest)
    document = {
        "test": {"ndcg_at_10": float(model.mean()), "rows": len(model)},
        "baselines": {"popular": {"ndcg_at_10": float(baseline.mean())}},
        "cohorts": {
            name: {"rows": int(w.sum()), "ndcg_at_10": model[w].mean(), "popular_ndcg_at_10": baseline[w].mean()}
            for name, w in groups.items()
        },
    }  # fmt: skip
    return document, resamples.read(folder)


def candidate(found: tuple[dict[str, object], Resamples]) -> Measurements:
    return measured({"ranking": found[0]}, resamples={"ranking": found[1]})


def champion(found: tuple[dict[str, object], Resamples] | None, value: float | None = None) -> Champion:
    if found is None:
        return Champion({NDCG: value or 0.0})
    group = candidate(found)
    cohorts = {name: one.values for name, one in group.cohorts.items()}
    return Champion(group.overall.values, cohorts, resamples={"ranking": found[1]})


def noisy(difference: float, *, rows: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    baseline = rng.beta(1.4, 3.6, rows)
    noise = rng.normal(0, 0.05, rows)
    return baseline + difference + noise - noise.mean(), baseline


def judged(folder: Path, difference: float, gate: Gate = BEAT, *, rows: int = 400) -> Outcome:
    found = candidate(evaluation(folder, *noisy(difference, rows=rows)))
    (outcome,) = evaluate([gate], found, champion=None).outcomes
    return outcome


def test_a_verdict_shows_both_values_the_interval_rows_users_and_the_line_to_edit(tmp_path: Path) -> None:
    outcome = judged(tmp_path, 0.001)
    low, high = outcome.interval or (0, 0)
    assert low < 0.001 < high
    assert (outcome.verdict, outcome.rows, outcome.users, outcome.level) == ("undecided", 400, 200, 0.95)
    assert outcome.reason == (
        f"ranking.ndcg_at_10 {outcome.value:.6g} is not clearly at least nor below the baseline's "
        f"{outcome.compared:.6g} (difference +0.001, interval {low:+.3g} to {high:+.3g}, 400 rows of 200 users); more "
        "test weeks or users would tell, or another tolerance in promotion.gates[0]"
    )
    passed, refused = judged(tmp_path, 0.02), judged(tmp_path, -0.02)
    assert (passed.verdict, refused.verdict) == ("passed", "refused")
    assert passed.reason.endswith("400 rows of 200 users)")
    assert refused.reason.endswith("400 rows of 200 users); promotion.gates[0]")


def test_a_limit_is_compared_with_the_interval_of_the_value_itself(tmp_path: Path) -> None:
    value = judged(tmp_path, 0.02).value or 0.0
    for limit, word in ((value - 0.1, "passed"), (value, "undecided"), (value + 0.1, "refused")):
        outcome = judged(tmp_path, 0.02, Gate(metric=NDCG, limit=limit))
        assert outcome.verdict == word
        low, high = outcome.interval or (0, 0)
        assert low < value < high
        assert f"(interval {low:.6g} to {high:.6g}, 400 rows of 200 users)" in outcome.reason
    outcome = judged(tmp_path, 0.02, Gate(metric=NDCG, limit=value))
    assert outcome.reason.endswith("or another limit in promotion.gates[0]")


def test_three_rows_of_one_user_decide_nothing(tmp_path: Path) -> None:
    model, baseline = noisy(0.5, rows=3)
    found = evaluation(tmp_path, model, baseline, users=np.array(["a", "a", "a"]))
    (outcome,) = evaluate([BEAT], candidate(found), champion=None).outcomes
    assert (outcome.verdict, outcome.interval, outcome.rows, outcome.users) == ("undecided", None, 3, 1)
    assert outcome.reason.endswith(
        "was not judged: 3 rows are behind it, fewer than 40; promotion.gates[0]: min_rows, min_users"
    )
    few = judged(tmp_path, 0.5, Gate(metric=NDCG, min_users=201))
    assert "200 users are behind it, fewer than 201" in few.reason


def test_groups_are_judged_by_their_own_interval_and_small_ones_skipped(tmp_path: Path) -> None:
    found = candidate(evaluation(tmp_path, *noisy(0.02)))
    big, small = evaluate([Gate(metric=NDCG, cohort="segment")], found, champion=None).outcomes
    assert (big.cohort, big.verdict, big.rows, big.users) == ("segment 0", "passed", 200, 100)
    low, high = big.interval or (0, 0)
    assert low < (big.value or 0) - (big.compared or 0) < high
    assert (small.rows, small.users, small.skipped) == (8, 4, True)
    text = markdown(evaluate([Gate(metric=NDCG, cohort="segment")], found, champion=None), title="Release 1")
    assert f"| {low:+.3g} to {high:+.3g} | passed |" in text
    assert "Intervals come from resampling users" in text


def test_a_champion_on_the_same_users_is_paired_and_on_others_is_not(tmp_path: Path) -> None:
    model, before = noisy(0.0)
    new = evaluation(tmp_path / "new", model, before)
    same = evaluation(tmp_path / "same", before, before)
    others = evaluation(tmp_path / "others", before, before, users=np.repeat([f"x{n}" for n in range(200)], WEEKS))
    widths = []
    for old in (same, others):
        (outcome,) = evaluate([KEEP], candidate(new), champion=champion(old)).outcomes
        low, high = outcome.interval or (0, 0)
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]
    assert widths[0] == pytest.approx(2 * 1.653 * 0.05 / np.sqrt(400), rel=0.15)  # t of 199 degrees


def test_the_words_say_how_the_champion_was_compared(tmp_path: Path) -> None:
    model, before = noisy(0.02)
    new = candidate(evaluation(tmp_path / "new", model, before))
    for digest, words in (
        ("rows", "400 rows of 200 users, paired by user on the same rows)"),
        ("last month", "400 rows of 200 users, paired by user on each release's own test rows)"),
    ):
        old = champion(evaluation(tmp_path / digest, before, before, digest=digest))
        (outcome,) = evaluate([KEEP], new, champion=old).outcomes
        assert outcome.verdict == "passed"
        assert words in outcome.reason
    (group, _) = evaluate([KEEP.model_copy(update={"cohort": "segment"})], new, champion=old).outcomes
    assert "users, unpaired)" in group.reason
    low, high = group.interval or (0, 0)
    assert high - low > 2 * (outcome.interval or (0, 0))[1] - 2 * (outcome.interval or (0, 0))[0]


def test_releases_without_resamples_are_compared_as_points_and_it_is_said(tmp_path: Path) -> None:
    model, before = noisy(0.02)
    new = candidate(evaluation(tmp_path, model, before))
    (outcome,) = evaluate([KEEP], new, champion=champion(None, float(before.mean()))).outcomes
    assert (outcome.verdict, outcome.interval) == ("passed", None)
    assert "(no interval: the champion was written before evaluations kept resamples, 400 rows of 200 users)" in (
        outcome.reason
    )
    bare = measured({"ranking": evaluation(tmp_path, model, before)[0]})
    (outcome,) = evaluate([BEAT], bare, champion=None).outcomes
    assert "(no interval: written before evaluations kept resamples, 400 rows)" in outcome.reason


def test_a_metric_that_is_not_resampled_is_a_point_and_it_is_said(tmp_path: Path) -> None:
    document, drawn = evaluation(tmp_path, *noisy(0.02))
    intent = {"test": {"micro_auroc": 0.8, "bce": 0.2, "rows": 400}, "baselines": {"rate": {"micro_auroc": 0.7}}}
    line = drawn.lines["", MODEL, "within", "ndcg_at_10"]
    known = Resamples({("", MODEL, "within", "bce"): line})
    found = measured({"ranking": document, "intent": intent}, resamples={"ranking": drawn, "intent": known})
    (outcome,) = evaluate([Gate(metric="intent.micro_auroc")], found, champion=None).outcomes
    assert (outcome.verdict, outcome.interval) == ("passed", None)
    assert outcome.reason.endswith("the baseline's 0.7 (no interval: it is not resampled, 400 rows)")


def test_a_tolerance_that_is_used_is_counted_under_an_interval_too(tmp_path: Path) -> None:
    model, before = noisy(-0.001)
    gate = KEEP.model_copy(update={"tolerance": 0.1, "repeats": 1})
    new = candidate(evaluation(tmp_path / "new", model, before))
    old = champion(evaluation(tmp_path / "old", before, before))
    (outcome,) = evaluate([gate], new, champion=old).outcomes
    assert (outcome.verdict, outcome.used.times if outcome.used else 0) == ("passed", 1)
    assert outcome.verdict == verdicts.PASSED
