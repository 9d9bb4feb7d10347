"""`intentflow discover SPEC`: read the last run's clean events and the items' texts, and propose intents and segments.

Nothing is changed and nothing reads the proposal. Only events before the first validation step count, so that what is
taken over was not chosen by what judges it. Users are pseudonyms here, and only counted.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from components.intent.spec import Intent
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, SpecError
from pipelines.discovery import clusters, item_texts, labels, proposal
from pipelines.discovery.behaviours import Acts, Behaviours, Unit, acts_of, behaviours
from pipelines.discovery.clusters import Groups, Method
from pipelines.discovery.item_texts import Say
from pipelines.environment import Installation

LEAST_BEHAVIOURS = 50
THEME = "theme"
HEAD = """\
# Proposed by `intentflow discover {name}`: {behaviours:,} behaviours of {users:,} users, before the validation {step}s.
# Nothing reads this file. Take over what you want of `proposal`; docs/discover.md says how to read the rest.
"""
Document = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """How groups are looked for."""

    method: Method = "kmeans"
    unit: Unit = "item"  # what a behaviour is: a user with an item, or with all items of a step
    wanted: int | None = None  # groups; None: as many as the data tell apart
    least: int = 20  # users that stand behind whatever is said


@dataclass(frozen=True)
class Read:
    """What behaviours are made of."""

    acts: Acts
    item_ids: list[str]
    vectors: np.ndarray  # [I, D]
    told: proposal.Told


def discover(
    place: Installation,
    asked: Asked,
    *,
    output: Path | None = None,
    themes: Path | None = None,
    say: Say = lambda _: None,
) -> tuple[Document, str]:
    """Return the proposal as a document and as YAML, written to `output` where one is given, `themes` likewise."""
    _require(place, asked)
    read = _read(place, say)
    document, by_item = proposed(read, asked, have=place.spec.intents, say=say)
    if place.spec.content.model is not None:
        labels.put(place, [document["groups"], document["segments"]], say)
    if themes is not None:
        document["themes"] = _write_themes(themes, read.item_ids, by_item)
    head = HEAD.format(name=place.spec_path.name, step=place.spec.data.pace.step, **document)
    text = head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    if output is None:
        return document, text.rstrip()
    with files.written(output) as aside:
        aside.write_text(text, encoding="utf-8")
    return document, f"{output}: written; {len(document['groups'])} groups, {len(document['segments'])} segments"


def proposed(
    read: Read, asked: Asked, *, have: Sequence[Intent] = (), say: Say = lambda _: None
) -> tuple[Document, dict[int, str]]:
    """Return the proposal, and by the place of an item the group that it is most typical of."""
    units: tuple[Unit, Unit] = (asked.unit, "user")
    visits, lives = (_some(behaviours(read.acts, read.vectors, by=unit), asked) for unit in units)
    users = len(np.unique(read.acts.user))
    if len(visits) < LEAST_BEHAVIOURS or users < 2 * asked.least:
        raise DataError(
            f"discover: {len(visits)} behaviours of {users} users lie before the validation steps, and at least "
            f"{LEAST_BEHAVIOURS} of {2 * asked.least} are needed; give the source more, or lower --min-users"
        )
    say(f"{len(visits):,} behaviours of {users:,} users")
    found = _grouped(visits, asked)
    say(f"{len(found)} groups of behaviours; groups of users …")
    people = _grouped(lives, replace(asked, wanted=None))
    groups = proposal.groups(found, visits, read.told, least=asked.least)
    segments = proposal.groups(people, lives, read.told, least=asked.least)
    intents, measured = proposal.intents(found.label, visits, read.told, read.acts, least=asked.least, have=have)
    take: Document = {"intents": intents}
    if (steady := sum(one["stable"] for one in segments.values())) >= 2:
        take["profiles"] = {"segments": {"method": "kmeans", "k": min(steady, 64)}}
    document = {
        "behaviours": len(visits),
        "users": users,
        "method": asked.method,
        "unit": asked.unit,
        "min_users": asked.least,
        "proposal": take,
        "levels": dict(sorted(measured.items(), key=lambda pair: -pair[1])),
        "groups": list(groups.values()),
        "segments": list(segments.values()),
        "left_out": round(max(0.0, 1 - sum(one["share"] for one in groups.values())), 4),
    }
    names = {label: one["name"] for label, one in groups.items()}
    return document, proposal.themes(found.label, visits, names, least=asked.least)


def _require(place: Installation, asked: Asked) -> None:
    """Refuse, in a line, what a method does not take, and specs whose items have no texts that may be read."""
    if asked.method != "kmeans" and asked.wanted is not None:
        raise SpecError(f"--groups: of kmeans, and {asked.method} finds their number itself; drop it, or use kmeans")
    item_texts.require_texts(place, "discover", why="groups texts by their vectors")


def _read(place: Installation, say: Say) -> Read:
    found = item_texts.of_last_run(place)
    vectors, known = item_texts.vectors_of(place, found, say)
    clean, rows, spec = found.run.folders["clean"], found.run.folders["rows"], place.spec
    assert spec.vectors is not None
    assert spec.vectors.text is not None
    calendar = Calendar(**files.read_json(rows / "calendar.json"))
    before = min(files.read_json(rows / "split.json")["validate"])
    events = pq.read_table(
        clean / "events.parquet", columns=[columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP]
    )
    ids = found.ids
    wanted = list(spec.models.ranking.signs().wanted)
    acts = acts_of(events, ids, known, calendar=calendar, before=before, kinds=wanted)
    told = proposal.Told.of(found.items, found.texts, read=spec.vectors.text.columns)
    return Read(acts, ids, vectors, told)


def _some(found: Behaviours, asked: Asked) -> Behaviours:
    """Take as many behaviours, by chance, as the method can group."""
    most = clusters.MOST[asked.method]
    if len(found) <= most:
        return found
    return found.take(np.sort(np.random.default_rng(0).permutation(len(found))[:most]))


def _grouped(found: Behaviours, asked: Asked) -> Groups:
    return clusters.grouped(found.vectors, found.user, method=asked.method, wanted=asked.wanted, least=asked.least)


def _write_themes(path: Path, item_ids: Sequence[str], by_item: dict[int, str]) -> Document:
    with files.written(path) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow([columns.ITEM_ID, THEME])
        lines.writerows([item_ids[item], name] for item, name in sorted(by_item.items()))
    return {"file": str(path), "items": len(by_item), "level": f"items.{THEME}"}
