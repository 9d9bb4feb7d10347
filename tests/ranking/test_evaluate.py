import numpy as np
import pytest

from components.ranking.baselines import BASELINES
from components.ranking.card import write
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.examples import World
from components.ranking.score import Ranker


@pytest.fixture(scope="module")
def found(ranker: Ranker, world: World) -> Evaluation:
    return evaluate(ranker, world)


def test_model_and_baselines_are_judged_on_the_same_rows(found: Evaluation, world: World) -> None:
    assert found.weeks == [19, 20]
    assert found.test["rows"] == len(world.examples.of_weeks([19, 20]))
    assert set(found.baselines) == set(BASELINES)
    assert all(set(b) < set(found.test) for b in found.baselines.values())


def test_the_model_beats_personal_frequency_on_the_checkerboard(found: Evaluation) -> None:
    baselines = {name: values["ndcg_at_10"] for name, values in found.baselines.items()}
    assert found.test["ndcg_at_10"] > baselines["personal_frequency"] + 0.02
    assert baselines["decayed_personal"] > baselines["personal_frequency"] > baselines["popular"]


def test_the_model_explores_better_than_popular(found: Evaluation) -> None:
    assert found.test["explore_ndcg_at_10"] > found.baselines["popular"]["explore_ndcg_at_10"]


def test_the_means_are_those_of_answering_each_row_alone(found: Evaluation, ranker: Ranker, world: World) -> None:
    examples, hits = world.examples.of_weeks([19, 20]), []
    for b in range(len(examples)):
        at_week = ranker.at(world.item_state, week=int(examples.week[b]))
        answer = at_week.recommend(examples.rows.take(np.array([b])), examples.probabilities[b], k=10)
        wanted = set(examples.bought.row(b).tolist())
        hits.append(len(wanted & {r.item_index for r in answer}) / len(wanted))
    assert found.test["recall_at_10"] == pytest.approx(np.mean(hits), abs=1e-5)


def test_every_interval_holds_its_mean(found: Evaluation) -> None:
    assert set(found.intervals) == {"ndcg_at_10", "recall_at_10", "phr_at_10", "explore_ndcg_at_10"}
    assert all(low <= found.test[name] <= high for name, (low, high) in found.intervals.items())


def test_the_resamples_are_of_every_side_and_hold_the_means(found: Evaluation, world: World) -> None:
    lines = {(line.side, line.draws, line.cohort, line.metric): line for line in found.resamples}
    assert len(lines) == len(found.resamples)
    for side, values in {"model": found.test, **found.baselines}.items():
        for metric in found.intervals:
            drawn = lines[side, "within", "", metric].resampled  # few rows have anything new, and some draws none
            assert np.nanmean(drawn) == pytest.approx(values[metric], abs=0.03)
    assert lines["model", "across", "", "ndcg_at_10"].resampled.mean() == pytest.approx(
        found.test["ndcg_at_10"], abs=0.03
    )
    users = len(np.unique(world.examples.of_weeks(found.weeks).rows.user_id))
    overall = lines["model", "within", "", "ndcg_at_10"]
    assert (overall.rows, overall.users) == (found.test["rows"], users)
    for cohort, values in found.cohorts.items():
        mine = lines["model", "within", cohort, "ndcg_at_10"]
        assert mine.rows == values["rows"]
        assert mine.users <= users
        assert np.nanmean(mine.resampled) == pytest.approx(values["ndcg_at_10"], abs=0.05)
        assert ("personal_frequency", "within", cohort, "ndcg_at_10") in lines


def test_cohorts_cover_all_rows_by_activity_and_by_segment(found: Evaluation) -> None:
    by_segment = [c["rows"] for name, c in found.cohorts.items() if name.startswith("segment")]
    assert len(by_segment) == 2
    assert sum(by_segment) == found.test["rows"]
    assert sum(c["rows"] for c in found.cohorts.values()) == 2 * found.test["rows"]


def test_the_card_shows_the_figures_beside_the_baselines(found: Evaluation) -> None:
    training = {"rows": {"train": 5}, "best_epoch": 1, "epochs": [{}, {}, {}]}
    text = write(found, training, {"candidates": {"history": 1}, "features": ["slow"], "width": 16})
    assert f"| model | **{found.test['ndcg_at_10']:.4f}**" in text
    assert f"| personal frequency | {found.baselines['personal_frequency']['ndcg_at_10']:.4f}" in text
    assert "epoch 2 of 3" in text
