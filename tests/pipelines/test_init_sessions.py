"""`init` drafts intents of a visit where files have sessions or silences that cut visits clearly, and says so."""

import csv
import datetime as dt
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.snapshot import Snapshot
from components.intent.sessions.spec import SessionModel
from components.intent.sessions.steps import run_train_session
from components.profiles.steps import weeks_of
from feature_repo import files
from feature_repo.checkout import ROOT
from pipelines import spec
from pipelines.init import Draft, draft

FUNNEL = ROOT.parent / "shared" / "data" / "funnel.csv"
START = dt.datetime(2024, 1, 1)
HEADER = "visitor_id,item_id,event,session,timestamp"
Row = tuple[object, ...]


def drafted(folder: Path, header: str, rows: Iterator[Row]) -> Draft:
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    made = draft(folder / "log.csv", name="log", folder=folder)
    (folder / "log.yaml").write_text(made.text)
    spec.load(folder / "log.yaml")
    return made


def clicks(*, visitors: int = 400, minutes: float = 1.5, per_visitor: int = 2, lasting: bool = False) -> Iterator[Row]:
    """Visits over 60 days: some things are looked at, every third visit puts one aside, every sixth buys it."""
    dice = random.Random(0)
    for visitor in range(visitors):
        for again in range(per_visitor):
            begin = dice.random() * 26 + 30 * again
            session = f"s{visitor}" if lasting else f"s{visitor}-{again}"
            kinds = ["view"] * dice.randrange(1, 5)
            kinds += ["cart"] * (visitor % 3 == 0) + ["purchase"] * (visitor % 6 == 0)
            for n, kind in enumerate(kinds):
                at = START + dt.timedelta(days=begin, minutes=n * minutes)
                yield visitor, f"p{dice.randrange(15)}", kind, session, at.isoformat(timespec="seconds")


def without_session(rows: Iterator[Row]) -> Iterator[Row]:
    return ((*row[:3], row[4]) for row in rows)


def of_visits(document: dict[str, object]) -> list[dict[str, object]]:
    intents = document["intents"]
    assert isinstance(intents, list)
    return [intent for intent in intents if intent.get("horizon") == "session"]


DRAFTED = [
    {"name": "buy_now", "event": "purchase", "horizon": "session"},
    {"name": "cart_now", "event": "cart", "horizon": "session"},
    {"name": "leave", "ends": True, "horizon": "session"},
]


def test_named_sessions_are_visits(tmp_path: Path) -> None:
    made = drafted(tmp_path, HEADER, clicks())
    document = yaml.safe_load(made.text)
    assert of_visits(document) == DRAFTED
    assert "session_gap" not in document["data"]
    assert document["promotion"]["gates"][-1] == {
        "metric": "session.auroc",
        "against": "baseline",
        "tolerance": 0.02,
    }
    assert spec.load(tmp_path / "log.yaml").promotion.gates[:-1] == spec.Promotion().gates
    (line,) = [line for line in made.said if "visits, by session_id:" in line]
    assert line == (
        "800 visits, by session_id: 3.0 events each, 85% go on after their first moment; they end in view 66.5%, "
        "cart 16.8%, purchase 16.8%"
    )
    assert f"# - {line}" in made.text
    assert "what a user may do within 7 days;" in made.text  # of the first intent, not of those of a visit


def test_where_no_column_names_sessions_a_clear_silence_cuts_visits(tmp_path: Path) -> None:
    made = drafted(tmp_path, HEADER.replace("session,", ""), without_session(clicks()))
    document = yaml.safe_load(made.text)
    assert of_visits(document) == DRAFTED
    assert document["data"]["session_gap"] == "30m"
    assert "session_gap: 30m  # silence that ends a visit" in made.text
    (line,) = [line for line in made.said if "visits, cut where" in line]
    assert line.startswith(
        "800 visits, cut where a user is silent for more than 30 minutes (0.0% of the silences are between half of "
        "that and twice of it): 3.0 events each"
    )


@pytest.mark.parametrize(("minutes", "gap"), [(1.5, "30m"), (25, "1h"), (50, "2h")])
def test_slow_visits_are_cut_by_a_longer_silence(tmp_path: Path, minutes: float, gap: str) -> None:
    made = drafted(tmp_path, HEADER.replace("session,", ""), without_session(clicks(minutes=minutes)))
    assert yaml.safe_load(made.text)["data"]["session_gap"] == gap


def test_sessions_that_last_for_weeks_are_cut_by_silence_too(tmp_path: Path) -> None:
    made = drafted(tmp_path, HEADER, clicks(lasting=True))
    document = yaml.safe_load(made.text)
    assert document["data"]["session_gap"] == "30m"
    assert of_visits(document) == DRAFTED
    assert any("by session_id, and cut where a user is silent for more than 30 minutes" in line for line in made.said)


