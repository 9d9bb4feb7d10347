"""What a door keeps of its model's texts: each under the digest of what it was made from, and what today has cost.

One SQLite file that all processes of a door share. A text that rests on facts about a person stands under a digest of
the person's pseudonym, so that `forget` finds it; it holds no id. A day's spending is claimed before a call and
corrected after it, so that calls at once do not pass the bound together.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from components.content.llm.spec import Budget

FOLDER, FILE = "words", "texts.sqlite"
DAY_S = 86_400
TABLES = """
CREATE TABLE IF NOT EXISTS texts (digest TEXT PRIMARY KEY, text TEXT NOT NULL, person TEXT NOT NULL, item TEXT NOT NULL,
                                  at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_person ON texts (person);
CREATE TABLE IF NOT EXISTS spent (day INTEGER PRIMARY KEY, tokens INTEGER NOT NULL, seconds REAL NOT NULL,
                                  money REAL NOT NULL);
"""
MOST = 200_000  # texts; the oldest go beyond it


@dataclass(frozen=True)
class Cost:
    """What a call takes, or a day has taken."""

    tokens: int = 0
    seconds: float = 0.0
    money: float = 0.0


def digest(*parts: object) -> str:
    """Return the digest that a text stands under: of facts, prompt, model and settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def hidden(pseudonym: str) -> str:
    """Return what stands for a person here; '' for nobody."""
    return hashlib.sha256(b"words" + pseudonym.encode()).hexdigest()[:32] if pseudonym else ""


class Store:
    """Keeps texts and spending in one file."""

    def __init__(self, home: Path) -> None:
        folder = home / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._one = threading.Lock()
        self._base = _opened(folder / FILE)
        with self._base:
            self._base.executescript(TABLES)

    def text(self, key: str, *, now: int, days: int) -> str | None:
        """Return a text that is not older than so many days."""
        with self._one:
            found = self._base.execute(
                "SELECT text FROM texts WHERE digest = ? AND at > ?", (key, now - days * DAY_S)
            ).fetchone()
        return None if found is None else str(found[0])

    def keep(self, key: str, text: str, *, person: str, item: str, now: int) -> None:
        """Keep a text; `person` is the pseudonym of whom it says something, '' for nobody."""
        with self._one, self._base:
            self._base.execute(
                "INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?, ?)", (key, text, hidden(person), hidden(item), now)
            )
            self._base.execute(
                "DELETE FROM texts WHERE rowid IN (SELECT rowid FROM texts ORDER BY at DESC LIMIT -1 OFFSET ?)", (MOST,)
            )

    def claim(self, cost: Cost, budget: Budget, *, now: int) -> bool:
        """Claim what a call may cost at most; False where the day's budget does not hold it."""
        with self._one, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            spent = self._spent(now)
            fits = (
                spent.tokens + cost.tokens <= budget.tokens
                and spent.seconds < budget.seconds
                and (budget.money is None or spent.money + cost.money <= budget.money)
            )
            if fits:
                self._add(cost, now)
            return fits

    def settle(self, claimed: Cost, real: Cost, *, now: int) -> None:
        """Put what a call did cost in the place of what was claimed for it."""
        difference = {name: value - getattr(claimed, name) for name, value in asdict(real).items()}
        with self._one, self._base:
            self._add(Cost(**difference), now)

    def spent(self, *, now: int) -> Cost:
        """Return what the day of a time has cost."""
        with self._one:
            return self._spent(now)

    def close(self) -> None:
        """Close the file."""
        with self._one:
            self._base.close()

    def _spent(self, now: int) -> Cost:
        row = self._base.execute("SELECT tokens, seconds, money FROM spent WHERE day = ?", (now // DAY_S,)).fetchone()
        return Cost() if row is None else Cost(*row)

    def _add(self, cost: Cost, now: int) -> None:
        self._base.execute(
            "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (day) DO UPDATE SET tokens = tokens + excluded.tokens, "
            "seconds = seconds + excluded.seconds, money = money + excluded.money",
            (now // DAY_S, cost.tokens, cost.seconds, cost.money),
        )


def forget(home: Path, pseudonyms: Sequence[str]) -> int:
    """Take out all texts about people, also where they are items; return how many went."""
    path = home / FOLDER / FILE
    if not path.exists():
        return 0
    base, gone = _opened(path), 0
    try:
        with base:
            for one in map(hidden, filter(None, pseudonyms)):
                gone += base.execute("DELETE FROM texts WHERE person = ? OR item = ?", (one, one)).rowcount
    finally:
        base.close()
    return gone


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level="DEFERRED")
    base.execute("PRAGMA secure_delete = ON")  # what was deleted is overwritten, not only unlinked
    return base
