"""Gates are arithmetic with words: known numbers in, a known verdict out."""

import math

import pytest
from pydantic import ValidationError

from components.registry.gate_inputs import Champion, Group, Measurements, ResourceUse, budgets, measured
from components.registry.gates import Outcome, Verdict, evaluate, parity, shown
from components.registry.report import markdown
from components.registry.spec import Gate, Parity, Promotion
from tests.registry.gate_examples import BETTER, CALIBRATED, COUNTED, FIRST, NDCG, NOT_WORSE, OLD, overall


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
    candidate = Group(
        {} if value is None else {gate.metric: value}, {} if baseline is None else {gate.metric: baseline}
    )
    before = None if champion is None else Champion({gate.metric: champion})
    verdict = evaluate([gate], Measurements(candidate), champion=before)
    assert verdict.passed is passed
    assert words in verdict.outcomes[0].reason


FLOOR = Gate(metric=NDCG, limit=0.2)
LIKE_CHAMPION = Gate(metric="intent.bce", against="champion", tolerance=0.1)


@pytest.mark.parametrize(
    ("gate", "values", "champion", "expected"),
    [
        (
            FLOOR,
            {NDCG: 0.1},
            None,
            Outcome(
                *(NDCG, 0.1, "value", 0.2, 0.2, "refused"),
                f"ranking.ndcg_at_10 0.1 is below the floor 0.2{OLD}; promotion.gates[0]",
                **FIRST,
            ),
        ),
        (
            FLOOR,
            {NDCG: 0.2},
            None,
            Outcome(
                *(NDCG, 0.2, "value", 0.2, 0.2, "passed"),
                f"ranking.ndcg_at_10 0.2 is at least the floor 0.2{OLD}",
                **FIRST,
            ),
        ),
        (
            LIKE_CHAMPION,
            {"intent.bce": 0.5},
            {"intent.bce": 0.25},
            Outcome(
                *("intent.bce", 0.5, "champion", 0.25, 0.275, "refused"),
                "intent.bce 0.5 is above the champion's 0.25 plus the tolerance of 10% (0.275)"
                f"{OLD}; promotion.gates[0]",
                **FIRST,
            ),
        ),
        (
            LIKE_CHAMPION,
            {"intent.bce": 0.26},
            {"intent.bce": 0.25},
            Outcome(
                *("intent.bce", 0.26, "champion", 0.25, 0.275, "passed"),
                f"intent.bce 0.26 is at most the champion's 0.25 plus the tolerance of 10% (0.275){OLD}",
                **FIRST,
            ),
        ),
        (
            LIKE_CHAMPION,
            {"intent.bce": 0.26},
            {"intent.bce": math.inf},
            Outcome(
                *("intent.bce", 0.26, "champion", None, None, "undecided", "the champion has no intent.bce"),
                skipped=True,
                **FIRST,
            ),
        ),
        (
            LIKE_CHAMPION,
            {"intent.bce": 0.26},
            None,
            Outcome(
                *("intent.bce", 0.26, "champion", None, None, "undecided", "there is no champion yet"),
                skipped=True,
                **FIRST,
            ),
        ),
        (
            LIKE_CHAMPION,
            {},
            {"intent.bce": 0.25},
            Outcome(
                *("intent.bce", None, "champion", None, None, "undecided"),
                "intent.bce was not measured; promotion.gates[0]",
                **FIRST,
            ),
        ),
        (
            BETTER,
            {"intent.map": 0.25},
            None,
            Outcome(
                *("intent.map", 0.25, "baseline", None, None, "undecided"),
                "the baseline has no intent.map; promotion.gates[0]",
                **FIRST,
            ),
        ),
    ],
)
def test_an_outcome_holds_what_was_compared(gate, values, champion, expected) -> None:
    before = None if champion is None else Champion(champion)
    assert evaluate([gate], Measurements(Group(values)), champion=before).outcomes == (expected,)


def test_a_tolerance_is_a_share_of_the_size_also_below_zero() -> None:
    gate = Gate(metric="variant.ndcg_loss", limit=-0.2, tolerance=0.1)
    assert evaluate([gate], Measurements(Group({gate.metric: -0.181})), champion=None).passed
    assert not evaluate([gate], Measurements(Group({gate.metric: -0.179})), champion=None).passed


