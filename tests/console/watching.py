"""Filled ports of the pages that watch, for tests of pages: what a shop of a few days might see. Doubles, no mocks."""

from dataclasses import dataclass, replace

from bentos.console.ports.watch import (
    Arm,
    Attempt,
    Check,
    Decided,
    Experiment,
    Link,
    Need,
    Point,
    Process,
    Said,
    Shares,
    Signal,
    Standing,
    Start,
    Tile,
    Tiles,
    Try,
    Watched,
)

DAYS = ("2026-11-27", "2026-11-28", "2026-11-29", "2026-11-30")
CTR = Tile(
    "ctr",
    "share",
    "items",
    0.125,
    0.068,
    0.2184,
    80,
    40,
    20,
    within_s=60.0,
    days=(Point(DAYS[0], 0.1, 20), Point(DAYS[1], None), Point(DAYS[2], 0.15, 20), Point(DAYS[3], 0.125, 40)),
)
TILES = Tiles(
    first="2026-11-27T08:00:00+00:00",
    last="2026-11-30T09:00:00+00:00",
    days=28,
    at="2026-11-30T12:00:00+00:00",
    answers=41,
    ripe=40,
    capped=False,
    sampled=False,
    kept_out={"copies": 3},
    tiles=(
        CTR,
        Tile("conversion", "share", "answers", 0.125, 0.0527, 0.2686, 40, 40, 20, within_s=60.0, event="purchase"),
        Tile("revenue", "amount", "items", None, n=80, users=40, least=5, why="rare", within_s=60.0, event="purchase"),
        Tile(
            "coverage",
            "share",
            "catalogue",
            0.4,
            n=120,
            least=20,
            days=(Point(DAYS[0], 0.2, 120), Point(DAYS[3], 0.3, 120)),
        ),
        Tile("degraded", "share", "answers", None, n=7, users=7, least=20, why="few"),
    ),
)
STANDING = Standing(
    version="2",
    release="1f0c2d3e4a5b",
    judged="gates passed",
    since="2026-11-29T10:00:00+00:00",
    why="pipeline: gates passed",
    rollout="",
    experiment="explorer: running",
    last_run="version 2, passed, 61 s",
    spec="9a8b7c6d",
    applied="9a8b7c6d",
    processes=(
        Process("router", "running", "http://127.0.0.1:3000"),
        Process("feast", "gone", "http://127.0.0.1:8888"),
    ),
    needs=(
        Need("drift_data_fault", "events.null.value", "drift"),
        Need("challenger", "3", "releases", "intentflow promote shop.yaml --version 3"),
        Need("process", "feast", "", "intentflow up shop.yaml"),
    ),
)


START = Start(
    service="http://127.0.0.1:3000",
    processes=(
        Process("router", "running", "http://127.0.0.1:3000"),
        Process("feast", "failed", "http://127.0.0.1:8888", "ended with code 1; no such module", "/state/up/feast.log"),
    ),
    tries=(Try("recommend", 'curl -s http://127.0.0.1:3000/recommend -d \'{"user_id": "first-visitor"}\''),),
    key_env="",
    command="intentflow up shop.yaml",
)


@dataclass(frozen=True)
class Kpis:
    """The overview's port."""

    found: Tiles = TILES
    stands: Standing = STANDING
    began: Start = START

    def tiles(self, days: int) -> Tiles:
        """Return the figures, whatever the window."""
        return replace(self.found, days=days)

    def standing(self) -> Standing:
        """Return what serves."""
        return self.stands

    def start(self) -> Start:
        """Return what was started."""
        return self.began


RUNNING = Experiment(
    name="explorer",
    state="running",
    phase="running",
    arms=(
        Arm("control", "2", 0.5, True, 5000, 4000, 0.05),
        Arm("explorer", "3", 0.5, False, 5050, 4010, 0.055, 0.005, 0.0018, 0.0082, "passed", "better", 0.91, 0.08),
    ),
    event="purchase",
    measure="converted",
    within_hours=168.0,
    smallest_effect=0.1,
    alpha=0.05,
    min_users=500,
    day=12.5,
    days=28.0,
    shares=Shares("as_declared", 0.2),
)
LOPSIDED = Experiment(
    name="prices",
    state="over",
    arms=(Arm("control", "1", 0.5, True, 5000, 4000, 0.05), Arm("cheap", "2", 0.5, False, 5600, 4500, 0.05)),
    shares=Shares("broken", 2e6),
    result="broken",
    why="sample-ratio mismatch: users fell to control 5000 (47.2%), cheap 5600 (52.8%), declared are 50.0%, 50.0%: "
    "something loses users of an arm",
    ended="2026-11-20T08:00:00+00:00",
)
DECLARED = Experiment(
    name="later",
    state="declared",
    arms=(Arm("control", "champion", 0.9, True), Arm("new", "challenger", 0.1, False)),
    event="purchase",
    measure="value",
    within_hours=24.0,
    smallest_effect=0.1,
    alpha=0.05,
    min_users=500,
    days=14.0,
)


