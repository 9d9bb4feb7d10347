"""A small typed client of the door.

>>> Recommender("http://127.0.0.1:3000").url
'http://127.0.0.1:3000'
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import requests
from pydantic import BaseModel, ValidationError

from bentos.recommender import schemas
from bentos.recommender.problems import TIMEOUT, UNAVAILABLE, Problem, rejected

RETRIES = 2  # of reported events

Answer = TypeVar("Answer", bound=BaseModel)


class Unanswered(Exception):
    """The service refused a request, or failed at it."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.error)
        self.status, self.problem = status, problem


class Recommender:
    """Asks one service. Keeps a connection; use it from one thread."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self.url, self._timeout_s = url.rstrip("/"), timeout_s
        self._session = requests.Session()

    def recommend(
        self,
        user_id: str,
        *,
        k: int | None = None,
        context: Mapping[str, str | bool | int | float] | None = None,
        exclude: Sequence[str] = (),
        at: dt.datetime | None = None,
    ) -> schemas.Recommendations:
        """Recommend items to a user."""
        ask = {"user_id": user_id, "k": k, "context": dict(context or {}), "exclude": list(exclude), "at": at}
        return self._post("/recommend", schemas.RecommendRequest, ask, schemas.Recommendations)

    def intents(self, user_id: str, *, at: dt.datetime | None = None) -> schemas.Intents:
        """Return every intent of a user."""
        return self._post("/intents", schemas.IntentsRequest, {"user_id": user_id, "at": at}, schemas.Intents)

    def rank(self, user_id: str, item_ids: Sequence[str], *, at: dt.datetime | None = None) -> schemas.Scores:
        """Score items for a user."""
        ask = {"user_id": user_id, "item_ids": list(item_ids), "at": at}
        return self._post("/rank", schemas.RankRequest, ask, schemas.Scores)

    def events(self, events: Sequence[schemas.Event]) -> schemas.Accepted:
        """Report events. Each gets an id if it has none, so a request whose answer was lost is safe to repeat."""
        named = [e if e.event_id else e.model_copy(update={"event_id": uuid.uuid4().hex}) for e in events]
        for _ in range(RETRIES):
            try:
                return self._post("/events", schemas.EventsRequest, {"events": named}, schemas.Accepted)
            except requests.RequestException:
                continue
            except Unanswered as error:
                if error.status not in (UNAVAILABLE, TIMEOUT):
                    raise
        return self._post("/events", schemas.EventsRequest, {"events": named}, schemas.Accepted)

    def explain(self, user_id: str, item_id: str, *, at: dt.datetime | None = None) -> schemas.Explanation:
        """Say what speaks for an item."""
        ask = {"user_id": user_id, "item_id": item_id, "at": at}
        return self._post("/explain", schemas.ExplainRequest, ask, schemas.Explanation)

    def ready(self) -> bool:
        """Tell whether the service takes requests."""
        try:
            return self._session.get(f"{self.url}/readyz", timeout=self._timeout_s).ok
        except requests.ConnectionError:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> "Recommender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, path: str, asks: type[BaseModel], fields: dict[str, Any], answers: type[Answer]) -> Answer:
        try:
            ask = asks(**fields)
        except ValidationError as error:  # the same line that the service would have said
            refusal = rejected(error, asks)
            raise Unanswered(refusal.status, refusal.problem) from None
        reply = self._session.post(
            self.url + path,
            data=ask.model_dump_json(exclude_none=True).encode(),
            headers={"Content-Type": "application/json"},
            timeout=self._timeout_s,
        )
        if reply.ok:
            return answers.model_validate_json(reply.content)
        raise Unanswered(reply.status_code, _problem(reply))


def _problem(reply: requests.Response) -> Problem:
    """Read a refusal; what stands before the service may answer in other words."""
    try:
        return Problem.model_validate_json(reply.content)
    except ValidationError:
        return Problem(error=f"{reply.status_code} {reply.reason}", where="service", allowed="")