def test_one_gate_that_refuses_refuses_all_and_is_named() -> None:
    verdict = evaluate(
        [BETTER, CALIBRATED], overall({"intent.map": 0.2}, intent__map=0.3, intent__ece=0.5), champion=None
    )
    assert not verdict.passed
    assert verdict.refusals == f"intent.ece 0.5 is above the ceiling 0.02{OLD}; promotion.gates[1]"


def test_a_champion_that_never_measured_a_metric_does_not_block_it() -> None:
    verdict = evaluate([NOT_WORSE], overall(ranking__ndcg_at_10=0.1), champion=Champion({"intent.map": 0.2}))
    assert verdict.outcomes[0].reason == "the champion has no ranking.ndcg_at_10"
    assert verdict.passed


def test_where_lower_is_better_the_tolerance_goes_up() -> None:
    gate, champion = Gate(metric="intent.bce", against="champion", tolerance=0.1), Champion({"intent.bce": 0.2})
    assert evaluate([gate], overall(intent__bce=0.219), champion=champion).passed
    assert not evaluate([gate], overall(intent__bce=0.221), champion=champion).passed


def steps_down(*values: float, gate: Gate = COUNTED) -> list[tuple[bool, int]]:
    """Let releases follow each other, each champion if it passes: whether it did, and the tolerance's uses then."""
    champion, found = None, []
    for value in values:
        verdict = evaluate([gate], Measurements(Group({gate.metric: value})), champion=champion)
        used = {name: ResourceUse(**one) for name, one in verdict.tolerance().items()}
        found.append((verdict.passed, used[gate.metric].times if used else 0))
        if verdict.passed:
            champion = Champion({gate.metric: value}, used=used)
    return found


def test_many_small_steps_down_do_not_add_up() -> None:
    assert steps_down(0.300, 0.296, 0.292, 0.288) == [(True, 0), (True, 1), (True, 2), (False, 2)]


def test_the_same_release_again_neither_uses_the_tolerance_nor_forgets_its_uses() -> None:
    assert steps_down(0.300, 0.296, 0.296, 0.292, 0.292, 0.288)[1:] == [
        (True, 1), (True, 1), (True, 2), (True, 2), (False, 2),
    ]  # fmt: skip


def test_who_is_as_good_as_before_the_first_step_starts_the_count_anew() -> None:
    assert steps_down(0.300, 0.296, 0.292, 0.300, 0.296) == [(True, 0), (True, 1), (True, 2), (True, 0), (True, 1)]


def test_a_tolerance_that_is_used_up_says_since_when() -> None:
    champion = Champion({NDCG: 0.292}, used={NDCG: ResourceUse(2, 0.3)})
    (outcome,) = evaluate([COUNTED], overall(ranking__ndcg_at_10=0.29), champion=champion).outcomes
    assert outcome.reason == (
        "ranking.ndcg_at_10 0.29 is worse than the champion's 0.292, and the tolerance was used 2 of 2 times since "
        "0.3; promotion.gates[0]"
    )


def test_what_the_next_release_finds_of_a_tolerance() -> None:
    def judged(value: float, used: ResourceUse | None = None) -> tuple[Outcome, dict[str, object]]:
        champion = Champion({NDCG: 0.295}, used={} if used is None else {NDCG: used})
        verdict = evaluate([COUNTED], overall(ranking__ndcg_at_10=value), champion=champion)
        return verdict.outcomes[0], verdict.tolerance()

    first, found = judged(0.294)
    assert (first.used, found) == (ResourceUse(1, 0.295), {NDCG: {"times": 1, "since": 0.295}})
    assert first.reason.endswith(f"less the tolerance of 2% (0.2891){OLD}; use 1 of 2")
    assert judged(0.294, ResourceUse(1, 0.3))[1] == {NDCG: {"times": 2, "since": 0.3}}
    refused = Outcome(
        *(NDCG, 0.2, "champion", 0.295, 0.295 * 0.98, "refused"),
        reason=f"ranking.ndcg_at_10 0.2 is below the champion's 0.295 less the tolerance of 2% (0.2891){OLD}; "
        "promotion.gates[0]",
        used=ResourceUse(1, 0.3),
        **FIRST,
    )
    assert judged(0.2, ResourceUse(1, 0.3)) == (refused, {NDCG: {"times": 1, "since": 0.3}})
    used_up, kept = judged(0.294, ResourceUse(2, 0.3))
    assert (used_up.passed, used_up.limit, used_up.used, kept) == (
        False, 0.295, ResourceUse(2, 0.3), {NDCG: {"times": 2, "since": 0.3}},
    )  # fmt: skip
    assert judged(0.295, ResourceUse(1, 0.3))[0].used == ResourceUse(1, 0.3)  # as good as the champion: no use
    assert judged(0.3, ResourceUse(1, 0.3))[0].used == ResourceUse()
    assert judged(0.295)[0].used == ResourceUse()
    assert judged(0.3)[1] == {}


