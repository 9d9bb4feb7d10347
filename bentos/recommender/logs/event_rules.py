"""The contract's row rules as the request model of /events: what the batch sets aside, the door refuses.

The release brings the rules (components/data/row_rules.py: declarative, no engine). A rule of severity critical or
warning refuses an event; one of severity info is only counted. `mostly` is a matter of many rows: a single event
either keeps to a rule or breaks it, and the batch sets a row that breaks it aside whatever the share of such rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from bentos.http.problems import BROKEN, short
from bentos.recommender import schemas
from components.data.row_rules import RowRule
from components.data.rules import names


class EventRules:
    """The rules of one release: a request model that keeps to them, and the count of those that only count."""

    def __init__(self, rules: Sequence[RowRule]) -> None:
        named = list(zip(names(list(rules)), rules, strict=True))
        self._refusing = {name: rule for name, rule in named if rule.severity != "info"}
        self._counting = {name: rule for name, rule in named if rule.severity == "info"}
        self.request = self._request()

    def noted(self, events: Sequence[schemas.Event]) -> dict[str, int]:
        """Count the events that break a rule of severity info, by rule."""
        rows = [event.model_dump() for event in events] if self._counting else []
        counts = {name: sum(rule.broken_by(row) for row in rows) for name, rule in self._counting.items()}
        return {name: count for name, count in counts.items() if count}

    def _request(self) -> type[schemas.EventsRequest]:
        """Make the request model: the same names and fields, and the rules in its documentation."""
        asked = "; ".join(rule.asks for rule in self._refusing.values())

        def keep(event: schemas.Event) -> schemas.Event:
            self._require(event.model_dump())
            return event

        validators: dict[str, Any] = {"keeps_to_the_rules": model_validator(mode="after")(keep)}
        event = create_model(
            "Event",
            __base__=schemas.Event,
            __doc__=f"Something a user did. The data contract asks: {asked or 'nothing more'}.",
            __validators__=validators,
        )
        events = (list[event], Field(min_length=1, max_length=schemas.MAX_EVENTS))  # type: ignore[valid-type]
        return create_model(
            "EventsRequest", __base__=schemas.EventsRequest, __doc__=schemas.EventsRequest.__doc__, events=events
        )

    def _require(self, row: Mapping[str, Any]) -> None:
        """Raise where a row breaks a rule."""
        for name, rule in self._refusing.items():
            if rule.broken_by(row):
                raise _broken(name, rule, row)


def _broken(name: str, rule: RowRule, row: Mapping[str, Any]) -> PydanticCustomError:
    """Say in the error's context which rule is broken, where, by what value, and what is allowed."""
    given = " beside ".join(_shown(row[column]) for column in rule.named)
    context = {"rule": name, "column": rule.named[0], "given": given, "allowed": rule.asks}
    return PydanticCustomError(BROKEN, "breaks the rule {rule}", context)


def _shown(value: Any) -> str:
    """Show a value as its sender wrote it: a whole number without the fraction that JSON's reader gave it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else short(value)
