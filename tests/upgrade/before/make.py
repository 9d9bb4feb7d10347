"""Make the fixture: a recommender's state folder as commit 07e66fa wrote it, with what its service answered.

    git worktree add /tmp/before 07e66fa
    PYTHONPATH=/tmp/before python make.py /tmp/before /tmp/intentflow-before     # some ten minutes on two busy cores

Run it with the Python of an environment that has that commit's requirements.lock. The first argument is a checkout of
that commit, the second a folder that is not there yet, in which the shop, its state and its servers live while they
are made; both paths end up in the state, as paths do (MLflow's tags and database, run.json). What comes of it is
written beside this file: `shop.yaml`, `orders.csv`, `products.csv`, `expected.json`, `shop.state.tar.xz` (the whole
state folder) and `shop.backup.tar.xz` (what `pipelines.backup save` kept of it). Both are in the form that
`python -m pipelines.backup restore SPEC ARCHIVE` opens, anywhere.

The key of the pseudonyms and the token of the router are test values, declared below. They guard nothing.
"""

import contextlib
import csv
import datetime as dt
import gzip
import io
import json
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

COMMIT = "07e66fa"
KEY = "7e57" * 16  # of the pseudonyms: a test value, not a secret
TOKEN = "7e57" * 15 + "0001"  # of the router's mirrored requests: likewise
HERE = Path(__file__).resolve().parent
NAME, PREFIX = "shop", "raw-shopper-"  # how every raw user id begins: nothing that is kept may hold it
FIRST_MONDAY, WEEKS, USERS, ITEMS = dt.date(2024, 1, 1), 14, 24, 12
PUSHED, FRESH, GUEST, FORGOTTEN = f"{PREFIX}02", f"{PREFIX}05", f"{PREFIX}guest", f"{PREFIX}23"
PART_OF_DAY = "2024-04-08T{}+00:00"  # the day after the data's last week: when events are pushed
FILES = ("shop.yaml", "orders.csv", "products.csv")
# Of no use to a state that is opened later: logs, the homes and records of processes that ended.
LEFT_OUT = ("logs", "serving", "up")
SPEC = """\
# A shop of 24 people and 12 items, as small as a recommender may be. Written by make.py, beside this file.
apiVersion: intentflow/v1
kind: Recommender
name: shop
data:
  source:
    type: csv
    events:
      path: orders.csv
      columns: {{user_id: customer, item_id: sku, event: action, timestamp: bought_at, session_id: basket}}
    items:
      path: products.csv
      columns: {{item_id: sku, title: title, category: category}}
  contract:
    events:
      - {{expect: not_null, column: user_id}}
      - {{expect: between, column: quantity, min: 0, severity: warning}}
  split: {{warmup_weeks: 3, validate_weeks: 1, test_weeks: 2}}
profiles:
  segments: {{method: kmeans, k: 2}}
intents:
  - {{name: buy, event: purchase, level: category, top: 4, horizon_days: 7}}
  - {{name: visit, horizon_days: 7}}
models:
  intent: {{architecture: transformer, width: 8, layers: 1, epochs: 12, batch_size: 32, seed: {seed}}}
  ranking:
    {{min_item_sessions: 2, min_item_users: 1, train_weeks: 4, width: 8, epochs: 12, batch_size: 8, seed: {seed}}}
promotion:
  gates:
    - {{metric: intent.map, limit: 0.01}}
    - {{metric: ranking.ndcg_at_10, against: champion, tolerance: 1.0}}
  rollout:
    shadow: {{requests: 3}}
    steps: [0.5, 1.0]
    step_requests: 3
    hold_s: 0.5
    tolerance: {{slow: 1.0}}   # one machine does all of it
serving: {{k: 5, timeout_s: 10, log: {{sample: 1.0}}}}
monitoring: {{min_rows: 20}}
"""


