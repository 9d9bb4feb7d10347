"""A tiny world for the door: six items, three intents, models and a profile store that fit on one page."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bentos.endpoints.operations import OPERATIONS
from bentos.http.request_context import RequestContext
from bentos.recommender.clock import DataEndClock
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from bentos.release import Release
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.documents.log import DocumentLog
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import StoreAway
from feature_repo.fallback import Fallback, ListedItem
from feature_repo.live_items import LiveItems
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Target, Vocabulary

KEY = "00ff"
OPERATION_OF = {operation.contract.asks: operation for operation in OPERATIONS}
DATA_END = int(dt.datetime(2017, 12, 31, tzinfo=dt.UTC).timestamp())
ITEMS = ["apple", "pear", "leek soup", "pea soup", "bread", "tea"]
IDS = ["i0", "i1", "i2", "i3", "i4", "i5"]


def vocabulary() -> Vocabulary:
    items = pa.table(
        {
            "item_index": range(6),
            "item_id": IDS,
            "title": [*ITEMS[:5], None],  # i5 has no title
            "kind": ["fruit", "fruit", "soup", "soup", None, None],
        }
    )
    targets = (
        Target("buy", "FRUIT", "purchase", "category"),
        Target("buy", "SOUP", "purchase", "category"),
        Target("visit", None, None, None),
    )
    pairs = pa.table({"item_id": ["i0", "i1", "i2", "i3"], "target_id": [0, 0, 1, 1], "kind": ["purchase"] * 4})
    return Vocabulary(targets, items, pairs)


@dataclass
class TinyScorer:
    """FRUIT gets likelier with each item in the history; SOUP and visit stand still."""

    vocabulary: Vocabulary

    def predict(self, rows: UserRows) -> np.ndarray:
        events = rows.numbers["events_total"]
        return np.stack([events / (events + 1), np.full(len(rows), 0.2), np.full(len(rows), 0.4)], axis=1)


@dataclass
class TinyRanker:
    """Items of the history first, the last bought on top; the rest by number, as popular."""

    vocabulary: Vocabulary
    hidden: frozenset[int] = frozenset()

    def over(self, items: LiveItems, _: object) -> "TinyRanker":
        return TinyRanker(items.vocabulary, items.hidden)

    def recommend(
        self, rows: UserRows, probabilities: np.ndarray, *, k: int, exclude: frozenset[int]
    ) -> list[SimpleNamespace]:
        had = list(dict.fromkeys(rows.lists["history_items"].row(0)[::-1].tolist()))
        every = range(len(self.vocabulary.item_ids))
        order = [i for i in [*had, *(i for i in every if i not in had)] if i not in exclude | self.hidden]
        return [
            SimpleNamespace(
                item_index=i,
                score=1.0 - n / 10,
                source="history" if i in had else "popular",
                reasons={"intent": float(probabilities[0])},
                algorithm=None,
            )
            for n, i in enumerate(order[:k])
        ]

    def algorithm_of(self, rows: UserRows, probabilities: np.ndarray) -> str:
        return "network"

    def score(self, rows: UserRows, probabilities: np.ndarray, item_indexes: np.ndarray) -> np.ndarray:
        return np.asarray(item_indexes, dtype=np.float32) / 10

    def values(
        self, rows: UserRows, probabilities: np.ndarray, *, attribute: str, k: int, exclude: frozenset[int]
    ) -> list[SimpleNamespace]:
        """The kinds of the items as they are recommended, each once."""
        kinds: dict[str, list[int]] = {}
        for one in self.recommend(rows, probabilities, k=99, exclude=exclude):
            if kind := self.vocabulary.items[attribute][one.item_index].as_py():
                kinds.setdefault(kind, []).append(one.item_index)
        return [
            SimpleNamespace(value=kind, score=1 / n, source="history", items=tuple(items), reasons={})
            for n, (kind, items) in enumerate(list(kinds.items())[:k], 1)
        ]

    def similar(self, item: int, *, k: int, exclude: frozenset[int], by: str | None) -> SimpleNamespace:
        """Items are alike whose numbers are near; there is one basis."""
        near = sorted(set(range(len(self.vocabulary.item_ids))) - {item, *exclude}, key=lambda i: (abs(i - item), i))
        items = [
            SimpleNamespace(
                item_index=i, score=1 / abs(i - item), source="neighbours", reasons={"neighbours": 1 / abs(i - item)}
            )
            for i in (near[:k] if by in (None, "neighbours") else [])
        ]
        return SimpleNamespace(items=items, bases=("neighbours",))


@dataclass
class TinyProfiles:
    """Keeps, by pseudonym, when a user was last seen and what was bought."""

    bought: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)  # of all events, in order
    segments: dict[str, int] = field(default_factory=dict)
    down: bool = False
    reads: int = 0  # that reached the store
    gone: set[str] = field(default_factory=set)  # pseudonyms whose tombstones the store has

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        self.reads += 1
        if self.down:
            raise StoreAway("the store is down")
        state, items = zip(*(self.bought.get(user, (0, [])) for user in user_ids), strict=True)
        lengths = [len(i) for i in items]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        history = {
            "history_items": np.concatenate([np.asarray(i, dtype=np.int32) for i in items]),
            "history_weeks": np.ones(sum(lengths), dtype=np.float32),
            "history_slow": np.full(sum(lengths), 0.96, dtype=np.float32),
            "history_fast": np.full(sum(lengths), 0.8, dtype=np.float32),
            "history_first_at": np.repeat(np.asarray(state, dtype=np.int64) - 1, lengths),
            "history_last_at": np.repeat(np.asarray(state, dtype=np.int64) - 1, lengths),
        }
        return UserRows(
            user_id=np.asarray(user_ids, dtype=object),
            now=np.full(len(user_ids), now, dtype=np.int64),
            state_at=np.asarray(state, dtype=np.int64),
            known=np.asarray([s > 0 for s in state]),
            numbers={
                "events_total": np.asarray(lengths, dtype=np.float64),
                "segment": np.asarray([float(self.segments.get(user, -1)) for user in user_ids]),
            },
            lists={name: Ragged(values.astype(LIST_TYPES[name]), offsets) for name, values in history.items()},
        )

    def forgotten(self, user_ids: Sequence[str]) -> frozenset[str]:
        if self.down:
            raise StoreAway("the store is down")
        return frozenset(self.gone.intersection(user_ids))

    def heard_of(self, user_id: str) -> bool:
        return user_id in self.gone

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> None:
        if self.down:
            raise StoreAway("the store is down")
        for user, theirs in events.items():
            _, items = self.bought.get(user, (0, []))
            self.sessions += [event.session_id for event in theirs]
            new = [int(event.item_id[1:]) for event in theirs if event.item_id in IDS]
            self.bought[user] = (max(event.at for event in theirs) + 1, items + new)


def fallback() -> Fallback:
    """Soup lovers have soups, everyone has fruit; nobody bought i5 lately."""
    rates = np.asarray([[0.1, 0.6, 0.5], [0.3, 0.2, 0.4]], dtype=np.float32)
    soups = ListedItem(np.asarray([3, 2, 0]), np.asarray([0.5, 0.4, 0.1]))
    everyone = ListedItem(np.asarray([0, 1, 2, 3, 4]), np.asarray([0.4, 0.3, 0.2, 0.2, 0.1]))
    return Fallback("segs", ("soup, bread",), rates, (soups, everyone))


def release_document(vocabulary_digest: str, **serving: Any) -> dict[str, Any]:
    rest = {
        "name": "tiny",
        "intent": {"version": "1", "digest": "a"},
        "ranking": {"version": "1", "digest": "b"},
        "policy": "greedy@1",
        "prompt": "template@1",
        "vocabulary": vocabulary_digest,
        "serving": {
            "name": "tiny",
            "calendar": {"first_day": "2016-12-26", "timezone": "America/New_York"},
            "data_end": dt.datetime.fromtimestamp(DATA_END, dt.UTC).isoformat(),
            "profiles": {"ttl_days": 120},
            "intents": [],
            "ranking": {"recommend": ["kind"]},
            "serving": {"k": 3, "max_k": 50} | serving,
        },
    }
    return {"id": files.digest(rest), **rest}


def asked(door: Door, ask: Any) -> Any:
    """Ask a door without HTTP; the model of the request says which endpoint."""
    return OPERATION_OF[type(ask)].answer(door, ask, RequestContext())


@dataclass
class World:
    """A door over tiny parts, and what it writes."""

    folder: Path
    profiles: TinyProfiles = field(default_factory=TinyProfiles)
    clock: DataEndClock = field(default_factory=lambda: DataEndClock(DATA_END))
    tombstones: Tombstones | None = None
    scorer: Any = field(default_factory=lambda: TinyScorer(vocabulary()))
    ranker: Any = field(default_factory=lambda: TinyRanker(vocabulary()))
    documents: DocumentLog | None = None  # what people change live

    def release(self, **serving: Any) -> Release:
        words = vocabulary()
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_json(self.folder / "release.json", release_document(words.digest, **serving))
        return Release.load(self.folder)

    def door(self, **serving: Any) -> Door:
        return Door(
            self.release(**serving),
            self.scorer,
            self.ranker,
            self.profiles,
            RequestLog(self.folder / "requests"),
            self.clock,
            events=EventLog(self.folder / "events"),
            fallback=fallback(),
            key=KEY,
            tombstones=self.tombstones,
            documents=self.documents,
            grow=self.ranker.over if self.documents else None,
            folds=Folding(Calendar("2016-12-26", "America/New_York"), self.ranker.vocabulary, (7, 28, 91)),
        )

    def log(self) -> DocumentLog:
        """Return the document log of all doors of this world."""
        return DocumentLog(SqliteShelf(str(self.folder / "online.db"), "tiny"))

    def knows(self, user: str, *items: int, days_ago: float = 1.0, segment: int = -1) -> None:
        """Give a user a history that ended so long before the end of the data."""
        self.profiles.segments[self.hidden(user)] = segment
        self.profiles.bought[self.hidden(user)] = (DATA_END - int(days_ago * 86400), list(items))

    @staticmethod
    def hidden(user: str) -> str:
        return pseudonym(user, KEY)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="session")
def trained_toy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy of toy.py for all tests of this folder. Who changes its store spoils it for who comes after."""
    from tests.bentos import toy

    return toy.copied(tmp_path_factory)
