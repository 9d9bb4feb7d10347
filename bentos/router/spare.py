"""Answers /recommend in the doors' place, in their words: who may not ask is refused, what is malformed too.

It recognises callers as the doors do, and checks a request by the same models. It counts no caller's rate and writes no
request log: an answer is gone once it is given.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from bentos.access import Access
from bentos.endpoints.popular import PopularDocument, answer
from bentos.endpoints.recommend import RecommendRequest
from bentos.http import cors
from bentos.http.auth import check, credential_of
from bentos.http.callers import Caller, require_own
from bentos.http.headers import PATIENCE, RELEASE
from bentos.http.patience import patience_ms
from bentos.http.problems import Rejected, rejected

OK = 200
SCOPE = "recommend"
AUTHORIZATION, API_KEY = "Authorization", "X-API-Key"
READS_OF = (PATIENCE, AUTHORIZATION, API_KEY)  # the headers that it looks at


@dataclass(frozen=True)
class SpareAnswer:
    """An answer, or a refusal."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Spare:
    """Answers from a document."""

    def __init__(self, access: Access) -> None:
        self._check = check(access)

    async def answer(
        self, document: PopularDocument, given: Mapping[str, str], body: bytes, *, request_id: str
    ) -> SpareAnswer:
        """Answer a request with these headers and this body."""
        try:
            if patience := given.get(PATIENCE):
                patience_ms(patience)
            who = await self._admit(given)
            ask = RecommendRequest.model_validate_json(body)
            require_own(who, ask)
            made = answer(document, ask, request_id)
        except ValidationError as error:
            return _refusal(rejected(error, RecommendRequest))
        except Rejected as refusal:
            return _refusal(refusal)
        return SpareAnswer(OK, made.model_dump_json().encode(), {RELEASE: document.release})

    def preflight(self, method: str, path: str, given: Callable[[str], str | None]) -> SpareAnswer | None:
        """Answer a browser that asks whether a page may send events; None: it is no such question."""
        origin = given(cors.ORIGIN) or ""
        if self._check is None or not cors.is_preflight(method, path, origin):
            return None
        try:
            headers = cors.preflight(origin, given(cors.ASKED_METHOD) or "", self._check.origins)
        except Rejected as refusal:
            return _refusal(refusal)
        return SpareAnswer(cors.NO_CONTENT, b"", headers)

    async def _admit(self, given: Mapping[str, str]) -> Caller | None:
        if (known := self._check) is None:
            return None
        credential = credential_of(given.get(AUTHORIZATION, ""), given.get(API_KEY, ""))
        who = await asyncio.to_thread(known.caller, credential) if known.blocks else known.caller(credential)
        who.need(SCOPE)
        return who


def _refusal(refusal: Rejected) -> SpareAnswer:
    return SpareAnswer(refusal.status, refusal.problem.model_dump_json().encode(), refusal.headers)
