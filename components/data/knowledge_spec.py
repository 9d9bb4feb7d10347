"""The spec's `data.knowledge` slice."""

from typing import Any

from pydantic import Field, field_validator

from components.data.table_spec import Table
from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice


class Knowledge(Slice):
    """What is known of items beside their own table."""

    edges: Table = Field(
        description="File or glob of triples, .csv, .parquet or .jsonl, with columns item_id, relation and entity, "
        "such as 12, director, Ang Lee; or a table with `path` and how it is read"
    )

    @field_validator("edges", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("edges")
    @classmethod
    def _columns_are_of_edges(cls, value: Table) -> Table:
        for own in value.columns:
            if own not in columns.EDGES:
                have = ", ".join(columns.EDGES)
                raise ValueError(
                    f"columns: '{own}' is no column of edges; have {have}{nearest(own, list(columns.EDGES))}"
                )
        return value
