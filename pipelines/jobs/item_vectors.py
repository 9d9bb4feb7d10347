"""The job `materialise` and vectors of items: encode what no release's own vectors cover, and put it into the log.

That is every item that came later, every item whose text or image the log changed, and what a training's budget left
over. A door reads the log, so it needs no encoder. A document holds an item's vector by the encoder of each release in
use, and says of which text it was made: a text that changes again is encoded again.
"""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.vectors import build, image
from components.vectors.build import Work
from components.vectors.spec import Vectors
from components.vectors.steps import popularity
from feature_repo.documents.changes import ITEM, MOST_DOCUMENTS, MOST_ENTRIES, VECTOR, Document
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.item_vectors import BY_ENCODER, FOLDER, IMAGE, PARTS, TEXT, ItemVectors, document, text_of
from feature_repo.live_items import live
from feature_repo.vocabulary import Vocabulary

WHO = "job materialise"
TRIES = 20
log = logging.getLogger("intentflow")
Made = Mapping[str, tuple[str, np.ndarray]]  # by part: of what, and the vector


@dataclass(frozen=True)
class Release:
    """What of a release's ranker tells which of its items lack a vector."""

    vectors: ItemVectors
    vocabulary: Vocabulary
    popularity: np.ndarray  # [I]

    @property
    def spec(self) -> Vectors:
        """Return the slice that the release's vectors were made by."""
        return Vectors.model_validate(self.vectors.about["spec"])

    @classmethod
    def load(cls, ranking: Path) -> "Release | None":
        """Read a ranking folder, None where it has no vectors."""
        if not (ranking / FOLDER).is_dir():
            return None
        vocabulary = Vocabulary.load(ranking / "vocabulary")
        state = pq.read_table(ranking / "item_state.parquet")
        vectors = ItemVectors.load(ranking / FOLDER, vocabulary.item_ids)
        return cls(vectors, vocabulary, popularity(state, len(vocabulary.item_ids)))


def bring(log_: DocumentLog, rankers: Sequence[Path], work: Work, *, at: dt.datetime) -> dict[str, int]:
    """Put the vectors that are missing into the log, at most a change's worth; return how many, and how many wait."""
    releases = {one.vectors.encoder: one for one in map(Release.load, rankers) if one is not None}
    for _ in range(TRIES):
        held = log_.refreshed(Snapshot())
        said, waiting = missing(held, list(releases.values()), work)
        if not said:
            return {"item_vectors": 0, "item_vectors_waiting": waiting}
        try:
            log_.put(VECTOR, list(said.items()), who=WHO, at=at, after=held)
            return {"item_vectors": len(said), "item_vectors_waiting": waiting}
        except Behind:
            continue  # what was encoded is in the cache
    raise Behind


def missing(held: Snapshot, releases: Sequence[Release], work: Work) -> tuple[dict[str, Document], int]:
    """Return the documents of items that lack a vector, and how many items a later run is left with."""
    known, waiting = held.of(VECTOR), 0
    found: dict[str, dict[str, Made]] = {}
    room = min(MOST_ENTRIES, MOST_DOCUMENTS - len(known))
    in_use = {one.vectors.encoder for one in releases}
    for release in releases:
        made, left = _missing_of(release, held, work, most=room)
        waiting += left
        for item, parts in made.items():
            if item in found or len(found) < room:
                found[item] = {**found.get(item, {}), release.vectors.encoder: parts}
            else:
                waiting += 1
    documents: dict[str, Document] = {}
    for item, encoders in found.items():
        before = known[item].document if item in known else None
        kept = {name: one for name, one in (before or {}).get(BY_ENCODER, {}).items() if name in in_use}
        documents[item] = {BY_ENCODER: kept | document(encoders)[BY_ENCODER]}
    return documents, waiting


def _missing_of(release: Release, held: Snapshot, work: Work, *, most: int) -> tuple[dict[str, Made], int]:
    """Return by item what a release's encoder says of those that lack a vector: later ones, then the most popular."""
    spec = release.spec
    if build.made_by(spec, work.base) != release.vectors.encoder:
        log.warning("vectors: the encoder of a release in use is another one here; its new items wait for a training")
        return {}, 0
    items = live(release.vocabulary, [*held.of(ITEM).values(), *held.of(VECTOR).values()])
    table, learnt = items.vocabulary.items, len(release.vectors)
    now = release.vectors.over(table, items.vectors)
    rank = np.concatenate([release.popularity, np.full(table.num_rows - learnt, np.inf)])
    order = [int(item) for item in np.argsort(-rank, kind="stable") if int(item) not in items.hidden]
    rows = table.to_pylist()
    wanted = {item: now.wanted(rows[item]) for item in order}
    lack = {item: [p for p in PARTS if wanted[item][p] and wanted[item][p] != now.digests[p][item]] for item in order}
    todo = [item for item in order if lack[item]]
    texts = {wanted[i][TEXT]: text_of(rows[i], now.columns_of_text) for i in todo[:most] if TEXT in lack[i]}
    vectors = build.encoded(texts, spec, work).vectors if texts else {}
    pictured = np.asarray([i for i in todo[:most] if IMAGE in lack[i]], dtype=np.int64)
    images = _images(table.take(pictured), spec, now)
    found: dict[str, Made] = {}
    for item in todo[:most]:
        name, parts = items.vocabulary.item_ids[item], {}
        if TEXT in lack[item] and (vector := vectors.get(wanted[item][TEXT])) is not None:
            parts[TEXT] = (wanted[item][TEXT], vector)
        if IMAGE in lack[item] and name in images:
            parts[IMAGE] = (wanted[item][IMAGE], images[name])
        if parts:
            found[name] = parts
    return found, len(todo) - len(found)


def _images(items: Any, spec: Vectors, now: ItemVectors) -> Mapping[str, np.ndarray]:
    """Read the image vectors of items; each must have the length of the release's own."""
    if spec.image is None or not items.num_rows or not now.image.vectors.shape[1]:
        return {}
    return image.vectors(image.ids(items), image.rows_of(items, spec.image.column), width=now.image.vectors.shape[1])
