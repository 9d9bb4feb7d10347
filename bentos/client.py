"""A small typed client of the door; its methods, one an endpoint, are in bentos/client_methods.py.

Each request may be sent twice: after a lost connection, 429, 503 or 504 the client tries again, when `Retry-After` says
or a little later each time. Entries of a write get ids, which make their repetition harmless.

>>> Recommender("http://127.0.0.1:3000").url
'http://127.0.0.1:3000'
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import requests
import tenacity
from pydantic import BaseModel, ValidationError

from bentos.client_methods import AnswerModel, Methods
from bentos.http.headers import SHADOW
from bentos.http.problems import OVERLOADED, TIMEOUT, UNAVAILABLE, Problem, rejected
from feature_repo.endpoints import paths

RETRIES = 2  # after the first try
AGAIN = (OVERLOADED, UNAVAILABLE, TIMEOUT)  # statuses that a later try may not meet
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0  # a service that asks for more patience is answered by an error

WRITES = frozenset(paths("write"))


class Unanswered(Exception):
    """The service refused a request, or failed at it."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.error)
        self.status, self.problem = status, problem


class Recommender(Methods):
    """Asks one service. Keeps a connection; use it from one thread."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        api_key: str | None = None,
        token: str | None = None,
        origin: str | None = None,
        look: str | None = None,
        retries: int = RETRIES,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Give `api_key` or a bearer `token` where the service asks for one, `traceparent` to carry a trace on.

        `origin` is the page's that a page's key was made for, as a browser would say it. `look` is the token that
        routers and doors share: a door logs what it answers to it as seen by nobody, as it does a router's copies.
        """
        self.url, self._timeout_s, self._retries = url.rstrip("/"), timeout_s, retries
        self._traceparent = traceparent
        self._session = requests.Session()
        if api_key is not None:
            self._session.headers["X-API-Key"] = api_key
        if origin is not None:
            self._session.headers["Origin"] = origin
        if look is not None:
            self._session.headers[SHADOW] = look
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

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

    def _ask(
        self,
        path: str,
        asks: type[BaseModel],
        fields: dict[str, Any],
        answers: type[AnswerModel],
        *,
        method: str = "POST",
    ) -> AnswerModel:
        if path in WRITES:
            fields = {name: _identified(entries) for name, entries in fields.items()}
        try:
            ask = asks(**{name: _plain(value) for name, value in fields.items() if value is not None})
        except ValidationError as error:  # the line that the service would answer with
            refusal = rejected(error, asks)
            raise Unanswered(refusal.status, refusal.problem) from None
        reply = self._sent(method, path, ask.model_dump_json(exclude_none=True).encode())
        if reply.ok:
            return answers.model_validate_json(reply.content)
        raise Unanswered(reply.status_code, _problem(reply))

    def _sent(self, method: str, path: str, body: bytes) -> requests.Response:
        """Send a body, again where that may help; return the last reply or raise what the last try raised."""
        trace = self._traceparent()
        headers = {"Content-Type": "application/json"} | ({"traceparent": trace} if trace else {})
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(requests.RequestException) | tenacity.retry_if_result(_busy),
            wait=_pause_s,
            stop=lambda state: state.attempt_number > self._retries or _asks_for_too_much(state),
            retry_error_callback=_last,
        )
        reply: requests.Response = again(
            self._session.request, method, self.url + path, data=body, headers=headers, timeout=self._timeout_s
        )
        return reply


def _identified(entries: Sequence[BaseModel]) -> list[BaseModel]:
    """Give each entry of a write an id if it has none, so that a request whose answer was lost is safe to repeat."""
    return [e if getattr(e, "event_id", None) else e.model_copy(update={"event_id": uuid.uuid4().hex}) for e in entries]


def _plain(value: Any) -> Any:
    """Return a list or a dict of what a caller gave as another kind of sequence or mapping: requests are strict."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _busy(reply: requests.Response) -> bool:
    return reply.status_code in AGAIN


def _pause_s(state: tenacity.RetryCallState) -> float:
    """Return how long the last reply asks to wait, or a little longer each time."""
    said = "" if _raised(state) else _last(state).headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1)


def _asks_for_too_much(state: tenacity.RetryCallState) -> bool:
    return not _raised(state) and _pause_s(state) > LONGEST_PAUSE_S


def _raised(state: tenacity.RetryCallState) -> bool:
    return state.outcome is not None and state.outcome.failed


def _last(state: tenacity.RetryCallState) -> requests.Response:
    """Return the last try's reply, or raise what it raised."""
    assert state.outcome is not None
    reply: requests.Response = state.outcome.result()
    return reply


def _problem(reply: requests.Response) -> Problem:
    """Read a refusal; what stands before the service may answer in other words."""
    try:
        return Problem.model_validate_json(reply.content)
    except ValidationError:
        return Problem(error=f"{reply.status_code} {reply.reason}", where="service", allowed="")
