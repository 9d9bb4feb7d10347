"""Open Feast: one configuration for the command line, the steps and the services, taken from the environment."""

import datetime as dt
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from feature_repo import services, views
from feature_repo.errors import SpecError

VARIABLE = "INTENTFLOW_FEAST"
FILE = Path(__file__).with_name("feature_store.yaml")
# Training rows ask at cutoffs a week apart, at which every known user has a row; a week with a clock change
# is up to an hour longer.
LOOKBACK = dt.timedelta(days=8)


def document(project: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a feature_store.yaml says: ours, with the environment's registry and stores."""
    base: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {"project": project.replace("-", "_")} | base | settings


def config(project: str, settings: dict[str, Any]) -> Any:
    """Return the same as Feast's RepoConfig."""
    from feast import RepoConfig

    return RepoConfig(**document(project, settings))


def settings_from(environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Read the environment's registry and stores."""
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        raise SpecError(f"{VARIABLE} is not set; the `intentflow` command sets it from the environment")
    found: dict[str, Any] = json.loads(text)
    return found


def open_store(project: str) -> Any:
    """Open the feature store that the environment names."""
    from feast import FeatureStore

    return FeatureStore(config=config(project, settings_from()))


@contextmanager
def offline(project: str, folder: Path, *, windows_days: tuple[int, ...]) -> Iterator[Any]:
    """Open a throw-away store over feature files, for point-in-time retrieval: nothing outside is touched."""
    from feast import FeatureStore

    with tempfile.TemporaryDirectory() as scratch:
        settings = {
            "registry": f"{scratch}/registry.db",
            "online_store": {"type": "sqlite", "path": f"{scratch}/online.db"},
        }
        store = FeatureStore(config=config(project, settings))
        declared = views.build(folder, windows_days=windows_days, lookback=LOOKBACK)
        store.apply([*declared.all(), *services.build(declared)])
        yield store