@dataclass(frozen=True)
class Experiments:
    """The port of experiments."""

    found: tuple[Experiment, ...] = (RUNNING, LOPSIDED, DECLARED)

    def all(self) -> tuple[Experiment, ...]:
        """Return them."""
        return self.found


NULLS = Signal(
    "events.null.value",
    Said("The share of actions without “value” went up to 5.2 %.", "缺少“value”的行为占比上升到 5.2 %。"),
    Said("Since 2 October 2017.", "自 2017年10月2日 起。"),
    Said("", ""),
    "data_fault",
    "now",
    (
        Point("2017-09-18", 0.002, 400),
        Point("2017-09-25", None),
        Point("2017-10-02", 0.05, 380),
        Point("2017-10-09", 0.052, 390),
    ),
    (0.001, 0.004),
    "null",
)
VISITS = Signal(
    "events.volume",
    Said("The number of actions that reached us", "收到的行为数"),
    Said("", ""),
    Said("", ""),
    "none",
    "",
    (Point("2017-10-02", 29000.0, 380), Point("2017-10-09", 30000.0, 390)),
    None,
)
FAULTY = Watched(
    checked="2026-11-30 04:00 UTC",
    verdict="faulty",
    reason="data_fault",
    headline=Said("Something is wrong with the data", "数据出了问题"),
    meaning=Said("Please ask whoever sends the data.", "请让负责数据的人查看。"),
    moved=(NULLS,),
    explained=(),
    small=(),
    usual=(VISITS,),
    judged=95,
    periods=30,
    checks=(
        Check(
            "2026-11-30T04:00:00+00:00",
            "2017-10-09T00:00:00+00:00",
            "faulty",
            "data_fault",
            ("events.null.value",),
            "2",
        ),
        Check("2026-11-29T04:00:00+00:00", "2017-10-02T00:00:00+00:00", "stable", "none", (), "2"),
    ),
    attempts=(
        Attempt("2017-09-01", "2017-09-02", "shadow", "world", "prices moved", "gain", "2", "intent.map +0.01"),
        Attempt("2017-08-01", "2017-08-02", "shadow", "world", "prices moved", "no_gain", "1", ""),
    ),
    decided=Decided("hold", "data_fault", "a data fault never trains: events.null.value", "2017-10-09", "", False, 0),
    rule=True,
)
UNWATCHED = Watched(
    "",
    "",
    "undecided",
    Said("There is not enough data to tell", "数据还不足以判断"),
    Said("Look again.", "待数据更多时再看。"),
    (),
    (),
    (),
    (),
    0,
    0,
    (),
    (),
    None,
    False,
)


@dataclass(frozen=True)
class Drift:
    """The port of drift."""

    found: Watched = FAULTY

    def watched(self) -> Watched:
        """Return what was found."""
        return self.found


@dataclass(frozen=True)
class Links:
    """The port of links: MLflow here, the others elsewhere."""

    mlflow: str = "http://127.0.0.1:5000"
    kubeflow: str = "https://kubeflow.example"
    evidently: str = "https://evidently.example"

    def servers(self) -> tuple[Link, ...]:
        """Return the tools."""
        return (
            Link("mlflow", f"{self.mlflow}/#/models"),
            Link("kubeflow", f"{self.kubeflow}/#/runs"),
            Link("evidently", self.evidently),
        )

    def version(self, version: str) -> tuple[Link, ...]:
        """Return a version, and the run of it."""
        return (
            Link("mlflow_version", f"{self.mlflow}/#/models/shop-release/versions/{version}"),
            Link("kubeflow", f"{self.kubeflow}/#/runs/details/abc"),
        )

    def versions(self) -> tuple[Link, ...]:
        """Return the list of versions."""
        return (Link("mlflow", f"{self.mlflow}/#/models/shop-release"),)

    def drift(self) -> tuple[Link, ...]:
        """Return the newest report."""
        return (Link("evidently", f"{self.evidently}/projects/p/reports/r"),)


def kpis() -> Kpis:
    """Return the overview's port, filled."""
    return Kpis()


def experiments() -> Experiments:
    """Return the port of experiments, filled."""
    return Experiments()


def drift() -> Drift:
    """Return the port of drift, filled."""
    return Drift()


def links() -> Links:
    """Return the port of links, filled."""
    return Links()