def even(dice: random.Random) -> Iterator[Row]:
    """Silences of all lengths from a minute to a week, none rarer than others."""
    for visitor in range(200):
        at = START + dt.timedelta(days=dice.random() * 5)
        for n in range(30):
            kind = ("view", "view", "cart", "purchase")[n % 4]
            yield visitor, f"p{n % 9}", kind, at.isoformat(timespec="seconds")
            at += dt.timedelta(minutes=10 ** (4 * dice.random()))


def baskets(dice: random.Random) -> Iterator[Row]:
    """Orders of some things at one time each, under the order's number."""
    for visitor in range(200):
        for order in range(5):
            at = (START + dt.timedelta(days=9 * order + dice.random() * 8)).isoformat(timespec="seconds")
            for n, kind in enumerate(("cart", "purchase", "purchase")):
                yield visitor, f"p{n}", kind, f"o{visitor}-{order}", at


def listens(dice: random.Random) -> Iterator[Row]:
    for visitor in range(100):
        for day in range(60):
            for n in range(3):
                at = START + dt.timedelta(days=day + dice.random() / 2, minutes=3 * n)
                yield visitor, f"p{dice.randrange(9)}", ("play", "skip")[n % 2], at.isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("visitor_id,item_id,event,timestamp", even),  # no silence tells visits apart
        (HEADER, baskets),  # nothing ever follows within one
        ("visitor_id,item_id,event,timestamp", listens),  # nothing is bought: no kind says what a visit is for
    ],
)
def test_other_files_get_no_intents_of_a_visit(
    tmp_path: Path, header: str, rows: Callable[[random.Random], Iterator[Row]]
) -> None:
    made = drafted(tmp_path, header, rows(random.Random(0)))
    document = yaml.safe_load(made.text)
    assert not of_visits(document)
    assert "session_gap" not in document["data"]
    assert "gates" not in document["promotion"]
    assert not any(" visits, " in line for line in made.said)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (clicks(visitors=60), "visits begin in the validate steps, and at least 40 are needed"),
        (
            (row for row in clicks() if row[2] == "view" or (row[2] == "cart" and row[0] in (0, 3))),
            "'cart' follows in 2 of ",
        ),
    ],
)
def test_what_a_model_could_not_learn_from_is_said_instead(tmp_path: Path, rows: Iterator[Row], why: str) -> None:
    made = drafted(tmp_path, HEADER, rows)
    assert not of_visits(yaml.safe_load(made.text))
    (line,) = [line for line in made.said if line.startswith("no intent of a visit is drafted: ")]
    assert why in line


def trained(folder: Path, file: Path) -> dict[str, Any]:
    """Run a draft's session model as the pipeline's steps do, with few epochs; return its figures."""
    drafted = spec.load(file)
    data, rule = drafted.judged_data(), drafted.session_rule()
    assert rule is not None
    ingest(data, folder / "tables", key="00" * 16, base=folder)
    validate(folder / "tables", data, folder / "clean")
    snapshot = files.read_json(folder / "clean" / "snapshot.json")
    weeks = weeks_of(snapshot, drafted.split_slice())
    rows = folder / "rows"
    rows.mkdir()
    files.write_json(rows / "split.json", {name: list(getattr(weeks, name)) for name in ("train", "validate", "test")})
    files.write_json(rows / "calendar.json", Snapshot.load(folder / "clean").calendar.document())
    quick = rule.model_copy(update={"model": SessionModel(epochs=1, width=8)})
    run_train_session(quick.model_dump_json(), clean=folder / "clean", rows=rows, destination=folder / "session")
    found: dict[str, Any] = files.read_json(folder / "session" / "evaluation" / "metrics.json")
    return found


@pytest.mark.parametrize("named", [True, False])
def test_the_draft_of_a_clickstream_runs(tmp_path: Path, named: bool) -> None:
    header = HEADER if named else HEADER.replace("session,", "")
    drafted(tmp_path, header, clicks() if named else without_session(clicks()))
    figures = trained(tmp_path, tmp_path / "log.yaml")
    assert all(figures["test"][f"auroc:{intent['name']}"] is not None for intent in DRAFTED)
    assert figures["test"]["sessions"] >= 40


@pytest.mark.skipif(not FUNNEL.is_file(), reason="needs the onboarding funnel, which is not published with this")
def test_the_draft_of_a_shop_s_funnel_asks_whether_a_visit_pays_and_runs(tmp_path: Path) -> None:
    made = draft(FUNNEL, name="funnel", folder=tmp_path)
    document = yaml.safe_load(made.text)
    assert document["data"]["session_gap"] == "30m"
    assert of_visits(document)[0] == {"name": "buy_now", "event": "payment_done", "horizon": "session"}
    assert any(line.startswith("6,454 visits, cut where a user is silent for more than 30 min") for line in made.said)
    (tmp_path / "funnel.yaml").write_text(made.text)
    figures = trained(tmp_path, tmp_path / "funnel.yaml")
    assert figures["test"]["auroc:buy_now"] > 0.5
