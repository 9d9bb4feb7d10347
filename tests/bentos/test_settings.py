"""The service's environment."""

from typing import Any

import pytest

from bentos.http.bounded_pool import ALONE, THREADS
from bentos.recommender.settings import Settings, reading_threads
from feature_repo.errors import SpecError


def test_settings_come_from_the_environment(world: Any) -> None:
    folder = world.release().folder
    given = {"INTENTFLOW_HOME": "/state", "INTENTFLOW_PSEUDONYM_KEY": "00ff", "INTENTFLOW_RELEASE": str(folder)}
    settings = Settings.read(given | {"INTENTFLOW_CLOCK": "data_end", "OMP_NUM_THREADS": "2"})
    assert (str(settings.home), settings.key, settings.threads) == ("/state", "00ff", 2)
    assert settings.release.name == "tiny"
    assert settings.clock.now() == settings.release.data_end
    assert Settings.read(given).threads == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"INTENTFLOW_HOME": ""}, "INTENTFLOW_HOME is not set"),
        ({"INTENTFLOW_PSEUDONYM_KEY": ""}, "INTENTFLOW_PSEUDONYM_KEY is not set"),
        ({"INTENTFLOW_PSEUDONYM_KEY": "secret"}, "INTENTFLOW_PSEUDONYM_KEY: must be hexadecimal"),
        ({"INTENTFLOW_CLOCK": "data-end"}, "INTENTFLOW_CLOCK: 'data-end' is no clock; have wall, data_end; did you"),
        ({"OMP_NUM_THREADS": "0"}, "OMP_NUM_THREADS: '0' is no number of threads"),
    ],
)
def test_a_wrong_environment_is_one_line(world: Any, wrong: dict[str, str], error: str) -> None:
    right = {
        "INTENTFLOW_HOME": "/s",
        "INTENTFLOW_PSEUDONYM_KEY": "00",
        "INTENTFLOW_RELEASE": str(world.release().folder),
    }
    with pytest.raises(SpecError, match=error):
        Settings.read(right | wrong)


def test_a_key_that_is_wrong_is_not_printed(world: Any) -> None:
    with pytest.raises(SpecError) as refusal:
        Settings.read({"INTENTFLOW_HOME": "/s", "INTENTFLOW_PSEUDONYM_KEY": "my secret"})
    assert "my secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({"INTENTFLOW_FEAST": '{"online_store": {"type": "sqlite", "path": "a.db"}}'}, ALONE),
        ({"INTENTFLOW_FEAST": '{"online_store": {"type": "redis"}}'}, THREADS),
        ({"INTENTFLOW_FEAST": '{"online_store": {"type": "sqlite"}}', "INTENTFLOW_RANKING_URL": "http://r"}, THREADS),
        ({"INTENTFLOW_FEAST": "[]"}, THREADS),
        ({"INTENTFLOW_FEAST": "no JSON"}, THREADS),
        ({}, THREADS),
    ],
)
def test_reads_that_only_compute_run_one_by_one(given: dict[str, str], threads: int) -> None:
    assert reading_threads(given) == threads
