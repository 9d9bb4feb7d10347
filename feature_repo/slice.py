"""The base of every spec slice: frozen, closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Slice(BaseModel):
    """A part of the spec. Every field is bounded and described; the defaults give a good small system."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
