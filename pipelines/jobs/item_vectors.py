"""The job `materialise` and vectors of items: encode what no release's own vectors cover, and put it into the log.

That is every item that came later, every item whose text or image the log changed, and what a training's budget left
over. A door reads the log, so it needs no encoder. A document holds an item's vector by the encoder of each release in
use, and says of which text it was made: a text that changes again is encoded again.
"""

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.vectors import build, image
from components.vectors.build import Work
from components.vectors.spec import Vectors
from components.vectors.steps import popularity
from feature_repo.documents.changes import MOST_DOCUMENTS, MOST_ENTRIES, VECTOR, Document
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.item_vectors import BY_ENCODER, FOLDER, IMAGE, PARTS, TEXT, ItemVectors, document, text_of
from feature_repo.live_items import of_log
from feature_repo.vocabulary import Vocabulary

WHO = "job materialise"
TRIES = 20
log = logging.getLogger("intentflow")
Made = Mapping[str, tuple[str, np.ndarray]]  # by part: of what, and the vector
Asked = dict[str, dict[str, str]]  # by item and part: of what releases in use need a vector in the log


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
    releases = [one for one in map(Release.load, rankers) if one is not None]
    for _ in range(TRIES):
        held = log_.refreshed(Snapshot())
        said, waiting = missing(held, releases, work)
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
    found: dict[str, dict[str, dict[str, tuple[str, np.ndarray]]]] = {}  # by item and encoder
    asked: dict[str, Asked] = {one.vectors.encoder: {} for one in releases}
    for release in releases:
        encoder = release.vectors.encoder
        look = Look.of(release, held, asked[encoder])
        if build.made_by(release.spec, work.base) != encoder:
            log.warning("vectors: the encoder of a release in use is another one here; its new items wait for training")
            continue
        chosen = _fitting(look, known, found)
        made = look.made(chosen, work)
        waiting += len(look.lack) - len(made)
        for item, parts in made.items():
            found.setdefault(item, {}).setdefault(encoder, {}).update(parts)
    documents: dict[str, Document] = {}
    for item, encoders in found.items():
        before = known[item].document if item in known else None
        kept = _wanted((before or {}).get(BY_ENCODER, {}), item, asked)
        made_now = document(encoders)[BY_ENCODER]
        documents[item] = {
            BY_ENCODER: {name: kept.get(name, {}) | made_now.get(name, {}) for name in {**kept, **made_now}}
        }
    return documents, waiting


def _wanted(by_encoder: Mapping[str, Any], item: str, asked: Mapping[str, Asked]) -> dict[str, dict[str, Any]]:
    """Return what a document has that a release in use still asks for: its encoder, and of what the item says now."""
    parts = {
        encoder: {part: one for part, one in mine.items() if asked[encoder].get(item, {}).get(part) == one["of"]}
        for encoder, mine in by_encoder.items()
        if encoder in asked
    }
    return {encoder: mine for encoder, mine in parts.items() if mine}


def _fitting(look: "Look", known: Collection[str], found: Collection[str]) -> list[int]:
    """Return the positions of items that lack something and for which a change and the log have room, in order."""
    room, new = MOST_ENTRIES - len(found), MOST_DOCUMENTS - len({*known, *found})
    chosen = []
    for place in look.lack:
        item = look.names[place]
        if item not in found:
            if not room or (item not in known and not new):
                continue
            room, new = room - 1, new - (item not in known)
        chosen.append(place)
    return chosen


@dataclass(frozen=True)
class Look:
    """A release's items as the log has them now, and which of them lack which part of their vector."""

    release: Release
    now: ItemVectors
    items: pa.Table
    names: Sequence[str]
    wanted: Mapping[int, Mapping[str, str]]  # by position and part, of those that lack something
    lack: Mapping[int, Sequence[str]]  # the parts, by position: later items first, then the most popular

    @classmethod
    def of(cls, release: Release, held: Snapshot, asked: Asked) -> "Look":
        """Look at the items; adds to `asked` what the release needs of the log.

        The log has one vector of an item by encoder and part: where another release with the encoder asked for one of
        another text, that one stands.
        """
        live_ = of_log(release.vocabulary, held)
        own, table, names = release.vectors, live_.vocabulary.items, live_.vocabulary.item_ids
        now = own.over(table, live_.vectors, changed=live_.changed, anew=live_.anew)
        rank = np.concatenate([release.popularity, np.full(table.num_rows - len(own), np.inf)])
        parts = [part for part in PARTS if getattr(own, part).vectors.shape[1]]  # a release without any can hold none
        rows, wanted, lack = table.to_pylist(), {}, {}
        for place in map(int, np.argsort(-rank, kind="stable")):
            want = own.wanted(rows[place])
            before = {part: own.digests[part][place] if place < len(own) else "" for part in parts}
            need = {part: want[part] for part in parts if want[part] and want[part] != before[part]}
            if not need:
                continue
            stands = asked.setdefault(names[place], {})
            for part, of in need.items():
                stands.setdefault(part, of)
            missing_ = [p for p, of in need.items() if stands[p] == of != now.digests[p][place]]
            if missing_ and place not in live_.hidden:
                wanted[place], lack[place] = want, missing_
        return cls(release, now, table, names, wanted, lack)

    def made(self, places: Sequence[int], work: Work) -> dict[str, Made]:
        """Encode what items lack, within the spec's budget; return it by item."""
        spec, rows = self.release.spec, {place: self.items.slice(place, 1).to_pylist()[0] for place in places}
        written = [place for place in places if TEXT in self.lack[place]]
        texts = {self.wanted[place][TEXT]: text_of(rows[place], self.now.columns_of_text) for place in written}
        vectors = build.encoded(texts, spec, work).vectors if texts else {}
        pictured = np.asarray([place for place in places if IMAGE in self.lack[place]], dtype=np.int64)
        images = _images(self.items.take(pictured), spec, self.now)
        found: dict[str, Made] = {}
        for place in places:
            name, parts = self.names[place], {}
            if TEXT in self.lack[place] and (vector := vectors.get(self.wanted[place][TEXT])) is not None:
                parts[TEXT] = (self.wanted[place][TEXT], vector)
            if IMAGE in self.lack[place] and name in images:
                parts[IMAGE] = (self.wanted[place][IMAGE], images[name])
            if parts:
                found[name] = parts
        return found


def _images(items: pa.Table, spec: Vectors, now: ItemVectors) -> Mapping[str, np.ndarray]:
    """Read the image vectors of items; each must have the length of the release's own."""
    if spec.image is None or not items.num_rows:
        return {}
    return image.vectors(image.ids(items), image.rows_of(items, spec.image.column), width=now.image.vectors.shape[1])
