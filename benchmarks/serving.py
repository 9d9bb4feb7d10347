"""A recommendation over HTTP, beside the same models called in process and the same models behind other servers.

Serves the release of the last finished run through `bentos.serve`: `python -m benchmarks.serving`. Logs and a copy of
the sqlite store go to a scratch folder, so nothing is left in the recommender's state. The peer reads the same
profiles and calls the same scorer and ranker in this process, in turns with the service: what HTTP, BentoML, the
request log and validation add is the ratio. Users are distinct while there are enough of them. The other servers
(benchmarks/peers) have the same models and features behind them, and nothing of what else the door does.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import script, subject
from benchmarks.peers import bars, compare, servers, strain
from benchmarks.peers.one_client import Call, Loop, Service
from benchmarks.script import Document
from benchmarks.subject import Subject
from bentos.release import INTENT, RANKING, Release
from feature_repo import env_names
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.vocabulary import Vocabulary
from pipelines.releases.processes import free_port

REQUESTS, QUICK_REQUESTS = 1_000, 40
TURNS = 5  # service and peer alternate, so that other work on the machine meets both
BATCH_USERS = 200
QUICK_EVENTS = 200.0  # a second
PARTS = ("read", "predict", "rank")
HERE, KINDS = "sqlite", ("sqlite", "redis", "postgres")


class InProcess:
    """The peer: profile read, scorer and ranker, called as the door calls them."""

    def __init__(self, found: Subject, release: Release) -> None:
        from bentos import threads
        from bentos.recommender.clock import make_clock
        from bentos.recommender.service import folding
        from components.intent.score import IntentScorer
        from components.ranking.score import Ranker
        from feature_repo.online.profiles import OnlineProfiles

        self._scorer = IntentScorer.served(release.folder / INTENT)
        self._ranker = Ranker.served(release.folder / RANKING)
        threads.limit(1)
        self._profiles = OnlineProfiles.open(release.name, folding(release, self._ranker.vocabulary))
        self._key, self._k = found.variables[env_names.PSEUDONYM_KEY], release.serving.k
        self._now = make_clock(found.variables[env_names.CLOCK], release.data_end).now()
        self.parts = dict.fromkeys(PARTS, 0.0)  # processor seconds

    @property
    def vocabulary(self) -> Vocabulary:
        """The release's vocabulary."""
        return self._ranker.vocabulary

    def known(self, users: Sequence[str]) -> list[str]:
        """Return the users who have a profile."""
        rows = self._profiles.read([pseudonym(user, self._key) for user in users], now=self._now)
        return [user for user, known in zip(users, rows.known.tolist(), strict=True) if known]

    def recommend(self, user: str) -> list[str]:
        """Return the item ids for a user."""
        start = time.process_time()
        rows = self._profiles.read([pseudonym(user, self._key)], now=self._now)
        read = time.process_time()
        probabilities = self._scorer.predict(rows)[0]
        predicted = time.process_time()
        items = self._ranker.recommend(rows, probabilities, k=self._k)
        ranked = time.process_time()
        for part, seconds in zip(PARTS, (read - start, predicted - read, ranked - predicted), strict=True):
            self.parts[part] += seconds
        return [self.vocabulary.item_ids[item.item_index] for item in items]


def measure(asked: argparse.Namespace) -> Document:
    """Serve the release and ask it."""
    from bentos import build, serve

    requests = min(asked.requests, QUICK_REQUESTS) if asked.quick else asked.requests
    with subject.subject(asked) as found, tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        variables = aside(dict(found.variables), Path(scratch))
        os.environ |= variables | {"OMP_NUM_THREADS": "1"}
        script.note("building and starting the service")
        tag = build.build(found.release, home=Path(scratch))
        lacks: dict[str, str] = {}
        document: Document = {"recommender": found.name, "lacks": lacks}

        def alone() -> Document:
            serving = serve.serve(tag, port=free_port(0), env=variables)
            try:
                service = Service(serving.url, serving.process.pid)
                asked_ = part(lacks, "one client", lambda: _asked(service, found, requests)) or {}
                door = part(lacks, "a process of the door", lambda: strain.processes(serving.workers, service.root))
                return asked_ | {"door": door or {}}
            finally:
                serving.stop()

        document |= part(lacks, "the door alone", alone) or {}
        document |= part(lacks, "servers side by side", lambda: _beside(asked, found, tag, variables, lacks)) or {}
        return document | {"bars": bars.judged(document)}


