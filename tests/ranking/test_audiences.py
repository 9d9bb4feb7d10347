"""Audiences: the curve by hand, its calibration on the checkerboard, and the file that the batch writes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ranking import audiences, batch
from components.ranking import train as training
from components.ranking.audiences import ABOUT, TABLE, Curve
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.train import Trained
from feature_repo import columns, files
from feature_repo.errors import DataError, SpecError
from feature_repo.fallback import RUNG
from feature_repo.privacy.pseudonyms import KEY, pseudonym
from feature_repo.privacy.tombstones import Tombstones
from tests.ranking import board
from tests.ranking.board import VISIT, Happened, intents, known_row

USERS = ("u00", "u01", "u02", "u03", "u04")


@pytest.fixture(scope="module")
def curve(trained: Trained, world: World) -> Curve:
    return audiences.fit(trained.ranker, world, world.weeks("validate"))


def test_probabilities_rise_with_the_rankers_share_and_lie_between_0_and_1(curve: Curve) -> None:
    assert (np.diff(curve.share) > 0).all()
    assert (np.diff(curve.probability) >= 0).all()
    assert 0 <= curve.probability[0] < 0.3 < curve.probability[-1] <= 1
    assert (curve.visit, curve.rows) == ("visit", 71) or curve.visit == "visit"


def test_what_is_said_comes_true_on_weeks_that_the_curve_has_not_seen(
    trained: Trained, world: World, curve: Curve
) -> None:
    found = audiences.report(trained.ranker, curve, world)
    assert found["mean_probability"] == pytest.approx(found["mean_wanted"], abs=0.02)
    assert found["expected_calibration_error"] < 0.03  # type: ignore[operator]
    said, true = np.asarray(found["groups"]).T
    assert true[-1] > 4 * true[0]
    assert (np.diff(said) >= 0).all()


def test_shares_by_themselves_are_no_probabilities(trained: Trained, world: World, curve: Curve) -> None:
    as_they_are = replace(curve, share=(0.0, 1.0), probability=(0.0, 1.0))
    raw = audiences.report(trained.ranker, as_they_are, world)["expected_calibration_error"]
    assert raw > 2 * audiences.report(trained.ranker, curve, world)["expected_calibration_error"]  # type: ignore[operator]


def test_a_curve_is_learnt_only_where_the_spec_asks(trained: Trained, world: World) -> None:
    assert trained.audience is None
    assert "audiences" not in Ranking().model_dump()
    formula = board.SPEC.model_copy(update={"algorithm": "frequency", "audiences": True})
    assert training.train(world, formula).audience is not None


def test_a_curve_is_saved_whole(curve: Curve, tmp_path: Path) -> None:
    assert audiences.load(tmp_path) is None
    audiences.save(curve, tmp_path)
    assert audiences.load(tmp_path) == curve


@pytest.fixture
def batched(trained: Trained, curve: Curve, happened: dict[str, Happened], tmp_path: Path) -> dict[str, Path]:
    """Rows, intents and a release as the batch has them; u04's profile is too old for the models."""
    rows = board.table([known_row(user, happened[user], 21) for user in USERS]).drop(["week", "bought"])
    rungs = ["fresh", "fresh", "stale", "fresh", "segment"]
    rows = rows.append_column(RUNG, pa.array(rungs)).append_column(batch.GROUP, pa.array([0] * len(USERS)))
    found = {name: tmp_path / name for name in ("rows", "intents", "release", "out")}
    for folder in found.values():
        folder.mkdir()
    pq.write_table(rows, found["rows"] / batch.ROWS)
    table = {columns.USER_ID: list(USERS), batch.PROBABILITIES: [intents(user) for user in USERS]}
    chances = pa.table(
        table, schema=pa.schema({columns.USER_ID: pa.string(), batch.PROBABILITIES: pa.list_(pa.float32())})
    )
    pq.write_table(chances, found["intents"] / batch.INTENTS)
    ranking = found["release"] / "ranking"
    ranking.mkdir()
    trained.ranker.save(ranking)
    audiences.save(curve, ranking)
    (found["release"] / "intent").mkdir()
    rest: dict[str, Any] = {
        "name": "board", "vocabulary": trained.ranker.vocabulary.digest, "policy": "greedy@1",
        "intent": {"version": "1", "digest": "a"}, "ranking": {"version": "1", "digest": "b"},
        "serving": {"ranking": {}, "serving": {"k": 4}},
    }  # fmt: skip
    files.write_json(found["release"] / "release.json", {"id": files.digest(rest), **rest})
    return found


def written(batched: dict[str, Path], **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, int]]:
    asked = {"wanted": {"tea": ["i00"]}, "most": 100, "environment": {}} | more
    counts = audiences.write(batched["rows"], batched["intents"], batched["release"], batched["out"], **asked)
    about = json.loads((batched["out"] / ABOUT).read_text())
    return pq.read_table(batched["out"] / TABLE).to_pylist(), about, counts


