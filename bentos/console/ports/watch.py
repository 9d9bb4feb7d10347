"""The ports of the pages that watch: the overview, experiments, drift over time, and the same things elsewhere.

Figures come with what is behind them: the count, the ends of a 95 % interval, or why there is no figure. Texts that a
registry or a check wrote are shown as they are; what has words in two languages comes as `Said`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bentos.console.words import Language

Why = Literal["", "none", "few", "rare", "unripe", "unvalued", "unlisted"]  # why a figure has no value
Unit = Literal["share", "amount"]
Where = Literal["mlflow", "mlflow_version", "mlflow_run", "kubeflow", "evidently", "feast"]
Word = Literal["passed", "refused", "undecided"]


@dataclass(frozen=True)
class Said:
    """A sentence in the languages of the console."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        """Return it in one of them."""
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Point:
    """A value of one day or period; None where nothing is known of it."""

    at: str  # ISO date
    value: float | None
    n: int = 0


@dataclass(frozen=True)
class Tile:
    """A KPI over a window. `low` and `high` are a 95 % interval; None where it was counted whole, or is not known."""

    name: str  # ctr, conversion, revenue, coverage, degraded: words are home.<name>; else a KPI of policy.rewards
    unit: Unit
    of: Literal["items", "answers", "catalogue"]  # what `n` counts
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    users: int = 0
    least: int = 0  # users that a figure asks for
    why: Why = ""
    within_s: float = 0.0  # in which users may act; 0: nothing to wait for
    event: str = ""  # the kind that counts; '': every act
    missing: int = 0  # events that carry no value
    declared: bool = False  # by policy.rewards
    days: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Tiles:
    """The KPIs, and the answers that they are of."""

    first: str  # ISO, of the oldest answer; '' without one
    last: str
    days: int  # of the window that was asked for
    at: str  # ISO, when it was counted
    answers: int  # that people saw
    ripe: int  # of these, such whose users' time to act is over
    capped: bool  # the log holds more, and only the newest were read
    sampled: bool  # the log keeps a part of the answers, each of which stands for several
    kept_out: Mapping[str, int]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Process:
    """Something that runs, or should."""

    name: str
    state: str  # running, gone, failed
    url: str
    reason: str = ""
    log: str = ""  # its file


@dataclass(frozen=True)
class Need:
    """Something that waits for a person: words are home.need_<what>."""

    what: str
    said: str  # as the registry or a check says it
    page: str = ""  # of the console, where more is; '': nowhere
    command: str = ""  # what a person runs


@dataclass(frozen=True)
class Standing:
    """What serves, what runs and what needs a person."""

    version: str  # of the champion; '' where nothing serves
    release: str
    judged: str
    since: str  # ISO, when it became champion; '' where the history does not say
    why: str
    rollout: str  # under way, or ''
    experiment: str
    last_run: str
    spec: str
    applied: str
    processes: tuple[Process, ...]
    needs: tuple[Need, ...]
    unknown: str = ""  # why the registry could not be read


@dataclass(frozen=True)
class Try:
    """A line to copy: words are start.try_<what>."""

    what: str
    command: str


@dataclass(frozen=True)
class Start:
    """What was started, where it is, and what to try first."""

    service: str  # where customers ask; '' where it does not run here
    processes: tuple[Process, ...]
    tries: tuple[Try, ...]
    key_env: str  # the variable that the lines take a key from; '' where the service asks for none
    command: str  # that starts everything


class Kpis(Protocol):
    """What the overview asks."""

    def tiles(self, days: int) -> Tiles:
        """Return the KPIs of the last days."""
        ...

    def standing(self) -> Standing:
        """Return what serves, what runs and what needs a person."""
        ...

    def start(self) -> Start:
        """Return what was started here, and what to try first."""
        ...


@dataclass(frozen=True)
class Arm:
    """An arm of an experiment; figures are None before there are any."""

    name: str
    version: str
    share: float
    control: bool
    users: int | None = None
    judged: int | None = None
    mean: float | None = None
    difference: float | None = None  # from the control, adjusted
    low: float | None = None
    high: float | None = None
    word: Word | None = None
    why: str = ""
    power: float | None = None  # chance to have found the smallest effect by the experiment's end
    least_effect: float | None = None  # share of the control's mean that would be found in 80 of 100 by then


@dataclass(frozen=True)
class Shares:
    """Whether users fell to the arms as declared."""

    state: Literal["unknown", "as_declared", "watch", "broken"]
    odds: float = 0.0  # evidence against the declared shares, as odds; from 1,000 on it is broken


@dataclass(frozen=True)
class Experiment:
    """One experiment: declared, waiting, under way or over."""

    name: str
    state: Literal["declared", "waits", "running", "over"]
    phase: str = ""
    arms: tuple[Arm, ...] = ()
    event: str = ""
    measure: str = ""
    within_hours: float = 0.0
    better: str = "more"
    smallest_effect: float = 0.0
    alpha: float = 0.0
    min_users: int = 0
    on_winner: str = "report"
    day: float | None = None  # since its users began
    days: float = 0.0
    shares: Shares = Shares("unknown")
    result: str = ""  # better, worse, no difference, broken, stopped, abandoned, failed
    why: str = ""
    ended: str = ""  # ISO


class Experiments(Protocol):
    """What the page of experiments asks."""

    def all(self) -> tuple[Experiment, ...]:
        """Return what is under way, then the last that ended, then the declared others."""
        ...


@dataclass(frozen=True)
class Signal:
    """A signal over its periods: what moved, how far, since when, and what is usual."""

    name: str
    said: Said
    since: Said
    expected: Said  # what explains it; empty where nothing does
    reason: str  # class
    when: str  # now, lasting, information; '' for one that did not move
    points: tuple[Point, ...]
    usual: tuple[float, float] | None
    kind: str = ""


@dataclass(frozen=True)
class Check:
    """What one check said."""

    at: str  # ISO, wall time
    period: str  # ISO, when the period began that it judged
    verdict: str
    reason: str  # class
    alarms: tuple[str, ...]
    release: str


@dataclass(frozen=True)
class Attempt:
    """A training that a reason led to. Days are the data's."""

    began: str
    ended: str
    action: str
    reason: str
    why: str
    result: str
    version: str
    said: str


