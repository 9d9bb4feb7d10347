"""Which answers a language model may order: those of users who had little yet, where nothing else decides the order.

The model is asked in the server's event loop after the door's own answer is made (words.py); the answer is logged once
its order is known. This module decides whom it is asked for, and with which titles; it asks nobody.
"""

from typing import TYPE_CHECKING

import numpy as np

from bentos.http.request_context import RequestContext
from bentos.recommender.ladder import ProfileState
from feature_repo import records

if TYPE_CHECKING:
    from bentos.recommender.door import Door


def history(door: "Door", state: ProfileState, context: RequestContext) -> tuple[str, ...]:
    """Return the titles of what a user had, the newest first; none where no model is to order this user's list.

    None of a user who had more than the spec says, of one whom no model of ours ranked for, of a copy that nobody
    sees, and none where a policy draws lists: its propensities would be of another one.
    """
    model = door.release.content.model
    if model is None or model.rerank is None or not context.reranks or context.mirrored:
        return ()
    if not state.modelled or door.exploration is not None:
        return ()
    rows, among = records.read(state.rows, door.vocabulary.signs), door.items_of(context)
    items = rows.lists["history_items"].row(0)
    if not 1 <= len(items) <= model.rerank.most_history:
        return ()
    newest = np.argsort(-rows.lists["history_last_at"].row(0), kind="stable")
    return tuple(among.titles[one] for one in items[newest].tolist() if one not in among.hidden)
