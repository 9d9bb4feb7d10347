"""Defaults of newer fields by value, and what each refuses: a change of one is a change of what people get."""

from typing import Any

import pytest
from pydantic import ValidationError

from components.data.spec import Data
from components.intent.options import Compress, Pretrain
from components.intent.search_space import Search
from components.intent.spec import IntentModel
from components.profiles.spec import Profiles
from feature_repo import later_people


def test_a_search_ends_after_an_hour_unless_it_says_otherwise() -> None:
    found = Search(space={"learning_rate": (0.001, 0.01)})
    assert (found.minutes, Search.model_fields["minutes"].default) == (60, 60)


def test_compression_drops_nothing_unless_it_says_so() -> None:
    found = Compress(quantize="int8")
    assert (found.prune, found.epochs, found.tolerance.map) == (0.0, 3, 0.02)
    assert Compress(prune=0.95).prune == 0.95
    for wrong in (-0.1, 0.96, None):
        with pytest.raises(ValidationError):
            Compress(prune=wrong)  # type: ignore[arg-type]


def test_pretraining_hides_steps_unless_it_says_otherwise() -> None:
    assert (Pretrain().task, Pretrain().epochs, Pretrain().source) == ("masked", 3, None)


@pytest.mark.parametrize("said", [{"architecture": "gru", "reads": "events"}, {"architecture": "text"}])
def test_networks_of_events_and_text_need_neither_privacy_nor_pretraining(said: dict[str, Any]) -> None:
    assert IntentModel.model_validate(said).privacy is None
    for name, value in (("privacy", {"epsilon": 3}), ("pretrain", {"epochs": 1})):
        with pytest.raises(ValidationError, match=f"{name}: of networks that read steps"):
            IntentModel.model_validate(said | {name: value})


@pytest.mark.parametrize(("said", "days"), [("6h", 0.25), ("24h", 1), ("48h", 2), ("240h", 10), (7, 7), ("36h", 1.5)])
def test_a_window_in_hours_is_a_share_of_days(said: object, days: float) -> None:
    assert Profiles.model_validate({"windows_days": [said, 365]}).windows_days == (days, 365)


def test_a_window_is_said_once() -> None:
    with pytest.raises(ValidationError, match="24h"):
        Profiles.model_validate({"windows_days": [1, "24h"]})


@pytest.mark.parametrize("gap", ["half an hour", "30", "0m"])
def test_a_gap_between_visits_is_a_number_and_a_unit(gap: str) -> None:
    with pytest.raises(ValidationError) as found:
        Data.model_validate({"session_gap": gap})
    assert ("session_gap",) in {one["loc"] for one in found.value.errors()}


def test_names_of_a_person_s_document_are_what_stores_hold() -> None:
    assert (later_people.UNDER, later_people.AS_OF, later_people.STATE) == ("under", "as_of", "state")
    assert (later_people.BY, later_people.TO) == ("by", "to")