def write_shop(folder: Path) -> None:
    """Even people buy even items and odd ones odd items, in most weeks; i00 sells most, i11 least."""
    chance = random.Random(7)
    orders, items = [], [{"sku": f"i{n:02}", "title": f"Item {n}", "category": f"C{n % 4}"} for n in range(ITEMS)]
    for week in range(WEEKS):
        for user in range(USERS):
            day = FIRST_MONDAY + dt.timedelta(weeks=week, days=user % 7)
            mine = [n for n in range(ITEMS) if n % 2 == user % 2]
            wanted = dict.fromkeys(chance.choices(mine, [ITEMS - n for n in mine], k=3))
            if week not in (0, WEEKS - 1) and chance.random() < 0.2:
                continue  # not this week
            for step, item in enumerate(wanted):
                orders.append(
                    {
                        "customer": f"{PREFIX}{user:02}",
                        "sku": f"i{item:02}",
                        "action": "purchase",
                        "bought_at": f"{day.isoformat()}T{9 + user % 12:02}:{step:02}:00+00:00",
                        "basket": f"b{week}-{user}",
                        "quantity": 1,
                        "value": 1.25 + item / 4,
                    }
                )
    for name, rows in (("orders", orders), ("products", items)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


class Shop:
    """A shop in a folder, and the command line of that commit over it."""

    def __init__(self, code: Path, folder: Path) -> None:
        self.code, self.folder = code, folder
        self.spec, self.home = folder / "shop.yaml", folder / "state" / NAME
        self.variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
            "PYTHONPATH": str(code),
            "INTENTFLOW_STATE": str(folder / "state"),
            "OMP_NUM_THREADS": "1",
            "USER": "tester",  # who is named in the registry's history
            "LOGNAME": "tester",
        }

    def command(self, *words: str) -> list[str]:
        verb, *rest = words
        return [sys.executable, "-m", "pipelines.cli", verb, str(self.spec), *rest]

    def run(self, *words: str, module: list[str] | None = None) -> Any:
        """Run a verb with --json and return its document; it must succeed."""
        command = [*(module or self.command(*words)), "--json"]
        print("$", " ".join(command[1:]), flush=True)
        done = subprocess.run(command, cwd=self.code, env=self.variables, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return json.loads(done.stdout)

    def backup(self, verb: str, archive: Path) -> Any:
        return self.run(module=[sys.executable, "-m", "pipelines.backup", verb, str(self.spec), str(archive)])

    def stop(self) -> None:
        """Stop what runs in the background."""
        subprocess.run(self.command("down"), cwd=self.code, env=self.variables, check=False)

    def declare(self, *, seed: int) -> None:
        self.spec.write_text(SPEC.format(seed=seed))
        self.run("apply")
        found = self.run("run")
        print(f"  version {found['release_version']}, {found['seconds']:.0f} s", flush=True)

    def keys(self) -> None:
        """Write the keys of the state folder, which are made by chance otherwise."""
        for name, value in (("pseudonym.key", KEY), ("shadow.token", TOKEN)):
            path = self.home / "secrets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value)
            path.chmod(0o600)

    def place(self) -> Any:
        from pipelines.environment import place

        return place(self.spec, "local", variables=self.variables)

    def router(self) -> str:
        """Start the router alone, without the UIs that `up` starts as well."""
        from pipelines import processes, serving

        (state,) = processes.up(self.home, [serving.router(self.place(), port=processes.free_port(0))])
        if state.state != "started":
            sys.exit(f"router: {state.reason}")
        return str(state.url)

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Let the loop run."""
        with (self.folder / "loop.log").open("w") as log:
            loop = subprocess.Popen(
                self.command("reconcile", "--watch", "--every", "0.5"),
                cwd=self.code, env=self.variables, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield
            finally:
                loop.terminate()
                loop.wait()


class Asked:
    """A service, asked."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            reply = session.post(f"{self.url}/{path}", json=body, timeout=30)
        if reply.status_code != 200:
            sys.exit(f"{path}: {reply.status_code} {reply.text}")
        return dict(reply.json())

    def recommend(self, user: str) -> dict[str, Any]:
        return self.post("recommend", {"user_id": user})

    def event(self, number: int, user: str, item: str, at: str, **more: Any) -> dict[str, Any]:
        told = {"user_id": user, "item_id": item, "event": "purchase", "timestamp": PART_OF_DAY.format(at)}
        told |= {"session_id": f"s{number}", "event_id": f"event-{number}", "value": 2.5}
        return self.post("events", {"events": [told | more]})


def until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.3)
    sys.exit(f"{what}: not within {seconds} s")


