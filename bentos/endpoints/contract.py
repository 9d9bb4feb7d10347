"""What one endpoint's file declares: the models of request and answer, the function between them, an example."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door

Ask = TypeVar("Ask", bound=BaseModel)
Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Example:
    """A request and its answer, for /docs.json and docs/client.md. A test holds them to the models."""

    ask: dict[str, Any]
    answer: dict[str, Any]


@dataclass(frozen=True)
class Contract(Generic[Ask, Answer]):
    """One endpoint's part of the HTTP interface."""

    asks: type[Ask]
    answers: type[Answer]
    answer: Callable[["Door", Ask, RequestContext], Answer]
    example: Example
    asks_of: Callable[["Door"], type[Ask]] | None = None  # the request's model, where a release narrows it
    pieces: tuple[str, str] = ("items", "item")  # the answer's list that a stream sends one by one, and its event
