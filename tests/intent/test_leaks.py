"""The ranker's intents were predicted before they came true; where they were not, the week is named."""

import numpy as np
import pyarrow as pa

from components.intent import leaks
from components.intent.examples import Examples
from components.intent.train import Trained

from .conftest import SPLIT

HELD = [13, 14, 15, 16]  # the last four training weeks, which the ranker learns from


def stored(trained: Trained) -> pa.Table:
    """Return the out-of-time scores as the step keeps them."""
    scores = trained.out_of_time
    probabilities = pa.array(list(scores.probabilities), pa.list_(pa.float32()))
    return pa.table({"user_id": list(scores.user_id), "week": scores.week, "probabilities": probabilities})


def test_training_records_whose_labels_each_stage_saw(trained: Trained) -> None:
    assert trained.weeks == {
        "early": list(range(5, 13)),
        "full": SPLIT["train"],
        "scored_by_early": HELD,
        "scored_by_full": [17, 18, 19, 20],
    }
    assert leaks.recorded(trained.weeks, SPLIT) == []
    assert leaks.assumed(SPLIT | {"ranking": [*HELD, 17, 18, 19]}) == trained.weeks


def test_honest_scores_are_no_leak(trained: Trained, examples: Examples) -> None:
    found = leaks.scores(trained.scorer, examples.rows, examples.week, stored=stored(trained), weeks=trained.weeks)
    assert found == []


def test_scores_of_the_final_model_on_its_own_training_weeks_are_named(trained: Trained, examples: Examples) -> None:
    table = stored(trained)
    index = np.flatnonzero(np.isin(examples.week, HELD))
    said = trained.scorer.predict(examples.rows.take(index))
    planted = pa.table(
        {
            "user_id": list(examples.rows.user_id[index]),
            "week": examples.week[index],
            "probabilities": pa.array(list(said), table.schema.field("probabilities").type),
        }
    )
    found = leaks.scores(trained.scorer, examples.rows, examples.week, stored=planted, weeks=trained.weeks)
    assert [leak.week for leak in found] == HELD
    assert found[0].line().startswith("out_of_time.probabilities, week 13, user u00: scores compared with")
    assert found[0].cells == 40


def test_scores_that_are_no_numbers_pass_no_check(trained: Trained, examples: Examples) -> None:
    table = stored(trained)
    of_nobody = np.full_like(trained.out_of_time.probabilities, np.nan)
    planted = table.set_column(2, "probabilities", pa.array(list(of_nobody), table.schema.field(2).type))
    found = leaks.scores(trained.scorer, examples.rows, examples.week, stored=planted, weeks=trained.weeks)
    assert [leak.week for leak in found] == [*HELD, 17, 18, 19, 20]
    assert {leak.severity for leak in found} == {"leak"}


def test_a_stage_that_learned_from_a_week_it_scores_is_named(trained: Trained) -> None:
    found = leaks.recorded(trained.weeks | {"early": list(range(5, 15))}, SPLIT)
    assert [leak.week for leak in found] == [13, 14]
    assert found[0].what == "stage early learned from week 13 and scored week 13"
    on_test = leaks.recorded(trained.weeks | {"full": [*SPLIT["train"], 19]}, SPLIT)
    assert {leak.week for leak in on_test} == {19}


def test_a_model_folder_that_names_no_weeks_is_a_warning() -> None:
    (leak,) = leaks.recorded(None, SPLIT)
    assert leak.severity == "warning"
