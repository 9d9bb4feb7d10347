"""The sides of the bench of intent architectures: readers of steps and of events, by name."""

import pytest

from benchmarks.intent import READERS, name_of, spec_of
from components.intent.networks import NETWORKS
from components.intent.spec import IntentModel
from feature_repo.errors import SpecError


@pytest.mark.parametrize(
    "own", [{}, {"architecture": "gru", "reads": "events"}, {"architecture": "gbdt"}, {"architecture": "text"}]
)
@pytest.mark.parametrize("name", [*NETWORKS, *READERS, "gbdt", "text"])
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
