"""The spec's `monitoring` slice."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from feature_repo.slice import Slice

VARIABLE = r"^[A-Z][A-Z0-9_]*$"


class Notify(Slice):
    """Whom a drift check tells of a verdict. Address and secret are named, never written here."""

    url_env: str = Field(
        pattern=VARIABLE,
        max_length=200,
        description="Variable that holds the address, https://…; it gets a JSON document",
    )
    secret_env: str | None = Field(
        default=None,
        pattern=VARIABLE,
        max_length=200,
        description="Variable that holds the secret that signs calls (headers webhook-id, -timestamp and -signature, "
        "as Standard Webhooks has them); left out: unsigned",
    )
    classes: Annotated[list[Literal["data_fault", "world", "performance"]], Field(min_length=1)] = Field(
        default=["data_fault", "world", "performance"], description="Told of these, and when they have passed"
    )


class Monitoring(Slice):
    """When data counts as drifted. Methods are fixed by kind of column, so a score means the same at every size."""

    psi: float = Field(default=0.2, gt=0, le=10, description="Population stability index of a drifted number column")
    distance: float = Field(
        default=0.1, gt=0, le=1, description="Jensen-Shannon distance (natural log) of a drifted category column"
    )
    share: float = Field(default=0.3, gt=0, le=1, description="Share of columns that must drift for a verdict")
    sample: int = Field(default=20_000, ge=100, le=100_000, description="Rows compared on each side")
    min_rows: int = Field(default=100, ge=10, le=100_000, description="With fewer on a side the verdict is undecided")
    min_users: int = Field(
        default=20, ge=2, le=100_000, description="With fewer users on a side the verdict is undecided"
    )
    notify: Notify | None = Field(default=None, description="Whom to tell of a verdict; left out: nobody")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value is not None or key not in ("notify",)}
