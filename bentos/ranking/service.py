"""The BentoML service `ranking`: the ranker behind the door, as a process of its own.

By default the door has the ranker in its own process. An environment that scales the two apart starts this service and
sets INTENTFLOW_RANKING_URL at the door. The routes are in bentos/models.py, the format of bodies in bentos/wire.py.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import bentoml
import numpy as np

from bentos import models, wire
from bentos.http.problems import refused
from bentos.recommender.ports import Recommended
from bentos.release import RANKING, Release
from bentos.remote import CATALOGUE_UNKNOWN, name_of
from feature_repo.documents.changes import Newest
from feature_repo.documents.log import Snapshot
from feature_repo.errors import DataError
from feature_repo.live_items import live
from feature_repo.rows import UserRows

NOTHING_CHANGED = name_of(Snapshot())
KEPT = 4  # versions of the catalogue: doors change theirs within seconds of each other

app = models.create_app("/recommend", "/score", "/algorithm", "/similar", "/values", "/catalogue")


@bentoml.service(name="ranking", workers=1, traffic={"timeout": 65}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Ranking:
    """Finds and orders items for users."""

    def __init__(self) -> None:
        app.state.model_app = self._model_app = models.opened(load)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let running requests end."""
        self._model_app.pool.close()


def load(release: Release) -> tuple[str, Mapping[str, models.Call]]:
    """Load the release's ranker; return its vocabulary's digest and its calls."""
    from components.ranking import open_catalogue
    from components.ranking.score import Ranker

    ranker = Ranker.served(release.folder / RANKING)
    targets = len(ranker.vocabulary.targets)
    over: OrderedDict[str, Ranker] = OrderedDict({NOTHING_CHANGED: ranker})

    def asked_over(fields: Mapping[str, Any]) -> Ranker:
        found = over.get(str(fields.get("catalogue", NOTHING_CHANGED)))
        if found is None:
            raise refused("catalogue", "is not here", "one that was sent", status=CATALOGUE_UNKNOWN)
        return found

    def catalogue(_: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        newest = sorted(map(_newest, fields["newest"]), key=lambda one: one.first)
        items = live(ranker.vocabulary, newest)
        over[str(fields["catalogue"])] = open_catalogue.over(ranker, items)
        while len(over) > KEPT:
            del over[next(name for name in over if name != NOTHING_CHANGED)]
        return wire.packed({}, {"items": len(items.changed)})

    def recommend(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        exclude = frozenset(_integers(arrays, "exclude").tolist())
        found = asked_over(fields).recommend(rows, probabilities, k=_k(fields), exclude=exclude)
        return _listed(found)

    def similar(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        exclude, by = frozenset(_integers(arrays, "exclude").tolist()), fields.get("by")
        item = fields.get("item")
        if not isinstance(item, int) or not (by is None or isinstance(by, str)):
            raise DataError(f"body: item is {item!r}, by {by!r}; allowed: a position, and a name or null")
        found = asked_over(fields).similar(item, k=_k(fields), exclude=exclude, by=by)
        return _listed(found.items, bases=list(found.bases))

    def score(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        scores = asked_over(fields).score(rows, probabilities, _integers(arrays, "items"))  # [M]
        return wire.packed({"scores": scores})

    def algorithm(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        over_now = asked_over(fields)
        chosen = over_now.chosen_of(rows, probabilities[None]) is not None
        return wire.packed({}, {"algorithm": over_now.algorithm_of(rows, probabilities), "chosen": chosen})

    def values(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        exclude, attribute = frozenset(_integers(arrays, "exclude").tolist()), str(fields.get("attribute"))
        over_now = asked_over(fields)
        found = over_now.values(rows, probabilities, attribute=attribute, k=_k(fields), exclude=exclude)
        return wire.packed({}, {"values": [asdict(one) for one in found]})

    calls = {
        "/recommend": recommend,
        "/score": score,
        "/algorithm": algorithm,
        "/similar": similar,
        "/values": values,
        "/catalogue": catalogue,
    }
    return ranker.vocabulary.digest, calls


def _listed(found: Sequence[Recommended], **more: Any) -> bytes:
    """Write items as the door reads them."""
    items = {
        "items": np.asarray([one.item_index for one in found], dtype=np.int64),
        "scores": np.asarray([one.score for one in found], dtype=np.float64),
    }
    told = {"sources": [o.source for o in found], "reasons": [o.reasons for o in found]}
    spoke = next((one.algorithm for one in found if one.algorithm), None)  # one answers for all items of a user
    return wire.packed(items, told | ({} if spoke is None else {"algorithm": spoke}) | more)


def _newest(given: Mapping[str, Any]) -> Newest:
    """Read a document as the door sends it."""
    return Newest(given["kind"], given["id"], given["version"], tuple(given["first"]), given["document"])


def _one(arrays: models.Arrays, fields: Mapping[str, Any], targets: int) -> tuple[UserRows, np.ndarray]:
    """Read one user's row and intents [C]."""
    rows, probabilities = wire.rows_unpacked(arrays, fields), arrays.get("probabilities")
    if len(rows) != 1 or probabilities is None or probabilities.shape != (targets,):
        raise DataError(f"body: allowed is one row and its {targets} probabilities")
    return rows, probabilities


def _integers(arrays: models.Arrays, name: str) -> np.ndarray:
    found = arrays.get(name)
    if found is None or found.ndim != 1 or found.dtype != np.int64:
        raise DataError(f"body: {name} is no list of int64")
    return found


def _k(fields: Mapping[str, Any]) -> int:
    k = fields.get("k")
    if not isinstance(k, int) or k < 1:
        raise DataError(f"body: k is {k!r}; allowed: 1 or more")
    return k