def test_a_champions_other_metrics_have_their_own_uses() -> None:
    champion = Champion({NDCG: 0.3}, used={"intent.map": ResourceUse(2, 0.5)})
    assert evaluate([COUNTED], overall(ranking__ndcg_at_10=0.296), champion=champion).passed


def test_memory_adds_up_and_the_rest_is_of_one_part() -> None:
    served = {
        "intent": {"memory": {"rss_mib": 3}, "latency": {"predict_ms_p95": 4.0}, "other": {"x": 1}},
        "ranking": {"memory": {"rss_mib": 4}, "latency": {"predict_ms_p95": 5.0}, "variant": {"ndcg_loss": 0.1}},
    }
    found = {"memory.rss_mib": 7.0, "latency.predict_ms_p95": 5.0, "variant.ndcg_loss": 0.1}
    assert budgets(served) == found
    assert measured({"intent": {}}, served, segments="aaaa") == Measurements(Group(found), {}, "aaaa")


def test_budgets_are_gates_over_both_parts() -> None:
    served = {
        "intent": {"latency": {"predict_ms_p95": 4.0}, "memory": {"model_mib": 3.0}},
        "ranking": {"memory": {"model_mib": 2.5}},
    }
    gates = [Gate(metric="latency.predict_ms_p95", limit=5.0), Gate(metric="memory.model_mib", limit=5.0)]
    verdict = evaluate(gates, measured({}, served), champion=None)
    assert verdict.refusals == "memory.model_mib 5.5 is above the ceiling 5; promotion.gates[1]"
    assert "## What serving costs" in markdown(verdict, title="Release 1")


@pytest.mark.parametrize(
    ("found", "rules", "passed", "words"),
    [
        ({"checked": 200, "mismatches": 0}, Parity(), True, "200 logged answers were replayed and none differs"),
        ({"checked": 0, "mismatches": 0}, Parity(), True, "no answer is logged yet"),
        ({"checked": 5, "mismatches": 0}, Parity(min_checked=50), False, "fewer than promotion.parity.min_checked, 50"),
        (
            {"checked": 9, "mismatches": 1, "first": {"field": "sessions_28d", "online": 3, "offline": 4}},
            Parity(),
            False,
            "1 of 9 logged answers differ when they are replayed: first sessions_28d, online 3, offline 4",
        ),
    ],
)
def test_parity_names_the_first_feature_that_differs(found, rules, passed, words) -> None:
    outcome = parity(found, rules)
    assert outcome.passed is passed
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            {"checked": 0, "mismatches": 0},
            Outcome(
                *(
                    "parity",
                    0.0,
                    "replay",
                    None,
                    0.0,
                    "undecided",
                    "not checked: no answer is logged yet, so none was replayed",
                ),
                rows=0,
                skipped=True,
            ),
        ),
        (
            {"checked": 50, "mismatches": 0},
            Outcome(
                *("parity", 0.0, "replay", None, 0.0, "passed", "50 logged answers were replayed and none differs"),
                rows=50,
            ),
        ),
        (
            {"checked": 9, "mismatches": 2},
            Outcome(
                *("parity", 2.0, "replay", None, 0.0, "refused"),
                "2 of 9 logged answers differ when they are replayed: first an unnamed field, online ?, offline ?",
                rows=9,
            ),
        ),
    ],
)
def test_parity_is_an_outcome_like_a_gates(found, expected) -> None:
    assert parity(found, Parity()) == expected


