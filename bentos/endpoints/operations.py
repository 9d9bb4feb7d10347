"""Brings each row of feature_repo/endpoints.py together with its file's CONTRACT: what app.py mounts.

The file is found by the row's name, so that a new endpoint takes one line in one tuple.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bentos.access import Scope
from bentos.endpoints.contract import Contract
from bentos.http.callers import require_own
from bentos.http.request_context import RequestContext
from feature_repo.endpoints import ENDPOINTS, Endpoint, Kind

if TYPE_CHECKING:
    from bentos.recommender.door import Door


SCOPE_OF: dict[Kind, Scope] = {"write": "events", "admin": "admin"}


@dataclass(frozen=True)
class Operation:
    """An endpoint and what answers it."""

    endpoint: Endpoint
    contract: Contract[Any, Any]

    @property
    def path(self) -> str:
        """Return where it is asked."""
        return self.endpoint.path

    @property
    def writes(self) -> bool:
        """Say whether it stores something, on threads of its own: it may take longer, and hold up no reads."""
        return self.endpoint.kind in ("write", "admin")

    @property
    def streams(self) -> bool:
        """Say whether a caller may have the answer as server-sent events."""
        return self.endpoint.kind == "stream"

    @property
    def scope(self) -> Scope:
        """Return what a key or token must be for."""
        return SCOPE_OF.get(self.endpoint.kind, "recommend")

    def asks_of(self, door: "Door") -> type[BaseModel]:
        """Return the model of a request, as the door's release has it."""
        asks: type[BaseModel] = self.contract.asks_of(door) if self.contract.asks_of else self.contract.asks
        return asks

    def require_own(self, ask: BaseModel, context: RequestContext) -> None:
        """Refuse a request about another user than the one its caller speaks for."""
        require_own(context.who, ask, entries=self.endpoint.name if self.endpoint.kind == "write" else "")

    def answer(self, door: "Door", ask: BaseModel, context: RequestContext) -> BaseModel:
        """Answer a request; the request log has it under the endpoint's name."""
        context.endpoint = self.endpoint.name
        self.require_own(ask, context)
        answer: BaseModel = self.contract.answer(door, ask, context)
        return answer


def bound(endpoints: Iterable[Endpoint]) -> tuple[Operation, ...]:
    """Return the operations of endpoints, each with the CONTRACT of its file."""
    return tuple(Operation(one, importlib.import_module(f"bentos.endpoints.{one.name}").CONTRACT) for one in endpoints)


OPERATIONS = bound(ENDPOINTS)