def part(lacks: dict[str, str], name: str, measured: Callable[[], Document]) -> Document | None:
    """Measure one part; where it fails, note why and go on with the others: a run takes most of an hour."""
    try:
        return measured()
    except SpecError:  # a mistake in what was asked for
        raise
    except Exception as error:
        lacks[name] = (str(error).splitlines() or [""])[0] or type(error).__name__
        script.note(f"{name} is left out: {lacks[name]}")
        return None


def _beside(
    asked: argparse.Namespace, found: Subject, tag: str, variables: dict[str, str], lacks: dict[str, str]
) -> Document:
    """Measure the servers side by side."""
    peers = compare.REFERENCE if asked.quick and asked.peers is None else asked.peers or ",".join(servers.PLAIN)
    kinds = [HERE] if asked.quick and asked.stores is None else (asked.stores or ",".join(KINDS)).split(",")
    if unknown := set(kinds) - set(KINDS):
        raise SpecError(f"--stores: no store {', '.join(sorted(unknown))}; have {', '.join(KINDS)}")
    names = [compare.OURS, compare.ROUTED, *(n for n in peers.split(",") if n)]
    if unknown := set(names[2:]) - set(servers.PLAIN):
        raise SpecError(f"--peers: no peer {', '.join(sorted(unknown))}; have {', '.join(servers.PLAIN)}")
    peer = InProcess(found, Release.load(found.release))
    users = peer.known(list(itertools.islice(_users(found), len(found.users()))))
    measured = _Measured(asked, found, tag, users, list(map(str, peer.vocabulary.item_ids)), lacks)
    tables = {kind: table for kind in kinds if (table := measured.on(kind, names, variables)) is not None}
    side_by_side = {
        name if kind == HERE else f"{name}@{kind}": of
        for kind, table in tables.items()
        for name, of in table["servers"].items()
    }
    document = {"servers": side_by_side, "peers": compare.short(side_by_side), "rate": asked.rate}
    for what in ("events", "overload"):
        document[what] = {kind: table[what] for kind, table in tables.items() if table[what]}
    if compare.OURS in side_by_side:
        document["ours_by_theirs"] = compare.ratios(side_by_side)
    return document


@dataclasses.dataclass
class _Measured:
    """Measures the servers with the profiles in one kind of store."""

    asked: argparse.Namespace
    found: Subject
    tag: str
    users: list[str]
    items: list[str]
    lacks: dict[str, str]

    def on(self, kind: str, names: Sequence[str], variables: dict[str, str]) -> Document | None:
        """Measure; None where the store is not to be had here. Beside the first store only the reference runs."""
        from benchmarks.peers import stores

        few = [name for name in names if kind == HERE or name in (compare.OURS, compare.ROUTED, compare.REFERENCE)]
        release = Release.load(self.found.release)
        with tempfile.TemporaryDirectory(prefix="intentflow-store-") as folder:
            try:
                with stores.filled(kind, variables, release, self.users, Path(folder)) as theirs:
                    return self._measure(few, theirs, Path(folder))
            except (*stores.FAILURES, ServerError) as error:
                self.lacks[f"store {kind}"] = (str(error).splitlines() or [type(error).__name__])[0]
                script.note(f"{kind} is left out: {self.lacks[f'store {kind}']}")
                return None

    def _measure(self, names: Sequence[str], variables: dict[str, str], scratch: Path) -> Document:
        asked, kept = self.asked, ROOT / ".intentflow" / "benchmarks"
        seconds = 2.0 if asked.quick else asked.seconds
        side_by_side = compare.compare(
            names,
            self.users,
            tag=self.tag,
            release=self.found.release,
            variables=variables,
            kept=kept,
            seconds=seconds,
            rate=asked.rate,
            rounds=1 if asked.quick else asked.rounds,
            lacks=self.lacks,
        )
        kind = next((i.event for i in self.found.intents if i.event), None) or "purchase"
        port = free_port(0)
        store = json.loads(variables[env_names.FEAST])["online_store"]["type"]

        def strained() -> Document:
            with compare.started(
                compare.ROUTED, port, self.tag, self.found.release, variables, kept, scratch
            ) as server:
                url, bodies = server.url.removesuffix("/recommend"), compare.bodies_of(server, self.users, scratch)
                capacity = side_by_side[compare.ROUTED]["requests_per_s"]
                rate = QUICK_EVENTS if asked.quick else asked.events
                script.note("three times what the door can answer")
                over = part(
                    self.lacks,
                    f"overload {store}",
                    lambda: strain.overload(url, bodies, capacity=capacity, seconds=seconds),
                )
                script.note("events")
                told = part(
                    self.lacks,
                    f"events {store}",
                    lambda: strain.events(
                        url, self.users, self.items, kind, rate=rate, seconds=seconds, scratch=scratch
                    ),
                )
                return {"overload": over, "events": told}

        strain_ = part(self.lacks, f"strain {store}", strained) or {"overload": None, "events": None}
        return {"servers": side_by_side, **strain_}


