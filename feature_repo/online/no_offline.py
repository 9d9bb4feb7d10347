"""No offline store: what a process that only reads and pushes rows tells Feast, which would import DuckDB and Ibis.

Feast looks for the class beside the settings, and makes it only when somebody asks for history.
"""

from typing import Literal

from feast.repo_config import FeastConfigBaseModel


class NoOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is untyped
    """Its settings: none."""

    type: Literal["feature_repo.online.no_offline.NoOfflineStore"] = "feature_repo.online.no_offline.NoOfflineStore"


class NoOfflineStore:
    """What has no history."""
