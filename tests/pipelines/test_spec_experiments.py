"""The spec's experiments: what is refused before anything runs, and that specs without any are what they were."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.registry.experiment_spec import Experiment
from feature_repo.errors import SpecError
from pipelines import spec

SPECS = Path(__file__).resolve().parents[2] / "pipelines" / "specs"
ARMS = [{"name": "old", "release": "champion", "share": 0.5}, {"name": "new", "release": "challenger", "share": 0.5}]
TRY = {"name": "try", "arms": ARMS, "kpi": {"event": "purchase"}}


def parsed(*experiments: dict[str, Any]) -> spec.Recommender:
    document = yaml.safe_load((SPECS / "synthetic.yaml").read_text())
    return spec.parse(document | ({"experiments": list(experiments)} if experiments else {}), place="s")


def test_an_experiment_is_small_to_write_and_read_back_as_it_was() -> None:
    found = parsed(TRY)
    (one,) = found.experiments
    assert (one.control.name, [arm.name for arm in one.treatments]) == ("old", ["new"])
    assert (one.kpi.measure, one.kpi.within_s, one.kpi.better, one.on_winner) == (
        "converted",
        7 * 86400,
        "more",
        "report",
    )
    assert (one.smallest_effect, one.alpha, one.min_users, one.min_active, one.days) == (0.1, 0.05, 500, 25, 28)
    assert one.covariates == ("sessions_slow", "value_slow")
    assert spec.parse(found.model_dump(mode="json"), place="s") == found
    assert Experiment.model_validate(one.model_dump(mode="json")) == one
    assert "users" not in one.model_dump(mode="json"), "what is recorded of an experiment without a plan is what it was"
    planned = Experiment.model_validate(TRY | {"users": 40_000})
    assert Experiment.model_validate(planned.model_dump(mode="json")) == planned


def test_a_spec_without_experiments_has_the_digest_that_it_had() -> None:
    assert "experiments" not in parsed().model_dump(mode="json")
    assert parsed().digest != parsed(TRY).digest


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"arms": [ARMS[0] | {"share": 0.4}, ARMS[1]]}, "their shares sum to 0.9; allowed: 1"),
        ({"arms": [ARMS[0], ARMS[1] | {"share": 0}]}, "share"),
        ({"arms": [ARMS[0], ARMS[1] | {"release": "champion"}]}, "two have release 'champion', so there is nothing to"),
        ({"arms": [ARMS[0], ARMS[1] | {"name": "old"}]}, "two have name 'old'"),
        ({"arms": [ARMS[0] | {"release": "3"}, ARMS[1]]}, "none has `release: champion`, with which"),
        ({"arms": ARMS[:1]}, "arms"),
        ({"kpi": {"event": "purchase", "most": 3}}, "most: a user converts once or not at all"),
        ({"kpi": {"event": "purchase", "within_hours": 0}}, "within_hours"),
        ({"kpi": {"event": "purchase", "measure": "revenue"}}, "'converted', 'count' or 'value'"),
        ({"covariates": ["session_slow"]}, "did you mean 'sessions_slow'?"),
        ({"alpha": 0.5}, "alpha"),
        ({"users": 900}, "users: 900 leave arm old 450 users, fewer than min_users: 500; give 1000 or more"),
        ({"users": 10}, "users"),
    ],
)
def test_what_could_never_be_judged_is_refused_in_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as found:
        parsed(TRY | change)
    assert "experiments[0]" in str(found.value)
    assert line in str(found.value)
    assert "\n" not in str(found.value)


def test_each_experiment_has_a_name_of_its_own() -> None:
    with pytest.raises(SpecError, match=r"experiments\[0\].name: 'try' is declared twice"):
        parsed(TRY, TRY)