def aside(variables: dict[str, str], scratch: Path) -> dict[str, str]:
    """Return the variables of a service that writes into `scratch` only; another store than sqlite stays shared."""
    feast = json.loads(variables[env_names.FEAST])
    store = feast["online_store"]
    if store["type"] == "sqlite":
        copy = scratch / "online.db"
        with contextlib.ExitStack() as open_:
            whole, target = (open_.enter_context(contextlib.closing(sqlite3.connect(p))) for p in (store["path"], copy))
            whole.backup(target)
        feast["online_store"] = store | {"path": str(copy)}
    return variables | {env_names.HOME: str(scratch), env_names.FEAST: json.dumps(feast)}


def _asked(service: Service, found: Subject, requests: int) -> Document:
    start = {"cpu_s": round(service.cpu(), 2)}
    peer, users = InProcess(found, Release.load(found.release)), _users(found)
    known = list(itertools.islice(users, requests))
    over_http, in_process = Loop(service.cpu), Loop(time.process_time)
    service.post("/recommend", {"user_id": known[0]}), peer.recommend(known[0])  # the first one is for the caches
    peer.parts = dict.fromkeys(PARTS, 0.0)
    same = 0
    for number, part in enumerate(np.array_split(np.asarray(known), TURNS)):
        script.note(f"/recommend, turn {number + 1} of {TURNS}")
        theirs = over_http.run([_recommend(service, user) for user in part.tolist()])
        mine = in_process.run([_local(peer, user) for user in part.tolist()])
        same += sum([i["item_id"] for i in answer["items"]] == ids for answer, ids in zip(theirs, mine, strict=True))
    script.note("the other requests")
    strangers = [_recommend(service, f"no user {n}") for n in range(max(requests // 4, 1))]
    cases = {
        "recommend_unknown": strangers,
        "livez": [service.alive] * max(requests // 4, 1),
    }
    if json.loads(os.environ[env_names.FEAST])["online_store"]["type"] == "sqlite":  # else the store is not a copy
        cases |= _events(service, found, peer.vocabulary, known, requests)
    documents = {"recommend": over_http.document()}
    for name, calls in cases.items():
        loop = Loop(service.cpu)
        loop.run(calls)
        documents[name] = loop.document()
    local = in_process.document()
    return {
        "users": len(set(known)),
        "http": documents,
        "in_process": local | {"cpu_ms": {p: round(1000 * s / requests, 3) for p, s in peer.parts.items()}},
        "ratio": script.ratios(documents["recommend"], local, ("p50_ms", "p99_ms", "cpu_s_per_1000")),
        "same_answers": same / len(known),
        "start": start | {"memory_gib": round(service.memory_gib(), 3)},
    }


def _users(found: Subject) -> Iterator[str]:
    """Yield users in a fixed random order, over and over."""
    users = found.users()
    return itertools.cycle([users[place] for place in np.random.default_rng(0).permutation(len(users))])


def _recommend(service: Service, user: str) -> Call:
    return lambda: service.post("/recommend", {"user_id": user})


def _local(peer: InProcess, user: str) -> Call:
    return lambda: peer.recommend(user)


def _events(
    service: Service, found: Subject, vocabulary: Vocabulary, users: Sequence[str], requests: int
) -> dict[str, list[Call]]:
    """Make requests of one event, and of an event of each of many users."""
    kind = next((i.event for i in found.intents if i.event), None) or "purchase"
    items = np.random.default_rng(0).permutation(vocabulary.item_ids)

    def event(number: int, user: str) -> Document:
        item = str(items[number % len(items)])
        told = {"user_id": user, "item_id": item, "event": kind, "quantity": 1.0, "value": 2.5}
        return told | {"event_id": f"benchmark-{number}"}

    def posted(events: list[Document]) -> Call:
        return lambda: service.post("/events", {"events": events})

    numbers = itertools.count()
    single = [posted([event(next(numbers), user)]) for user in users[: max(requests // 10, 1)]]
    many = list(dict.fromkeys(users))[:BATCH_USERS]
    batch = [event(next(numbers), user) for user in many]
    return {"events_one": single, f"events_of_{len(many)}_users": [posted(batch)]}


def text(document: Document) -> str:
    """Write the table."""
    judged = [[name, one["measured"], one["bar"], one["held"]] for name, one in document["bars"].items()]
    written = [script.table(["bar", "measured", "bar", "held"], judged)]
    if "http" in document:
        written += _alone(document)
    if "servers" in document:
        beside = [[name, *(values[f] for f in compare.FIGURES)] for name, values in document["servers"].items()]
        head = [f"server; open loop of {document['rate']:g}/s, closed loop", *compare.FIGURES]
        written.append(script.table(head, beside))
        written += [_strained(what, document[what]) for what in ("overload", "events") if document[what]]
    written.append(f"A process of the door: {json.dumps(document.get('door', {}))}.")
    lacking = "; ".join(f"{name}: {why}" for name, why in document["lacks"].items()) or "nothing"
    return "\n\n".join([*written, f"Lacking: {lacking}."])


def _alone(document: Document) -> list[str]:
    names = ("requests", "p50_ms", "p99_ms", "cpu_s_per_1000")
    lines = [[f"HTTP {name}", *(values[n] for n in names)] for name, values in document["http"].items()]
    lines.append(["in process", *(document["in_process"][n] for n in names)])
    lines.append(["HTTP / in process", None, *(document["ratio"][n] for n in names[1:])])
    parts = ", ".join(f"{part} {ms:.2f}" for part, ms in document["in_process"]["cpu_ms"].items())
    start = document["start"]
    return [
        script.table(["request", *names], lines),
        f"Of a recommendation in process, processor ms: {parts}. {document['same_answers']:.0%} of the answers are "
        f"the same both ways. A start takes {start['cpu_s']} processor seconds; after all this the process tree "
        f"holds {start['memory_gib']} GiB.",
    ]


def _strained(what: str, by_store: Document) -> str:
    names = list(next(iter(by_store.values())))
    return script.table([f"{what}, by store", *names], [[kind, *of.values()] for kind, of in by_store.items()])


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--requests", type=int, default=REQUESTS, help="recommendations for known users")
    switches.add_argument("--peers", help=f"other servers, with commas; default: {','.join(servers.PLAIN)}")
    switches.add_argument("--seconds", type=float, default=15.0, help="of each loop against each server")
    switches.add_argument("--stores", help=f"online stores, with commas; default: {','.join(KINDS)}")
    switches.add_argument("--rate", type=float, default=100.0, help="requests a second in the open loop")
    switches.add_argument("--events", type=float, default=2000.0, help="events a second, ten a request")
    switches.add_argument("--rounds", type=int, default=3, help="in which each server is started and loaded once")
    script.main(switches, measure, text)
