"""GET /internal/popular: what the router answers /recommend from while every door is away. For the router alone.

The document is what the ladder's lowest rung says of anyone: it holds no user, and no segment, since no request names
one. Its list is long enough that every answer made of it has the items that the door's own `popular` rung would show,
whatever the request excludes. It is sealed with a digest, so that a damaged one is told from a whole one, on the wire
and in the router's file alike.
"""

import datetime as dt
import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from bentos.endpoints.recommend import (
    MOST_EXCLUDED,
    TOP_INTENTS,
    Item,
    Recommendations,
    RecommendRequest,
    require_somebody,
    shown,
    wanted,
)
from bentos.endpoints.schemas import AnswerPart, Intent, Profile
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.ids import plain

if TYPE_CHECKING:
    from bentos.recommender.door import Door

LARGEST_BYTES = 2 << 20
DIGEST = "digest"
ALWAYS = 1.0  # the propensity: nothing is drawn
Auth = Literal["none", "keys", "jwt", "both"]


class PopularDocument(AnswerPart):
    """What is popular with everyone, by one release."""

    format: Literal[1] = 1
    release: str = Field(min_length=1, max_length=64)
    catalogue_version: int | None = Field(default=None, description="Of the document log, as answers say it")
    made_at: AwareDatetime
    auth: Auth = Field(description="How the door recognises callers: who answers in its place does the same")
    k: int = Field(ge=1, description="Items in an answer that does not say how many")
    max_k: int = Field(ge=1, description="Most items that a request may ask for")
    exclude_self: bool = Field(default=False, description="Items are users: nobody is shown the one of their own id")
    people: bool = Field(
        default=False, description="Items are users by pseudonym: who has no key cannot tell whom not to show"
    )
    timeout_s: float = Field(gt=0, description="The door's own deadline: silent for longer, it is away")
    items: Sequence[Item] = Field(description="Best first, as an answer shows them; none where items are people")
    intents: Sequence[Intent]

    @model_validator(mode="after")
    def _has_items(self) -> "PopularDocument":
        if not self.items and not self.people:
            raise ValueError("items: there are none; a document of items has one or more")
        return self


def document(door: "Door", *, auth: Auth, made_at: dt.datetime) -> PopularDocument:
    """Write down what a door's lowest rung answers; no people: a router shows none and would keep them."""
    serving = door.release.serving
    mine = door.release.ranking.exclude_self
    among = door.catalogue.current
    items, intents = door.popular(among, items=serving.max_k + MOST_EXCLUDED + mine, intents=TOP_INTENTS)
    return PopularDocument(
        release=door.release.id,
        catalogue_version=among.version,
        made_at=made_at,
        auth=auth,
        k=serving.k,
        max_k=serving.max_k,
        exclude_self=mine,
        people=door.release.ranking.people,
        timeout_s=serving.timeout_s,
        items=[] if door.release.ranking.people else shown(among, [(one, ALWAYS) for one in items]),
        intents=intents,
    )


def sealed(found: PopularDocument) -> dict[str, Any]:
    """Return a document as JSON holds it, with the digest of all else."""
    content = found.model_dump(mode="json")
    for newer in ("exclude_self", "people"):  # routers of before have no such fields
        if not content[newer]:
            del content[newer]
    if found.catalogue_version is None:  # nor this one
        del content["catalogue_version"]
    return content | {DIGEST: files.digest(content)}


def unsealed(text: bytes) -> PopularDocument:
    """Read a sealed document; what is wrong with it is one line."""
    if len(text) > LARGEST_BYTES:
        raise DataError(f"too large: {len(text)} bytes; allowed: at most {LARGEST_BYTES}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"no JSON, {len(text)} bytes") from None
    return of_content(content)


def of_content(content: Any) -> PopularDocument:
    """Check a sealed document that was read as JSON."""
    if not isinstance(content, dict):
        raise DataError(f"no object, but {type(content).__name__}")
    rest = {name: value for name, value in content.items() if name != DIGEST}
    try:
        if content.get(DIGEST) != files.digest(rest):
            raise DataError(f"digest: {content.get(DIGEST)!r} is not that of its content; it is damaged")
        return PopularDocument.model_validate(rest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:  # NaN, which is no JSON
        raise DataError(str(error)) from None


def answer(found: PopularDocument, ask: RecommendRequest, request_id: str) -> Recommendations:
    """Answer a request from a document, in a door's place: what the user had is not known here."""
    require_somebody(ask)
    own = [plain(ask.user_id)] if found.exclude_self and ask.user_id is not None else []
    k, excluded = wanted(ask.k, k=found.k, max_k=found.max_k), frozenset([*ask.exclude, *own])
    listed = () if found.people else found.items  # nobody is shown to themselves, and who asks is not known here
    items = list(islice((item for item in listed if item.item_id not in excluded), k))
    profile = Profile(rung="popular", state_at=None, age_days=None, segment=None, degraded=True, reason="door_away")
    return Recommendations(
        items=items,
        intents=list(found.intents),
        profile=profile,
        catalogue_version=found.catalogue_version,
        release=found.release,
        request_id=request_id,
    )
