"""Remote clients of the model services: the door's ports (bentos/recommender/ports.py) over HTTP.

The door calls them as it calls the models in its own process, and the ladder answers without them when they raise.
Threads share the open connections. An answer of another release or vocabulary is not used. A service that fails is not
asked for a while (Breaker), so that only a few requests wait for it.

Letters: B rows, C targets of the intent model, M items asked about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from bentos import wire
from bentos.http import headers
from bentos.http.breaker import Breaker
from bentos.release import INTENT, RANKING, Release
from feature_repo.documents.log import Snapshot
from feature_repo.errors import DataError, StoreAway
from feature_repo.live_items import LiveItems
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

CONNECTIONS = 8  # kept to a service; more are made when needed
CONNECT_S = 0.5
VOCABULARY = "vocabulary"  # folder of a model folder
CATALOGUE_UNKNOWN = 412


class ModelAway(StoreAway):
    """A model service gave no answer that can be used: away, late, overloaded, or of another release."""


class CatalogueAway(ModelAway):
    """The ranker's service does not have the version of the catalogue that is asked about."""


@dataclass(frozen=True)
class Recommended:
    """One recommended item, as ports.Recommended."""

    item_index: int
    score: float
    source: str
    reasons: dict[str, float]
    algorithm: str | None = None


@dataclass(frozen=True)
class Similar:
    """Items like an item, as ports.Similar."""

    items: list[Recommended]
    bases: tuple[str, ...]


@dataclass(frozen=True)
class RecommendedValue:
    """One value of an attribute, as ports.RecommendedValue."""

    value: str
    score: float
    source: str
    items: tuple[int, ...]
    reasons: dict[str, float]


