"""The session model beside the last event and Markov chains, on the same rows: what the rest of a visit holds.

A shop's funnel (does this visit reach payment?) and private messages cut by gap, as they were published (`--data`; a
set whose file is not there is skipped with the reason), and made-up visits whose truth is known. Tables come straight
to `components/intent/sessions/learn.py`, as the step `train_session` gives them.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import script
from components.data import clickstream
from components.intent.sessions.learn import learn
from components.intent.sessions.spec import SessionIntent, SessionRule
from components.resamples import MODEL
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.clock import DAY, Pace

SHARES = (0.6, 0.15)  # of the days, to train and to validate; the rest tests
MADE = "made visits"
SIDES = (MODEL, "last_event", "markov_1", "markov_2")


@dataclass(frozen=True)
class VisitSet:
    """A file of events and what is asked within its visits."""

    name: str
    file: str
    read: Callable[[Path], pd.DataFrame]
    intents: tuple[SessionIntent, ...]
    gap: str | None = "30m"


def _funnel(file: Path) -> pd.DataFrame:
    """Read user_id, event, timestamp; there are no items and no sessions."""
    found = pd.read_csv(file)
    found[columns.TIMESTAMP] = pd.to_datetime(found[columns.TIMESTAMP], utc=True)
    return found.assign(item_id=None)


def _messages(file: Path) -> pd.DataFrame:
    """Read who wrote to whom; `first` is a message to somebody whom the sender had never written to, `more` another."""
    found = pd.read_csv(file, sep=" ").sort_values("time", kind="stable")
    again = found.duplicated(["src", "dst"])
    return pd.DataFrame(
        {
            columns.USER_ID: found["src"].astype(str),
            columns.ITEM_ID: found["dst"].astype(str),
            columns.EVENT: np.where(again, "more", "first"),
            columns.TIMESTAMP: pd.to_datetime(found["time"], unit="s", utc=True),
        }
    )


def _made(file: Path) -> pd.DataFrame:
    """Read made-up visits, which have sessions of their own."""
    found: pd.DataFrame = pq.read_table(file).to_pandas()
    return found


LEAVE = SessionIntent(name="leave", ends=True)
SETS = (
    VisitSet("funnel", "funnel.csv", _funnel, (SessionIntent(name="pays", event="payment_done"), LEAVE)),
    VisitSet("messages", "collegemsg.txt", _messages, (SessionIntent(name="writes_to_new", event="first"), LEAVE)),
)
SHOP = VisitSet(
    MADE,
    "events/part-00000.parquet",
    _made,
    (SessionIntent(name="buy", event="purchase"), SessionIntent(name="cart", event="cart"), LEAVE),
    gap=None,
)


def measure(asked: argparse.Namespace) -> script.Document:
    """Fit and judge a model on each set."""
    wanted = () if asked.quick else tuple(one for one in SETS if not asked.only or one.name in asked.only)
    found = {one.name: _measured(one, asked.data) for one in wanted}
    if asked.quick or not asked.only or MADE in asked.only:
        with tempfile.TemporaryDirectory(prefix="intentflow-sessions-") as folder:
            users = 600 if asked.quick else 6000
            made = {"items": 1000, "categories": 10, "days": 42, "visits_per_user": 2, "seed": 1}
            clickstream.write_events(Path(folder), users=users, **made)
            found[MADE] = _measured(SHOP, Path(folder))
    return {"sets": found}


def _measured(one: VisitSet, data: Path) -> script.Document:
    script.note(f"{one.name}: {one.file}")
    if not (data / one.file).is_file():
        return {"skipped": f"no {one.file} in {data}"}
    frame = one.read(data / one.file)
    table, calendar, split = _laid_out(frame)
    found = learn(table, None, SessionRule(intents=one.intents, gap=one.gap), split=split, calendar=calendar)
    judged = found.evaluation
    return {
        "events": found.counts["events"],
        "visits": found.told,
        "sessions": found.counts["sessions"],
        "test": {name: judged.test[name] for name in ("rows", "sessions", "users")},
        "auroc": {MODEL: judged.test["auroc"], **{name: b["auroc"] for name, b in judged.baselines.items()}},
        "bce": {MODEL: judged.test["bce"], **{name: b["bce"] for name, b in judged.baselines.items()}},
        "by_intent": {
            intent.name: {
                MODEL: judged.test[f"auroc:{intent.name}"],
                **{name: b[f"auroc:{intent.name}"] for name, b in judged.baselines.items()},
            }
            for intent in one.intents
        },
        "difference": {name: entry["interval"] for name, entry in judged.differences["auroc"].items()},
        "by_position": judged.by_position,
    }


def _laid_out(frame: pd.DataFrame) -> tuple[pa.Table, Calendar, dict[str, list[int]]]:
    """Return canonical events, and days split in order of time; events without sessions have one a user and day."""
    stamps = frame[columns.TIMESTAMP]
    users = frame[columns.USER_ID].astype(str)
    named = columns.SESSION_ID in frame
    sessions = frame[columns.SESSION_ID].astype(str) if named else users + " " + stamps.dt.strftime("%Y-%m-%d")
    items = frame[columns.ITEM_ID]
    table = pa.table(
        {
            columns.USER_ID: pa.array(users, pa.string()),
            columns.ITEM_ID: pa.array([None if item is None else str(item) for item in items], pa.string()),
            columns.EVENT: pa.array(frame[columns.EVENT].astype(str), pa.string()),
            columns.TIMESTAMP: pa.array(stamps.dt.floor("s"), pa.timestamp("us", tz="UTC")),
            columns.SESSION_ID: pa.array(sessions, pa.string()),
        }
    )
    calendar = Calendar.starting(stamps.min(), timezone="UTC", week_start="monday", pace=Pace(DAY))
    # By events, not by days: some sets are dense at their beginning.
    day = np.sort(calendar.weeks(stamps.astype("datetime64[s, UTC]").astype("int64").to_numpy()))
    first, second = (int(day[int(share * len(day))]) for share in (SHARES[0], sum(SHARES)))
    parts = {"train": (1, first), "validate": (first, second), "test": (second, int(day[-1]) + 1)}
    return table, calendar, {name: list(range(*ends)) for name, ends in parts.items()}


def text(document: script.Document) -> str:
    """Return the document as Markdown."""
    lines = []
    for name, found in document["sets"].items():
        if "skipped" in found:
            lines.append([f"{name} (skipped: {found['skipped']})", *[None] * 8])
            continue
        for intent, by in found["by_intent"].items():
            lines.append([f"{name}: {intent}", None, None, *(by[side] for side in SIDES), None, None])
        ends = [
            f"{low:+.4f} to {high:+.4f}" for low, high in (found["difference"][n] for n in ("last_event", "markov_2"))
        ]
        lines.append(
            [f"{name}, mean", found["events"], found["test"]["rows"], *(found["auroc"][s] for s in SIDES), *ends]
        )
    head = ["AUROC", "events", "test rows", *SIDES, "over last_event", "over markov_2"]
    return script.table(head, lines)


if __name__ == "__main__":
    made = script.parser(__doc__, trained=False)
    made.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the raw sets")
    made.add_argument(
        "--only", action="append", choices=[*(s.name for s in SETS), MADE], help="this set; may be repeated"
    )
    script.main(made, measure, text)