@dataclass(frozen=True)
class Decided:
    """What retraining decided last."""

    action: str
    reason: str
    why: str
    at: str
    until: str
    stopped: bool
    failures: int


@dataclass(frozen=True)
class Watched:
    """Drift over time. `checked` is '' where nothing was checked yet."""

    checked: str
    verdict: str
    reason: str  # class
    headline: Said
    meaning: Said
    moved: tuple[Signal, ...]
    explained: tuple[Signal, ...]
    small: tuple[Signal, ...]
    usual: tuple[Signal, ...]  # signals that are watched first, and did not move
    judged: int
    periods: int
    checks: tuple[Check, ...]  # newest first
    attempts: tuple[Attempt, ...]  # newest first
    decided: Decided | None
    rule: bool  # the spec has monitoring.retrain
    untold: str = ""
    columns: tuple[str, ...] = ()  # that drifted between the windows, in words


class Drift(Protocol):
    """What the page of drift asks."""

    def watched(self) -> Watched:
        """Return the last check, the history of checks and signals, and what was done."""
        ...


@dataclass(frozen=True)
class Link:
    """The same thing in another tool."""

    where: Where
    url: str


class Links(Protocol):
    """Where the same things are in other tools; () where no address of a tool is known."""

    def servers(self) -> tuple[Link, ...]:
        """Return the tools themselves."""
        ...

    def version(self, version: str) -> tuple[Link, ...]:
        """Return a release's version and the run that registered it."""
        ...

    def versions(self) -> tuple[Link, ...]:
        """Return the list of all versions, and of all runs."""
        ...

    def drift(self) -> tuple[Link, ...]:
        """Return the newest report of drift."""
        ...