@dataclass(frozen=True)
class Remote:
    """One model service, and what it must serve."""

    url: str
    release: str
    vocabulary: str  # digest
    timeout_s: float
    breaker: Breaker = field(default_factory=Breaker)
    pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=CONNECTIONS, retries=False, num_pools=2)
    )

    @classmethod
    def of(cls, url: str, release: Release) -> "Remote":
        """Return the client of a service of a release. Intents and ranking share the time of an answer."""
        return cls(url.rstrip("/"), release.id, release.vocabulary, timeout_s=release.serving.timeout_s / 2)

    def ask(
        self, path: str, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Send arrays and return the answer's; raises ModelAway where there is none."""
        body = wire.packed(arrays, fields)
        try:
            answer = self.breaker.call(lambda: self._post(path, body))
        except ModelAway:
            raise
        except StoreAway:  # the breaker's own
            raise ModelAway(f"{self.url}: failed just now; it is asked again in a moment") from None
        if answer is None:
            raise CatalogueAway(f"{self.url}{path}: does not have that version of the catalogue")
        return wire.unpacked(answer)

    def checked(self) -> "Remote":
        """Refuse a service that has another release, with DataError; one that is away is left to the ladder."""
        try:
            reply = self._request("GET", "/model", None)
        except ModelAway:
            return self
        if reply.status == 200 and (difference := self._difference(reply)):
            raise DataError(f"{self.url}: {difference}; roll the model services out with the same release")
        return self

    def _post(self, path: str, body: bytes) -> bytes | None:
        """Return the answer's body; None where the service lacks the catalogue, which is no failure of it."""
        reply = self._request("POST", path, body)
        if reply.status == CATALOGUE_UNKNOWN:
            return None
        if reply.status != 200:
            raise ModelAway(f"{self.url}{path}: {reply.status} {reply.data[:200].decode(errors='replace')}")
        if difference := self._difference(reply):
            raise ModelAway(f"{self.url}{path}: {difference}")
        return bytes(reply.data)

    def _request(self, method: str, path: str, body: bytes | None) -> urllib3.BaseHTTPResponse:
        """Ask once; where a kept connection turns out to be closed, ask once more."""
        for last in (False, True):
            try:
                return self.pool.request(
                    method,
                    self.url + path,
                    body=body,
                    headers={"Content-Type": wire.MEDIA_TYPE, headers.RELEASE: self.release},
                    timeout=urllib3.Timeout(connect=min(CONNECT_S, self.timeout_s), read=self.timeout_s),
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError as error:
                if last or not isinstance(error, urllib3.exceptions.ProtocolError):
                    raise ModelAway(f"{self.url}{path}: {type(error).__name__}: {error}") from None
        raise AssertionError("the second try returns or raises")

    def _difference(self, reply: urllib3.BaseHTTPResponse) -> str:
        """Say in which way a reply comes from another model; '' where it does not."""
        for name, header, wanted in (
            ("release", headers.RELEASE, self.release),
            ("vocabulary", headers.VOCABULARY, self.vocabulary),
        ):
            if (found := reply.headers.get(header)) != wanted:
                return f"serves {name} {found or '(none named)'}, not {wanted}"
        return ""


@dataclass(frozen=True)
class RemoteScorer:
    """Predicts intents in another process: ports.Scorer."""

    remote: Remote
    vocabulary: Vocabulary

    @classmethod
    def open(cls, url: str, release: Release) -> "RemoteScorer":
        """Return the client of the service `intent` of a release."""
        return cls(Remote.of(url, release).checked(), _vocabulary(release.folder / INTENT))

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return probabilities [B, C]."""
        arrays, _ = self.remote.ask("/predict", *wire.rows_packed(rows))
        return _shaped(arrays, "probabilities", (len(rows), len(self.vocabulary.targets)))


@dataclass(frozen=True)
class RemoteRanker:
    """Finds and orders items in another process: ports.Ranker."""

    remote: Remote
    vocabulary: Vocabulary
    catalogue: Snapshot = field(
        default_factory=Snapshot
    )  # the service ranks over it, and is given it where it lacks it
    only: dict[str, str] = field(default_factory=dict, compare=False, repr=False)  # what holds for every user

    @classmethod
    def open(cls, url: str, release: Release) -> "RemoteRanker":
        """Return the client of the service `ranking` of a release."""
        return cls(Remote.of(url, release).checked(), _vocabulary(release.folder / RANKING))

    def over(self, items: LiveItems, catalogue: Snapshot) -> "RemoteRanker":
        """Return the client of the same service over items as the document log changes them."""
        return replace(self, vocabulary=items.vocabulary, catalogue=catalogue)

    def recommend(
        self, rows: UserRows, probabilities: np.ndarray, *, k: int, exclude: frozenset[int]
    ) -> Sequence[Recommended]:
        """Return at most k items of one user (B = 1), best first."""
        arrays, fields = wire.rows_packed(rows)
        arrays |= {"probabilities": probabilities, "exclude": np.asarray(sorted(exclude), dtype=np.int64)}
        return _listed(*self._ask("/recommend", arrays, fields | {"k": k}))

    def values(
        self, rows: UserRows, probabilities: np.ndarray, *, attribute: str, k: int, exclude: frozenset[int]
    ) -> list[RecommendedValue]:
        """Return at most k values of an attribute that the release recommends, for one user (B = 1)."""
        arrays, fields = wire.rows_packed(rows)
        arrays |= {"probabilities": probabilities, "exclude": np.asarray(sorted(exclude), dtype=np.int64)}
        _, fields = self._ask("/values", arrays, fields | {"attribute": attribute, "k": k})
        return [RecommendedValue(**one | {"items": tuple(one["items"])}) for one in fields["values"]]

    def similar(self, item: int, *, k: int, exclude: frozenset[int], by: str | None) -> Similar:
        """Return at most k items like one, by all bases or one; by one that is not held, none."""
        arrays = {"exclude": np.asarray(sorted(exclude), dtype=np.int64)}
        arrays, fields = self._ask("/similar", arrays, {"item": item, "k": k, "by": by})
        return Similar(_listed(arrays, fields), tuple(fields["bases"]))

    def score(self, rows: UserRows, probabilities: np.ndarray, item_indexes: np.ndarray) -> np.ndarray:
        """Return the scores [M] of items for one user (B = 1)."""
        arrays, fields = wire.rows_packed(rows)
        arrays |= {"probabilities": probabilities, "items": np.asarray(item_indexes, dtype=np.int64)}
        arrays, _ = self._ask("/score", arrays, fields)
        return _shaped(arrays, "scores", (len(item_indexes),))

    def algorithm_of(self, rows: UserRows, probabilities: np.ndarray) -> str:
        """Name the algorithm that scores items for one user (B = 1); a release's only one is asked for once."""
        if "algorithm" in self.only:
            return self.only["algorithm"]
        arrays, fields = wire.rows_packed(rows)
        _, fields = self._ask("/algorithm", arrays | {"probabilities": probabilities}, fields)
        name = str(fields["algorithm"])
        if not fields["chosen"]:
            self.only["algorithm"] = name
        return name

    def by(self, algorithm: str) -> "RemoteRanker":
        """Refuse: the service ranks by its release's model alone."""
        raise DataError(
            f"placements: algorithm {algorithm} needs the ranker in the door's own process, and here it is a service; "
            "say algorithm: model"
        )

    def _ask(
        self, path: str, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Ask about our version of the catalogue; a service that lacks it is given the documents, and asked again."""
        fields = {**fields, "catalogue": name_of(self.catalogue)}
        try:
            return self.remote.ask(path, arrays, fields)
        except CatalogueAway:
            newest = [asdict(one) for one in self.catalogue.by_id.values()]
            self.remote.ask("/catalogue", {}, {"catalogue": name_of(self.catalogue), "newest": newest})
            return self.remote.ask(path, arrays, fields)


def _listed(arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> list[Recommended]:
    """Read items as the service lists them."""
    pairs = zip(arrays["items"].tolist(), arrays["scores"].tolist(), strict=True)
    return [
        Recommended(item, score, source, reasons, fields.get("algorithm"))
        for (item, score), source, reasons in zip(pairs, fields["sources"], fields["reasons"], strict=True)
    ]


def name_of(catalogue: Snapshot) -> str:
    """Name a version of a log.

    >>> name_of(Snapshot())
    ' 0'
    """
    return f"{catalogue.head.name} {catalogue.head.version}"


def _vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary.load(folder / VOCABULARY)


def _shaped(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of an answer; raises ModelAway where it has another shape."""
    found = arrays.get(name)
    if found is None or found.shape != shape:
        raise ModelAway(f"a model service answered no {name} {list(shape)}")
    return found
