"""The data contract's row rules in the request model of /events: a row that the batch quarantines, the door refuses.

The release carries the rules (components/data/row_rules.py: declarative, no engine). An event that breaks a rule of
severity critical or warning is refused; a rule of severity info only counts. An item that is not in the catalogue is
no mistake of the sender's, who may know a newer one: its event is set aside, as the batch does, and the others go on.
`mostly` judges a whole table and does not apply here: the batch, too, quarantines each row that breaks the rule,
whatever their share.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from bentos.endpoints.events import MAX_EVENTS, EventsRequest, SetAside
from bentos.endpoints.schemas import Event, Id, SessionEvent
from bentos.http.problems import BROKEN, refused, short
from components.data.row_rules import NotNull, RowRule, Severity
from components.data.rules import Known, label, names
from feature_repo import columns

KNOWN_ITEM = label(Known(expect="known", column="item_id"))


class EventRules:
    """The rules of one release: a request model that keeps to them, and the count of those that only count."""

    def __init__(
        self,
        rules: Sequence[RowRule],
        *,
        known: Callable[[str], bool] = lambda item_id: True,  # whether an item is in the catalogue
        unknown: Severity | None = None,  # how grave it is where it is not; None: it is fine
    ) -> None:
        self._known, self._unknown = known, unknown
        named = list(zip(names(list(rules)), rules, strict=True))
        self._refusing = {name: rule for name, rule in named if rule.severity != "info"}
        self._counting = {name: rule for name, rule in named if rule.severity == "info"}
        self.request: type[EventsRequest] = self._request()

    def noted(self, events: Sequence[Event]) -> dict[str, int]:
        """Count the events that break a rule of severity info, by rule."""
        rows = [event.model_dump() for event in events] if self._counting else []
        counts = {name: sum(rule.broken_by(row) for row in rows) for name, rule in self._counting.items()}
        if self._unknown == "info":
            counts[KNOWN_ITEM] = sum(not self._holds(event) for event in events)
        return {name: count for name, count in counts.items() if count}

    def set_aside(self, events: Sequence[Event | SessionEvent]) -> list[SetAside]:
        """Say which events name an item outside the catalogue, where the contract sets those aside."""
        if self._unknown in (None, "info"):
            return []
        return [
            SetAside(event=place, rule=KNOWN_ITEM, reason=f"{short(event.item_id)} is not among the items")
            for place, event in enumerate(events)
            if not self._holds(event)
        ]

    def require_of(self, row: Mapping[str, Any], *, where: str) -> None:
        """Refuse an event without a user, at a place of a request, by the rules that do not speak of users."""
        for name, rule in self._refusing.items():
            if columns.USER_ID not in rule.named and rule.broken_by(row):
                broken = _broken(name, rule, row).context or {}
                place = f"{where}.{broken['column']}"
                raise refused(place, f"{broken['given']} breaks the rule {name}", broken["allowed"])

    def _holds(self, event: Event | SessionEvent) -> bool:
        """Tell whether an event's item, if it has one, is in the catalogue."""
        return event.item_id is None or self._known(event.item_id)

    def _request(self) -> type[EventsRequest]:
        """Make the request model: the same names and fields, and the rules in its documentation."""
        asked = "; ".join(rule.asks for rule in self._refusing.values())

        def keep(event: Event) -> Event:
            self._require(event.model_dump())
            return event

        validators: dict[str, Any] = {"keeps_to_the_rules": model_validator(mode="after")(keep)}
        bare = [rule.unless for rule in self._refusing.values() if isinstance(rule, NotNull) and rule.unless]
        about = f"Left out or null by events of kind {', '.join(bare[0])}" if bare else ""
        fields: dict[str, Any] = {"item_id": (Id | None, Field(default=None, description=about))} if bare else {}
        event = create_model(
            "Event",
            __base__=Event,
            __doc__=f"Something a user did. The data contract asks: {asked or 'nothing more'}.",
            __validators__=validators,
            **fields,
        )
        events = (list[event], Field(min_length=1, max_length=MAX_EVENTS))  # type: ignore[valid-type]
        return create_model("EventsRequest", __base__=EventsRequest, __doc__=EventsRequest.__doc__, events=events)

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
