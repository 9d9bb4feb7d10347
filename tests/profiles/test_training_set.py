"""Training rows know what was known, no more; and serving reads the very same rows."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.intent.context import TargetContext
from components.intent.encode import encode, profile_names
from components.profiles import steps
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import UserRows
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.conftest import Made, make

pytestmark = pytest.mark.world


def test_weeks_are_train_then_validate_then_test(made: Made) -> None:
    split = files.read_json(made.rows / "split.json")
    assert split["train"] == list(range(5, 13))
    assert split["validate"] == [13, 14]
    assert split["test"] == [15, 16]
    assert split["ranking"] == [10, 11, 12, 13, 14, 15]
    assert split["next"] == 17


def test_labels_are_what_the_user_bought_in_the_week(made: Made) -> None:
    vocabulary = Vocabulary.load(made.rows / "vocabulary")
    names = vocabulary.target_names
    rows = pq.read_table(made.rows / "intent.parquet").to_pylist()
    category = {str(i["item_id"]): str(i["category"]) for i in made.world.items}
    calendar = Calendar(worlds.FIRST_DAY)
    bought: dict[tuple[str, int], set[str]] = {}
    for e in made.world.events:
        week = calendar.week(e["timestamp"])  # type: ignore[arg-type]
        bought.setdefault((str(e["user_id"]), week), {"visit"}).add(f"buy:{category[str(e['item_id'])]}")
    for row in rows:
        assert {names[t] for t in row["label_ids"]} == bought[row["user_id"], row["week"]]


def test_a_row_is_as_known_at_the_start_of_its_week(made: Made, tmp_path: Path) -> None:
    """Everything from week 10 on changes; rows of weeks up to 10 must not."""
    calendar = Calendar(worlds.FIRST_DAY)
    future = calendar.start(10)
    events = [
        e | {"item_id": "i0", "value": 1e6} if e["timestamp"] >= future else e  # type: ignore[operator]
        for e in made.world.events
    ]
    other = make(dataclasses.replace(made.world, events=events), tmp_path)
    before, after = (pq.read_table(m.profiles / "user_targets.parquet") for m in (made, other))
    keys = [("week", "ascending"), ("user_id", "ascending")]
    cut = pc.field("week") <= 10
    assert (
        before.filter(cut)
        .sort_by(keys)
        .drop(["segment"] if "segment" in before.column_names else [])
        .equals(after.filter(cut).sort_by(keys))
    )
    assert not before.sort_by(keys).equals(after.sort_by(keys))


def test_state_rows_hold_nothing_from_their_own_instant_on(made: Made) -> None:
    table = pq.read_table(made.profiles / "user_profile.parquet")
    assert pc.all(pc.less(table["last_at"], table["state_at"])).as_py()


def test_rows_do_not_depend_on_the_users_pseudonyms(made: Made, tmp_path: Path) -> None:
    """Another key renames users; the order of rows, and so every seed's work, stays."""
    renamed = {u: f"z{99 - int(u[1:]):02}" for u in made.world.users}
    events = [e | {"user_id": renamed[str(e["user_id"])]} for e in made.world.events]
    users = [renamed[u] for u in made.world.users]
    other = make(dataclasses.replace(made.world, events=events, users=users), tmp_path)
    for name in ("intent", "ranking"):
        mine, theirs = (pq.read_table(m.rows / f"{name}.parquet").drop(["user_id"]) for m in (made, other))
        assert mine.equals(theirs), name


def test_a_user_silent_since_the_warm_up_still_has_a_row(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=6)
    calendar = Calendar(worlds.FIRST_DAY)
    events = [e for e in world.events if e["user_id"] != "u00" or e["timestamp"] < calendar.start(3)]  # type: ignore[operator]
    made = make(dataclasses.replace(world, events=events), tmp_path)
    rows = pq.read_table(made.rows / "intent.parquet")
    mine = rows.filter(pc.equal(rows["user_id"], "u00")).to_pylist()
    assert [r["week"] for r in mine] == list(range(5, 17))
    assert all(r["label_ids"] == [] and r["sessions_total"] == 2 for r in mine)


