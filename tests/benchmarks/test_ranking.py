"""The comparison of rankers reads the rows of a run as its training did."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import ranking
from components.ranking.models import ALGORITHMS
from components.ranking.spec import Ranking
from feature_repo.env_names import PSEUDONYM_KEY
from feature_repo.errors import SpecError


@pytest.mark.parametrize(("spec", "key"), [(Ranking(exclude_self=True), "ab" * 16), (Ranking(), None)])
def test_items_that_are_users_are_read_with_the_runs_key(
    spec: Ranking, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(ranking.ranking_examples, "load", lambda *folders, **more: asked.update(more))
    found: Any = SimpleNamespace(rows=Path("rows"), trained_intent=Path("intent"), variables={PSEUDONYM_KEY: "ab" * 16})
    ranking._world(found, spec)
    assert asked == {"key": key}


def test_some_sides_may_be_asked_for_and_an_unknown_one_is_named() -> None:
    assert list(ranking._sides(Ranking(), ["als"], [])) == [
        "default",
        *(one.name for one in ALGORITHMS if one.name != Ranking().algorithm),
        "default+als",
    ]
    assert list(ranking._sides(Ranking(), [], ["basket", "tifu"])) == ["basket", "tifu"]
    (more,) = ranking._sides(Ranking(), ["sized"], ["ensemble+sized"]).values()
    assert (more.algorithm, more.candidates.limit("sized"), more.learn) == ("ensemble", ranking.LIMIT, ("sized",))
    with pytest.raises(SpecError, match="--only: 'tifu\\+als' is no side"):
        ranking._sides(Ranking(), ["als"], ["tifu+als"])
    with pytest.raises(SpecError, match="--only: 'baskets' is no side; have default, lambdamart"):
        ranking._sides(Ranking(), [], ["baskets"])


def test_an_ensemble_costs_what_its_members_took_too() -> None:
    made = ranking.Made()
    assert made.cost(Ranking(), 20.0) == 20
    assert made.cost(Ranking(algorithm="lambdamart"), 70.0) == 70
    assert made.cost(Ranking(algorithm="ensemble"), 5.0) == 95
    assert made.cost(Ranking.model_validate({"algorithm": "ensemble", "members": ["network", "tifu"]}), 6.0) == 26


def test_training_steps_are_capped_and_never_raised() -> None:
    assert ranking.capped(Ranking(train_weeks=8), 4).train_weeks == 4
    assert ranking.capped(Ranking(train_weeks=8), 20).train_weeks == 8
    assert ranking.capped(Ranking(train_weeks=8), None).train_weeks == 8
    with pytest.raises(SpecError, match="--train-weeks: 1 is too few to learn from"):
        ranking.capped(Ranking(), 1)
