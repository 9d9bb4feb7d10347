"""The headers that callers, the router, the doors and the model services share, by name."""

import re

RELEASE = "X-IntentFlow-Release"  # on every answer of a door
CATALOGUE = "X-IntentFlow-Catalogue"  # on an answer about items: the document log's version that it rests on
VOCABULARY = "X-IntentFlow-Vocabulary"  # on every answer of a model service
SHADOW = "X-IntentFlow-Shadow"  # with the token, to doors: the router's copies and the console's looks
CLIENT = "X-IntentFlow-Client"  # the router's, with a mark: the address that a request came from
ROOM = (
    "X-IntentFlow-Room"  # a door's, on a refusal for want of room: how many requests it lets run; to the router alone
)
REQUEST_ID = "X-Request-Id"
PATIENCE = "X-Request-Timeout-Ms"  # the caller's own

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_request_id(text: str) -> bool:
    """Tell whether a caller's id of a request may stand in logs and answers.

    >>> is_request_id("order-7"), is_request_id("two words")
    (True, False)
    """
    return _ID.fullmatch(text) is not None
