"""The client's methods, one an endpoint. Written by `python -m bentos.endpoints.derived_files`; do not edit."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from bentos.endpoints.describe import DescribeRequest, Descriptions
from bentos.endpoints.events import Accepted, EventsRequest
from bentos.endpoints.explain import ExplainRequest, Explanation
from bentos.endpoints.intents import Intents, IntentsRequest
from bentos.endpoints.items import ItemChange, ItemsChanged, ItemsRequest
from bentos.endpoints.rank import RankRequest, Scores
from bentos.endpoints.recommend import Recommendations, RecommendRequest
from bentos.endpoints.rules import LiveRule, RulePreview, RulesChanged, RulesRequest
from bentos.endpoints.schemas import Event, SessionEvent
from bentos.endpoints.shelves import Shelves, ShelvesRequest
from bentos.endpoints.similar import SimilarItems, SimilarRequest
from bentos.endpoints.values import Values, ValuesRequest

AnswerModel = TypeVar("AnswerModel", bound=BaseModel)


class Methods(ABC):
    """A method for each endpoint; what is None is left out of the request."""

    @abstractmethod
    def _ask(
        self,
        path: str,
        asks: type[BaseModel],
        fields: dict[str, Any],
        answers: type[AnswerModel],
        *,
        method: str = "POST",
    ) -> AnswerModel:
        """Send a request of the fields that are not None; return its answer."""

    def recommend(
        self,
        user_id: str | None = None,
        *,
        k: int | None = None,
        context: Mapping[str, str | bool | int | float] | None = None,
        exclude: Sequence[str] | None = None,
        at: dt.datetime | None = None,
        placement: str | None = None,
        interests: Mapping[str, Sequence[str]] | None = None,
        events: Sequence[SessionEvent] | None = None,
    ) -> Recommendations:
        """Recommend items to a user, or in a session of somebody who is none."""
        return self._ask(
            "/recommend",
            RecommendRequest,
            {
                "user_id": user_id,
                "k": k,
                "context": context,
                "exclude": exclude,
                "at": at,
                "placement": placement,
                "interests": interests,
                "events": events,
            },
            Recommendations,
        )

    def intents(self, user_id: str, *, at: dt.datetime | None = None, decide: bool | None = None) -> Intents:
        """Return every intent of a user."""
        return self._ask("/intents", IntentsRequest, {"user_id": user_id, "at": at, "decide": decide}, Intents)

    def rank(self, user_id: str, item_ids: Sequence[str], *, at: dt.datetime | None = None) -> Scores:
        """Score given items for a user, in the order given."""
        return self._ask("/rank", RankRequest, {"user_id": user_id, "item_ids": item_ids, "at": at}, Scores)

    def similar(
        self,
        item_id: str,
        *,
        user_id: str | None = None,
        k: int | None = None,
        by: str | None = None,
        exclude: Sequence[str] | None = None,
        at: dt.datetime | None = None,
    ) -> SimilarItems:
        """List items like an item."""
        return self._ask(
            "/similar",
            SimilarRequest,
            {"item_id": item_id, "user_id": user_id, "k": k, "by": by, "exclude": exclude, "at": at},
            SimilarItems,
        )

    def values(self, user_id: str, attribute: str, *, k: int | None = None, at: dt.datetime | None = None) -> Values:
        """Recommend values of an attribute to a user."""
        return self._ask(
            "/values", ValuesRequest, {"user_id": user_id, "attribute": attribute, "k": k, "at": at}, Values
        )

    def events(self, events: Sequence[Event]) -> Accepted:
        """Store events durably and fold them into their users' profiles."""
        return self._ask("/events", EventsRequest, {"events": events}, Accepted)

    def explain(
        self, user_id: str, item_id: str, *, at: dt.datetime | None = None, causes: bool | None = None
    ) -> Explanation:
        """Say what speaks for an item: its source and place, the features and the intents that it rests on."""
        return self._ask(
            "/explain",
            ExplainRequest,
            {"user_id": user_id, "item_id": item_id, "at": at, "causes": causes},
            Explanation,
        )

    def describe(
        self,
        user_id: str,
        item_ids: Sequence[str],
        *,
        at: dt.datetime | None = None,
        language: Literal["en", "zh"] | None = None,
        frame: Literal["stock_up", "treat", "cook_tonight", "try_new", "save"] | None = None,
    ) -> Descriptions:
        """Say in words what is known of items, and what speaks for them."""
        return self._ask(
            "/describe",
            DescribeRequest,
            {"user_id": user_id, "item_ids": item_ids, "at": at, "language": language, "frame": frame},
            Descriptions,
        )

    def shelves(
        self,
        user_id: str,
        *,
        most: int | None = None,
        k: int | None = None,
        by: Literal["intent", "category"] | None = None,
        exclude: Sequence[str] | None = None,
        placement: str | None = None,
        at: dt.datetime | None = None,
        language: Literal["en", "zh"] | None = None,
        frame: Literal["stock_up", "treat", "cook_tonight", "try_new", "save"] | None = None,
    ) -> Shelves:
        """Put items for a user on shelves, each with a title."""
        return self._ask(
            "/shelves",
            ShelvesRequest,
            {
                "user_id": user_id,
                "most": most,
                "k": k,
                "by": by,
                "exclude": exclude,
                "placement": placement,
                "at": at,
                "language": language,
                "frame": frame,
            },
            Shelves,
        )

    def items(
        self, *, items: Sequence[ItemChange] | None = None, undo: int | None = None, change_id: str | None = None
    ) -> ItemsChanged:
        """Add, change or withdraw items, all of them or none, or undo a version; every door shows it within 5 s."""
        return self._ask(
            "/items", ItemsRequest, {"items": items, "undo": undo, "change_id": change_id}, ItemsChanged, method="PUT"
        )

    def rules(
        self,
        *,
        rules: Sequence[LiveRule] | None = None,
        remove: Sequence[str] | None = None,
        undo: int | None = None,
        change_id: str | None = None,
        preview: RulePreview | None = None,
    ) -> RulesChanged:
        """Put or remove rules, all of them or none, or undo a version; every door keeps to it within 5 s."""
        return self._ask(
            "/rules",
            RulesRequest,
            {"rules": rules, "remove": remove, "undo": undo, "change_id": change_id, "preview": preview},
            RulesChanged,
            method="PUT",
        )