@pytest.fixture(scope="session")
def online(made: Made, tmp_path_factory: pytest.TempPathFactory) -> OnlineProfiles:
    home = tmp_path_factory.mktemp("home")
    feast = {
        "registry": str(home / "registry.db"),
        "online_store": {"type": "sqlite", "path": str(home / "online.db")},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTENTFLOW_HOME", str(home))
        patch.setenv("INTENTFLOW_FEAST", json.dumps(feast))
        steps.run_materialise("world", profiles=made.profiles, release_version="1")
        vocabulary = Vocabulary.load(made.profiles / "vocabulary")
        return OnlineProfiles.open("world", Folding(Calendar(worlds.FIRST_DAY), vocabulary, (7, 28, 91)))


def _offline(made: Made, *, week: int, now: int) -> UserRows:
    """Read the feature files' rows of one cutoff, as point-in-time retrieval returns them."""
    tables = [pq.read_table(made.profiles / f"{v}.parquet") for v in ("user_profile", "user_targets", "user_history")]
    rows = [{r["user_id"]: r for r in t.to_pylist() if r["week"] == week} for t in tables]
    merged = [rows[0][u] | rows[1][u] | rows[2][u] for u in made.world.users]
    return UserRows.from_arrow(
        pa.Table.from_pylist([r | {"now": now} for r in merged]).drop(["week", "event_timestamp"])
    )


def test_online_rows_equal_offline_rows(made: Made, online: OnlineProfiles) -> None:
    now = int(Calendar(worlds.FIRST_DAY).start(17).timestamp())
    stored, expected = online.read(made.world.users, now=now), _offline(made, week=17, now=now)
    assert stored.known.all()
    np.testing.assert_array_equal(stored.state_at, expected.state_at)
    for name, values in expected.numbers.items():
        np.testing.assert_allclose(stored.numbers[name], values, rtol=1e-12, err_msg=name)
    for name, lists in expected.lists.items():
        np.testing.assert_array_equal(stored.lists[name].offsets, lists.offsets, err_msg=name)
        np.testing.assert_array_equal(stored.lists[name].values, lists.values, err_msg=name)


def test_a_stale_row_gives_the_same_tensors_offline_and_online(made: Made, online: OnlineProfiles) -> None:
    """No encoder hides a row past its TTL; its windows are empty by now, its ages are as they are."""
    now = int(Calendar(worlds.FIRST_DAY).start(17).timestamp()) + 100 * 86_400
    stored, expected = online.read(made.world.users, now=now), _offline(made, week=17, now=now)
    n_targets = len(Vocabulary.load(made.rows / "vocabulary").targets)
    context = TargetContext.load(made.rows / "target_state.parquet", n_targets=n_targets)
    served, trained = (
        encode(rows, context, calendar=Calendar(worlds.FIRST_DAY), n_targets=n_targets) for rows in (stored, expected)
    )
    for name, values in vars(trained).items():
        np.testing.assert_array_equal(vars(served)[name], values, err_msg=name)
    windows = [profile_names((7, 28, 91)).index(f"sessions_{days}d") for days in (7, 28, 91)]
    assert (served.profile[:, windows] == 0).all(), "nothing that the row knows is within 91 days"
    assert (stored.numbers["sessions_91d"] > 0).all(), "the row itself is as it was"


def test_a_user_the_store_has_never_seen_is_unknown(online: OnlineProfiles) -> None:
    rows = online.read(["nobody"], now=1)
    assert not rows.known[0]
    assert len(rows.lists["target_ids"].values) == 0


def test_a_pushed_event_is_in_the_next_read(online: OnlineProfiles) -> None:
    at = int(Calendar(worlds.FIRST_DAY).start(17).timestamp()) + 60
    before = online.read(["u00"], now=at)
    online.push("u00", [Event("i1", "purchase", at, "new-session", value=7.0)])
    after = online.read(["u00"], now=at)
    assert after.numbers["events_total"][0] == before.numbers["events_total"][0] + 1
    assert after.numbers["value_7d"][0] == pytest.approx(before.numbers["value_7d"][0] + 7.0, abs=30)
    odd = online.folding.vocabulary.index_of_item["i1"]
    assert odd in after.lists["history_items"].row(0)
    assert odd not in before.lists["history_items"].row(0)


def test_a_new_user_gets_a_row_by_their_first_event(online: OnlineProfiles) -> None:
    at = int(Calendar(worlds.FIRST_DAY).start(17).timestamp()) + 60
    rows = online.push("newcomer", [Event("i2", "purchase", at, "s")])
    assert rows.known[0]
    assert rows.numbers["sessions_total"][0] == 1


def test_segments_tell_even_users_from_odd(made: Made) -> None:
    table = pq.read_table(made.profiles / "user_profile.parquet", columns=["user_id", "week", "segment"])
    last = {r["user_id"]: r["segment"] for r in table.to_pylist() if r["week"] == 17}
    even, odd = ({last[u] for u in made.world.users if int(u[1:]) % 2 == side} for side in (0, 1))
    assert len(even) == len(odd) == 1
    assert even != odd


def test_a_row_of_another_vocabulary_counts_as_none(made: Made, online: OnlineProfiles) -> None:
    vocabulary = Vocabulary.load(made.profiles / "vocabulary")
    turned = dataclasses.replace(vocabulary, targets=vocabulary.targets[::-1])
    other = OnlineProfiles(online.online, Folding(Calendar(worlds.FIRST_DAY), turned, (7, 28, 91)))
    assert online.read(["u02"], now=1).known[0]
    assert not other.read(["u02"], now=1).known[0]