def test_parity_may_need_a_number_of_answers() -> None:
    assert parity({"checked": 50, "mismatches": 0}, Parity(min_checked=50)).passed
    few = parity({"checked": 49, "mismatches": 0}, Parity(min_checked=50))
    assert few.reason == "49 logged answers were replayed, fewer than promotion.parity.min_checked, 50"
    assert (few.passed, few.skipped, few.verdict) == (False, False, "undecided")
    none = parity({"checked": 0, "mismatches": 0}, Parity(min_checked=1))
    assert (none.passed, none.verdict) == (False, "undecided")


def test_numbers_are_shown_with_six_digits() -> None:
    assert (shown(None), shown(0.12345678), shown(2.0)) == ("-", "0.123457", "2")


def test_refusals_are_joined() -> None:
    verdict = evaluate([BETTER, FLOOR], overall(), champion=None)
    assert verdict.refusals == (
        "intent.map was not measured; promotion.gates[0]; ranking.ndcg_at_10 was not measured; promotion.gates[1]"
    )
    document = verdict.document()
    assert (document["passed"], document["verdict"]) == (False, "undecided")
    assert [(gate["passed"], gate["verdict"]) for gate in document["gates"]] == [(False, "undecided")] * 2


def test_a_report_tells_the_verdict_first_and_shows_every_gate() -> None:
    verdict = evaluate([BETTER, NOT_WORSE], overall({"intent.map": 0.25}, intent__map=0.24), champion=None)
    text = markdown(verdict, title="Release 1")
    assert text.startswith("# Release 1: refused\n\n1 of 2 gates refused:\n\n- intent.map 0.24 is below")
    assert "\n\n1 of 2 gates could not tell:\n\n- ranking.ndcg_at_10 was not measured" in text
    assert "Intervals come" not in text
    assert "| intent.map | 0.24 | baseline 0.25 | 0.25 | **refused** |" in text
    assert verdict.document()["gates"][1]["reason"] == "ranking.ndcg_at_10 was not measured; promotion.gates[1]"


def test_a_report_that_is_too_long_ends_with_a_whole_line_and_says_so() -> None:
    one = evaluate([BETTER], overall({"intent.map": 0.25}, intent__map=0.24), champion=None)
    text = markdown(Verdict(one.outcomes * 100), title="Release 1", most=5000)
    assert len(text) <= 5000
    assert text.endswith("\n\nMore is in the tag `verdict`.\n")


def test_metrics_files_give_the_gates_their_names() -> None:
    ranking = {
        "test": {"ndcg_at_10": 0.3, "rows": 5, "note": "text"},
        "baselines": {"popular": {"ndcg_at_10": 0.1}, "personal_frequency": {"ndcg_at_10": 0.26}},
    }
    found = measured({"ranking": ranking}).overall
    assert found.values == {"ranking.ndcg_at_10": 0.3, "ranking.rows": 5.0}
    assert found.baseline == {"ranking.ndcg_at_10": 0.26}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metric": "intent.map", "against": "baseline", "limit": 0.1}, "limit goes with"),
        ({"metric": "intent.map", "against": "value"}, "limit goes with"),
        ({"metric": "intent.map", "repeats": 2}, "repeats counts uses of a tolerance"),
        ({"metric": "latency.predict_ms_p95"}, "has no baseline; give a `limit`, or `against: champion`"),
        ({"metric": "variant.map_loss", "against": "champion"}, "give a `limit`"),
        ({"metric": "memory.rss_mib", "limit": 1, "cohort": "segment"}, "is not measured by cohort; have intent.map"),
        ({"metric": NDCG, "cohort": "tenure"}, "tenure is measured of the intents only"),
        ({"metric": "intent.ece", "cohort": "segment"}, "no baseline by cohort; have intent.map, ranking.ndcg_at_10"),
    ],
)
def test_fields_that_do_not_go_together_are_told_with_what_does(fields, words) -> None:
    with pytest.raises(ValidationError, match="Value error") as said:
        Gate(**fields)
    assert words in str(said.value)


def test_a_spec_survives_its_own_json() -> None:
    assert Promotion.model_validate_json(Promotion().model_dump_json()) == Promotion()