def test_each_probability_is_that_of_coming_times_that_of_wanting(
    batched: dict[str, Path], trained: Trained, curve: Curve, happened: dict[str, Happened]
) -> None:
    lines, about, counts = written(batched)
    assert {line["audience"] for line in lines} == {"tea"}
    assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))
    chances = [line["probability"] for line in lines]
    assert chances == sorted(chances, reverse=True)
    for line in lines:
        rows = board.user_rows(known_row(line["user_id"], happened[line["user_id"]], 21))
        likely = np.asarray([intents(line["user_id"])], np.float32)
        scored = trained.ranker.rank(rows, likely)
        mine = int(np.flatnonzero(scored.found.item == 0)[0])
        raised = np.exp(scored.scores - scored.scores.max())
        wants = float(curve.of(raised / raised.sum())[mine])
        assert line["probability"] == pytest.approx(float(likely[0, VISIT]) * wants, rel=1e-4)
    assert about["given_visit"] is False
    assert (counts["users"], counts["unmodelled"]) == (5, 1)
    assert "u04" not in {line["user_id"] for line in lines}, "no model answers for an old profile"


def test_of_several_items_a_user_wants_one_or_more(batched: dict[str, Path]) -> None:
    alone = {name: {} for name in ("i00", "i02")}
    for name in alone:
        lines, _, _ = written(batched, wanted={"one": [name]})
        alone[name] = {line["user_id"]: line["probability"] for line in lines}
    both, _, _ = written(batched, wanted={"offer": ["i00", "i02"]})
    come = {user: intents(user)[VISIT] for user in USERS}
    for line in both:
        user = line["user_id"]
        miss = np.prod([1 - alone[name].get(user, 0.0) / come[user] for name in alone])
        assert line["probability"] == pytest.approx(come[user] * (1 - miss), rel=1e-4)


def test_the_likeliest_are_kept_and_those_who_were_left_out_are_counted(batched: dict[str, Path]) -> None:
    every, _, _ = written(batched)
    first, about, _ = written(batched, most=1)
    assert first == every[:1]
    assert about["of"]["tea"] == {"items": ["i00"], "users": 1, "reached": len(every)}


def test_without_an_intent_of_coming_it_is_given_that_the_user_comes_and_says_so(
    batched: dict[str, Path], curve: Curve
) -> None:
    audiences.save(replace(curve, visit=""), batched["release"] / "ranking")
    lines, about, _ = written(batched)
    assert about["given_visit"] is True
    assert max(line["probability"] for line in lines) <= curve.probability[-1]


def test_who_was_forgotten_is_in_no_audience(batched: dict[str, Path], tmp_path: Path) -> None:
    key = "5eed"
    home = tmp_path / "home"
    Tombstones(home, (key,)).write("person", {"state": "forgotten"})
    hidden = pseudonym("person", key)
    rows = pq.read_table(batched["rows"] / batch.ROWS)
    names = [hidden if user == "u00" else user for user in rows[columns.USER_ID].to_pylist()]
    for folder, file in (("rows", batch.ROWS), ("intents", batch.INTENTS)):
        table = pq.read_table(batched[folder] / file)
        at = table.schema.get_field_index(columns.USER_ID)
        pq.write_table(table.set_column(at, columns.USER_ID, pa.array(names)), batched[folder] / file)
    lines, _, _ = written(batched)
    assert hidden in {line["user_id"] for line in lines}
    after, _, _ = written(batched, environment={"INTENTFLOW_HOME": str(home), KEY: key})
    assert {line["user_id"] for line in lines} - {line["user_id"] for line in after} == {hidden}


@pytest.mark.parametrize(
    ("items", "error"),
    [
        (["i0"], 'jobs.audiences.of.tea: "i0" is no item of the release'),
        (["i00", "nothing like it"], 'jobs.audiences.of.tea: "nothing like it" is no item of the release'),
    ],
)
def test_an_item_that_is_none_is_refused_and_nothing_is_written(
    batched: dict[str, Path], items: list[str], error: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        written(batched, wanted={"tea": items})
    assert str(refusal.value).startswith(error)
    assert list(batched["out"].iterdir()) == []


def test_a_withdrawn_item_has_no_audience(trained: Trained) -> None:
    hidden = np.zeros(board.ITEMS, dtype=bool)
    hidden[3] = True
    ranker = replace(trained.ranker, catalogue=replace(trained.ranker.catalogue, hidden=hidden))
    with pytest.raises(SpecError, match=r'of.tea: "i03" is withdrawn; leave it out, or restore it'):
        audiences._places(ranker, "tea", ["i00", "i03"])


def test_a_release_without_a_curve_is_refused(batched: dict[str, Path]) -> None:
    (batched["release"] / "ranking" / audiences.FILE).unlink()
    with pytest.raises(DataError, match=r"was trained without audiences; set models.ranking.audiences: true"):
        written(batched)


def test_nothing_wanted_is_no_curve(trained: Trained, world: World) -> None:
    bare = replace(
        trained.ranker, spec=trained.ranker.spec.model_copy(update={"history": 0, "neighbours": 0, "popular": 1})
    )
    odd = replace(bare, catalogue=bare.catalogue)
    assert isinstance(odd, Ranker)
    examples = world.examples.of_weeks(world.weeks("validate"))
    nothing = replace(
        world,
        examples=replace(examples, bought=replace(examples.bought, values=np.full_like(examples.bought.values, 29))),
    )
    with pytest.raises(DataError, match="no candidate of the validation weeks was wanted"):
        audiences.fit(odd, nothing, world.weeks("validate"))
