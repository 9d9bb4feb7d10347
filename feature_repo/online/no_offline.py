"""No offline store: what a process that only reads and pushes rows tells Feast, which would import DuckDB and Ibis.

Feast looks for the class beside the settings, and makes it only when somebody asks for history or for the tables of
views. Its base class comes with Feast's provider, so that it costs nothing to import.
"""

from typing import Literal

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel


class NoOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is untyped
    """Its settings: none."""

    type: Literal["feature_repo.online.no_offline.NoOfflineStore"] = "feature_repo.online.no_offline.NoOfflineStore"


class NoOfflineStore(OfflineStore):  # type: ignore[misc]  # Feast is untyped
    """What has no history; Feast makes it where somebody has the provider prepare tables."""
