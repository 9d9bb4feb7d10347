"""The sides of the bench of intent architectures, by name, and which rows teach and judge them."""

from typing import Any

import numpy as np
import pytest

from benchmarks.intent import READERS, fewer_judges, name_of, some_users, spec_of
from components.intent.examples import Examples
from components.intent.networks import NETWORKS
from components.intent.spec import IntentModel
from feature_repo.errors import SpecError
from feature_repo.rows import UserRows


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"architecture": "gru", "reads": "events"},
        {"architecture": "gbdt"},
        {"architecture": "text"},
        {"architecture": "ensemble", "members": ("cnn", "gru")},
    ],
)
@pytest.mark.parametrize("name", [*NETWORKS, *READERS, "gbdt", "text", "ensemble"])
def test_a_side_is_what_its_name_says_whatever_the_run_s_own_model_is(name: str, own: dict[str, str]) -> None:
    assert name_of(spec_of(name, IntentModel.model_validate(own))) == name


def test_what_is_trained_of_a_text_encoder_is_a_variant_of_text_alone() -> None:
    found = spec_of("text+lora", IntentModel(layers=3))
    assert (found.architecture, found.text.tune, found.text.rank) == ("text", "lora", 8)
    with pytest.raises(SpecError, match=r"--only: 'cnn\+lora' is no side"):
        spec_of("cnn+lora", IntentModel())


def test_a_variant_goes_with_a_reader_of_events_and_nonsense_is_refused() -> None:
    found = spec_of("cnn_events+temperature", IntentModel())
    assert (found.architecture, found.reads, found.calibrate) == ("cnn", "events", "temperature")
    with pytest.raises(SpecError, match=r"--only: 'gbdt_events' is no side; use transformer"):
        spec_of("gbdt_events", IntentModel())


def test_texts_are_cut_where_asked_and_nothing_else_is() -> None:
    assert spec_of("text+full", IntentModel(), tokens=24).text.tokens == 24
    assert spec_of("cnn", IntentModel(), tokens=24).text.tokens == IntentModel().text.tokens


def _rows(users: int = 10) -> Examples:
    """Every user has a row in each of four weeks; the last two judge."""
    week = np.tile(np.arange(4), users)
    user_id = np.repeat(np.array([f"u{n}" for n in range(users)], dtype=object), 4)
    rows = UserRows(user_id, week, week, np.ones(len(week), bool), {}, {})
    split = {"train": [0, 1], "validate": [2], "test": [3]}
    empty: Any = None
    return Examples(rows, week, np.zeros((len(week), 1), np.uint8), empty, empty, empty, split)


def test_fewer_judges_are_the_same_users_in_each_part_and_all_of_them_still_teach() -> None:
    found = fewer_judges(_rows(), 3)
    judges = [set(found.rows.user_id[found.part(part)]) for part in ("validate", "test")]
    assert len(judges[0]) == 3
    assert judges[0] == judges[1]
    assert len(found.part("train")) == 20
    assert len(fewer_judges(_rows(), 99).week) == 40


def test_fewer_teachers_leave_all_who_judge() -> None:
    found = some_users(_rows(), 0.5)
    assert 0 < len(found.part("train")) < 20
    assert len(found.part("test")) == 10