def kept(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what of an answer is the same whenever it is asked for."""
    return {key: answer[key] for key in ("release", "policy", "profile", "intents", "items") if key in answer}


def make(shop: Shop) -> dict[str, Any]:
    """Live a shop's first days: a release, people who ask and buy, one who leaves, a second release, a restart."""
    people = (PUSHED, FRESH, GUEST, FORGOTTEN)
    shop.keys()
    shop.declare(seed=0)
    shop.run("reconcile")  # version 1 is stable at once
    asked = Asked(shop.router())
    first = {user: asked.recommend(user) for user in people}
    told = [
        asked.event(1, PUSHED, "i04", "10:00:00", request_id=first[PUSHED]["request_id"]),
        asked.event(2, PUSHED, "i06", "10:05:00"),
        asked.event(3, FORGOTTEN, "i01", "10:10:00"),
        asked.event(4, GUEST, "i08", "10:15:00"),
    ]
    forgotten = shop.run("forget", "--user", FORGOTTEN)
    shop.declare(seed=1)  # without the one who left; version 2 is the champion, and the loop has yet to follow
    with shop.following():

        def promoted() -> bool:
            for user in (PUSHED, FRESH):
                asked.recommend(user)
            rollout = shop.run("status")["rollout"]
            return rollout["stable"]["version"] == "2" and rollout["candidate"] is None

        until(promoted, seconds=180, what="version 2 stable")
    told.append(asked.event(5, PUSHED, "i10", "11:00:00"))
    second = {user: asked.recommend(user) for user in people}
    shop.run("down")
    shop.run("reconcile")  # the door of version 2 starts again, and makes parquet of what the ones before logged
    asked = Asked(shop.router())
    repeated = asked.event(5, PUSHED, "i10", "11:00:00")
    answers = {user: asked.recommend(user) for user in people}
    if any(kept(answers[user]) != kept(second[user]) for user in people):
        sys.exit(f"a restart changed the answers: {second}\n{answers}")
    logged = {"1": first[FRESH], "2": second[PUSHED], "2, after the restart": answers[PUSHED]}
    why = {at: shop.run("why", "--request", answer["request_id"]) for at, answer in logged.items()}
    releases = {"1": first[FRESH]["release"], "2": second[FRESH]["release"]}
    parity = {version: shop.run("parity", "--release", release) for version, release in releases.items()}
    shop.run("down")
    return {
        "commit": COMMIT,
        "key": KEY,
        "users": {"pushed": PUSHED, "fresh": FRESH, "guest": GUEST, "forgotten": FORGOTTEN},
        "releases": releases,
        "recommend": {"2": {user: kept(answer) for user, answer in answers.items()}},
        "why": why,
        "parity": parity,
        "status": standing(shop),
        "events": {"told": told, "repeated": repeated, "accepted": accepted(shop)},
        "forgotten": {name: forgotten[name] for name in ("people", "marked", "left")},
    }


def standing(shop: Shop) -> dict[str, Any]:
    """Return the status, without what is of the machine or of that moment."""
    found: dict[str, Any] = shop.run("status")
    rollout = {key: value for key, value in found["rollout"].items() if key not in ("routes", "running")}
    return {key: value for key, value in found.items() if key != "processes"} | {"rollout": rollout}


def accepted(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """Return the event log's accepted events by pseudonym."""
    from bentos.recommender import eventlog
    from pipelines import history

    return history.accepted(shop.home / eventlog.FOLDER)


def rolled_back(shop: Shop, archive: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Restore a copy, see that it answers as the shop did, and say what it answers once it is rolled back."""
    shop.folder.mkdir()
    for name in FILES:
        shutil.copyfile(shop.folder.parent / name, shop.folder / name)
    shop.backup("restore", archive)
    users = expected["recommend"]["2"]
    try:
        again = {user: kept(shop.run("recommend", "--user", user)) for user in list(users)[:2]}
        if any(again[user] != users[user] for user in again):
            sys.exit(f"the restored shop answers differently: {again}")
        shop.run("rollback")
        return {user: kept(shop.run("recommend", "--user", user)) for user in users}
    finally:
        shop.stop()


def without_pages(home: Path) -> None:
    """Empty Evidently's pages in the runs' folders, 4 MB of JavaScript each: people read them, code does not."""
    for page in (home / "runs").glob("*/watch/report"):
        page.write_text("<p>Emptied for the fixture.</p>\n")


def whole(shop: Shop, archive: Path) -> None:
    """Write the whole state folder in the form of a backup, which `restore` opens."""
    about = {"home": str(shop.home), "name": NAME, "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
    text = json.dumps(about).encode()
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        entry = tarfile.TarInfo("backup.json")
        entry.size, entry.mode, entry.mtime = len(text), 0o644, int(time.time())
        tar.addfile(entry, io.BytesIO(text))
        for path in sorted(shop.home.rglob("*")):
            parts = path.relative_to(shop.home).parts
            if parts[0] not in LEFT_OUT and "__pycache__" not in parts:
                tar.add(path, f"state/{path.relative_to(shop.home)}", recursive=False, filter=nobody)


def nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> None:
    code, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute()
    import pipelines

    if Path(pipelines.__file__).resolve().parents[1] != code:
        sys.exit(f"pipelines is {pipelines.__file__}: put {code} on PYTHONPATH")
    folder.mkdir(parents=True)
    shop = Shop(code, folder)
    write_shop(folder)
    try:
        expected = make(shop)
    finally:
        shop.stop()
    without_pages(shop.home)
    shop.backup("save", folder / "shop.backup.tar.gz")
    with (
        gzip.open(folder / "shop.backup.tar.gz") as saved,
        lzma.open(folder / "shop.backup.tar.xz", "w", preset=9) as xz,
    ):
        shutil.copyfileobj(saved, xz)  # four copies of the same code: a third of the size
    whole(shop, folder / "shop.state.tar.xz")
    again = Shop(code, folder / "again")
    expected["recommend"]["1"] = rolled_back(again, folder / "shop.backup.tar.xz", expected)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False, default=str) + "\n")
    for name in (*FILES, "expected.json", "shop.backup.tar.xz", "shop.state.tar.xz"):
        shutil.copyfile(folder / name, HERE / name)


if __name__ == "__main__":
    main()
