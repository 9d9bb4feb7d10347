"""How one table of a spec's source is read: from which file or table, and which of its columns is which of ours."""

import codecs
import functools
import re
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.data.time_formats import fault_of
from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice

CANONICAL_TYPES = {
    columns.USER_ID: "string",
    columns.ITEM_ID: "string",
    columns.EVENT: "string",
    columns.TIMESTAMP: "timestamp[us, tz=UTC]",
    columns.CREATED_AT: "timestamp[us, tz=UTC]",
    columns.SESSION_ID: "string",
    columns.QUANTITY: "double",
    columns.VALUE: "double",
    columns.DISCOUNT: "double",
    columns.STRENGTH: "double",
    columns.PRICE: "double",
    columns.FIRST_SEEN: "timestamp[us, tz=UTC]",
    columns.VALID_FROM: "timestamp[us, tz=UTC]",
    columns.VALID_TO: "timestamp[us, tz=UTC]",
    columns.SHARE: "double",
}
# Fields that dumps have only where a spec says them.
NEWER = ("nulls", "delimiter", "header", "encoding", "times")
WHITESPACE = "whitespace"  # a delimiter: blanks and tabs, one or more


def known_zone(value: str) -> str:
    """Return the name of a time zone; ValueError where there is none of that name."""
    have = _zones()
    if value not in have:
        told = nearest(value, sorted(have)) or ", such as Europe/Berlin or UTC"
        raise ValueError(f"'{value}' is no IANA time zone{told}")
    return value


@functools.cache
def _zones() -> frozenset[str]:
    """List the zones that this machine knows; to walk their folders takes a tenth of a second."""
    return frozenset(zoneinfo.available_timezones())


class Mapped(Slice):
    """How a table's columns are read. Columns of events are canonical; items and users may have more of their own."""

    columns: dict[str, str] = Field(
        default={},
        description="Our column: column of the source. Of users, and of items in the events' file, others stay out",
    )
    timezone: str | dict[str, str] = Field(
        default="UTC", description="Zone of timestamps that carry none; or by file, glob: zone"
    )
    timestamps: str | list[str] = Field(
        default="iso", description="iso | epoch_s | epoch_ms | a format such as %d/%m/%Y %H:%M; or a list, each tried"
    )
    lists: dict[str, str] = Field(default={}, description="Attribute with several values: what separates them")
    units: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Number column of ours: what one of the source's is, such as value: 0.01 for cents"
    )
    times: dict[str, str] = Field(
        default={},
        description="Number column of ours: column of the source that it is multiplied by, such as value: Quantity "
        "where `columns` maps value to a price of one piece",
    )

    nulls: list[str] | None = Field(
        default=None,
        description="Words that mean nothing, in every column; left out: in ids NA, N/A, nan, NULL, None, \\N and the "
        "like. An empty text always does",
    )

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for zone in [value] if isinstance(value, str) else value.values():
            known_zone(zone)
        if not value:
            raise ValueError("no zone is given; write one, or `{'berlin-*.csv': Europe/Berlin, '*': UTC}`")
        return value

    @field_validator("timestamps")
    @classmethod
    def _format(cls, value: str | list[str]) -> str | list[str]:
        forms = [value] if isinstance(value, str) else value
        if not forms:
            raise ValueError("no format is given; use iso, which is the default")
        for form in forms:
            if fault := fault_of(form):
                raise ValueError(f"'{form}' is {fault}")
        return value

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {k: v for k, v in dumped.items() if k not in NEWER or v != fields[k].default}

    @field_validator("columns", "lists", "times")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for own, other in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", own) or not other:
                raise ValueError(f"'{own}: {other}' names no column; write letters, digits and _ before the colon")
        return value

    @field_validator("units", "times")
    @classmethod
    def _numbers(cls, value: dict[str, Any]) -> dict[str, Any]:
        have = [column for column, kind in CANONICAL_TYPES.items() if kind == "double"]
        for own in value:
            if own not in have:
                raise ValueError(f"'{own}' is no number of ours; have {', '.join(have)}{nearest(own, have)}")
        return value


class Table(Mapped):
    """One table read from files."""

    path: str = Field(
        min_length=1,
        description="File or glob, relative to the spec's folder: .parquet, .csv or .jsonl, or .gz of them",
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="What separates a CSV's fields, such as ';' or '::', or `whitespace`; left out: found",
    )
    header: Literal[True] | Literal["none"] = Field(
        default=True, description="Whether a CSV's first line names its columns; none: they are c1, c2, …"
    )
    encoding: str = Field(
        default="utf-8", description="Of text files, any codec of Python's: latin-1, cp1252, utf-16, gb18030, …"
    )

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str | None) -> str | None:
        if value is not None and (set(value) & set('"\r\n') or (value.isalnum() and value != WHITESPACE)):
            raise ValueError(
                f"'{value}' cannot separate fields; write one such as ',', ';', '\\t', '::' or {WHITESPACE}"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, UnicodeError):
            known = ["utf-8", "latin-1", "cp1252", "utf-16", "gb18030", "shift_jis", "koi8-r"]
            raise ValueError(
                f"'{value}' is no encoding; use one such as {', '.join(known)}{nearest(value, known)}"
            ) from None
        return codecs.lookup(value).name

    @property
    def origin(self) -> str:
        """Say where its rows are."""
        return self.path

    @property
    def label(self) -> str:
        """Name it in messages."""
        return self.path.rpartition("/")[2]


class SqlTable(Mapped):
    """One table, view or query of a database."""

    table: str | None = Field(default=None, min_length=1, description="Table or view, schema.table where it has one")
    query: str | None = Field(default=None, min_length=1, description="A SELECT; instead of `table`")
    watermark: str | None = Field(
        default=None, description="Column whose largest value says that rows changed; events have their timestamp"
    )

    @model_validator(mode="after")
    def _one(self) -> "SqlTable":
        if (self.table is None) == (self.query is None):
            raise ValueError("give table or query, one of them")
        if not isinstance(self.timezone, str):
            raise ValueError("timezone: a zone by file is for files; a table has one, or convert the times in a query")
        return self

    @property
    def origin(self) -> str:
        """Say where its rows are."""
        return self.table or str(self.query)

    @property
    def label(self) -> str:
        """Name it in messages."""
        return self.table or "the query"
