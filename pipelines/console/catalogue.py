"""The items of a release as the document log changes them: names, prices, pictures. Nothing is ranked here."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bentos.access import USUAL_PORTS
from feature_repo import columns
from feature_repo.errors import nearest
from pipelines.environment import Installation

if TYPE_CHECKING:
    from feature_repo.vocabulary import Vocabulary

KEPT = 2  # catalogues: one release's at its newest version, and the one before
NEAR_AMONG = 5000  # ids that a mistyped one is compared with
_lock = threading.Lock()
_kept: "OrderedDict[tuple[str, ...], Catalogue]" = OrderedDict()


@dataclass(frozen=True)
class Catalogue:
    """Items by id."""

    vocabulary: "Vocabulary"

    @cached_property
    def _titles(self) -> list[str | None]:
        titles: list[str | None] = self.vocabulary.items[columns.TITLE].to_pylist()
        return titles

    def row(self, item_id: str) -> Mapping[str, Any]:
        """Return an item's columns; {} for one that is not in the catalogue."""
        place = self.vocabulary.index_of_item.get(item_id)
        return {} if place is None else self.vocabulary.items.slice(place, 1).to_pylist()[0]

    def title(self, item_id: str) -> str:
        """Return an item's name, or its id."""
        place = self.vocabulary.index_of_item.get(item_id)
        return (None if place is None else self._titles[place]) or item_id

    def knows(self, item_id: str) -> bool:
        """Tell whether an id is an item's."""
        return self.vocabulary.knows(item_id)

    def nearest(self, item_id: str) -> str:
        """Name the closest id, as the tail of an error message."""
        return nearest(item_id, self.vocabulary.item_ids[:NEAR_AMONG])


def of(place: Installation, release_id: str = "") -> Catalogue:
    """Return a release's catalogue at the log's newest version; '' is the champion's. Raises what the stores raise."""
    from bentos.release import RANKING, Release
    from feature_repo import release_folder
    from feature_repo.documents.log import Snapshot
    from feature_repo.documents.opened import document_log_if_any
    from feature_repo.live_items import of_log
    from feature_repo.vocabulary import Vocabulary
    from pipelines.releases import release as releases

    with releases.variables(place):
        folder = releases.models_of(place.home, release_id or "none")
        if not release_folder.holds(folder):
            folder = releases.assembled(place, releases.resolved(place))
        log = document_log_if_any(place.spec.name)
        head = None if log is None else log.head()
        key = (str(folder), *(map(str, (head.name, head.version)) if head else ()))
        with _lock:
            if key not in _kept:
                release = Release.load(folder)
                own = Vocabulary.load(Path(folder) / RANKING / "vocabulary")
                held = Snapshot() if log is None else log.refreshed(Snapshot())
                _kept[key] = Catalogue(of_log(own, held, under=release.key).vocabulary)
                while len(_kept) > KEPT:
                    _kept.popitem(last=False)
            return _kept[key]


def price_of(row: Mapping[str, Any]) -> float | None:
    """Return an item's price, None where the catalogue has none."""
    value = row.get(columns.PRICE)
    return float(value) if isinstance(value, int | float) and value == value else None


def picture_of(row: Mapping[str, Any], column: str, origins: tuple[str, ...]) -> str:
    """Return the address of an item's picture, '' where it has none or it is of no declared origin.

    >>> picture_of({"image": "https://img.example/1.jpg"}, "image", ("https://img.example",))
    'https://img.example/1.jpg'
    >>> picture_of({"image": "https://elsewhere.example/1.jpg"}, "image", ("https://img.example",))
    ''
    """
    value = row.get(column) if column else None
    if not isinstance(value, str):
        return ""
    try:
        parts = urlsplit(value.strip())
        port = "" if parts.port is None or str(parts.port) == USUAL_PORTS.get(parts.scheme) else f":{parts.port}"
    except ValueError:
        return ""
    return value.strip() if f"{parts.scheme}://{parts.hostname}{port}" in origins else ""
