"""The job `audiences`: what it refuses before any work. What it writes is tests/ranking/test_audiences.py's."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from components.ranking.spec import Ranking
from feature_repo.errors import SpecError
from pipelines.jobs import run
from pipelines.jobs.audiences import audiences
from pipelines.jobs.spec import Audiences, Jobs


def place(*, learns: bool = True, **of: tuple[str, ...]) -> Any:
    ranking = Ranking(audiences=learns)
    return SimpleNamespace(
        environment=SimpleNamespace(jobs=Jobs(audiences=Audiences(of=of))),
        spec=SimpleNamespace(models=SimpleNamespace(ranking=ranking)),
    )


def test_it_is_among_the_jobs() -> None:
    assert run.DOES["audiences"] is audiences


def test_without_an_audience_nothing_runs() -> None:
    with pytest.raises(SpecError, match=r"jobs.audiences.of: names no audience; say which items"):
        audiences(place(), None)  # type: ignore[arg-type]


def test_without_learnt_probabilities_nothing_runs() -> None:
    with pytest.raises(SpecError, match=r"models.ranking.audiences: is false, so no probabilities are learnt"):
        audiences(place(learns=False, tea=("i0",)), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"Tea": ["i0"]}, {"tea": []}, {"../tea": ["i0"]}])
def test_a_name_that_is_none_and_an_audience_of_nothing_are_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        Audiences.model_validate({"of": wrong})
