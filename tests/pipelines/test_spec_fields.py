"""Every number and word of the models' slices: what it is by default, and its borders from both sides."""

import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from components.content.spec import Content
from components.data.spec import Clean, Data, Split
from components.intent.spec import Intent, IntentModel
from components.profiles.spec import Profiles, Reduce, Segments, Selection
from components.ranking.spec import Candidates, Ranking
from components.registry.spec import Gate, Parity, Promotion, Rollout, Shadow, Tolerance
from feature_repo.errors import SpecError
from pipelines import spec

SOURCE = {"type": "csv", "events": {"path": "events.csv"}}
REQUIRED: dict[type[BaseModel], dict[str, Any]] = {
    Intent: {"name": "buy"},
    Gate: {"metric": "intent.map", "against": "champion", "tolerance": 0.5},
    Data: {"source": SOURCE},
}
# slice, field, default, smallest and largest that is allowed; None: no such border
NUMBERS = [
    (Content, "max_items", 10, 1, 100),
    (Content, "max_attributes", 5, 0, 20),
    (Clean, "min_quantity", 0, 0, None),
    (Split, "warmup_weeks", 4, 1, 260),
    (Split, "validate_weeks", 2, 1, 52),
    (Split, "test_weeks", 2, 1, 52),
    (Split, "warmup_steps", None, 1, 50_000),
    (Split, "validate_steps", None, 1, 10_000),
    (Split, "test_steps", None, 1, 10_000),
    (Split, "leave_one_out", None, 2, 1000),
    (Intent, "top", 100, 1, 1000),
    (Intent, "horizon_days", 7, 1, 365),
    (IntentModel, "layers", 2, 1, 8),
    (IntentModel, "dropout", 0.1, 0, None),
    (IntentModel, "epochs", 3, 1, 100),
    (IntentModel, "batch_size", 512, 8, 65536),
    (IntentModel, "learning_rate", 0.002, None, 1),
    (IntentModel, "seed", 0, 0, None),
    (Profiles, "ttl_days", 120, 1, 3650),
    (Profiles, "stale_days", None, 120, 36_500),
    (Profiles, "train_users", None, 100, None),
    (Profiles, "silent_one_in", "auto", 1, 1000),
    (Segments, "k", 8, 2, 64),
    (Reduce, "components", 0.95, None, 512),
    (Candidates, "history", 150, 0, 512),
    (Candidates, "neighbours", 100, 0, 512),
    (Candidates, "offers", 50, 0, 512),
    (Candidates, "popular", 50, 1, 512),
    (Ranking, "min_item_sessions", 20, 1, None),
    (Ranking, "min_item_users", 5, 1, None),
    (Ranking, "train_weeks", 8, 2, 260),
    (Ranking, "test_every_weeks", 1, 1, 8),
    (Ranking, "width", 64, 8, 512),
    (Ranking, "dropout", 0.2, 0, None),
    (Ranking, "epochs", 3, 1, 100),
    (Ranking, "batch_size", 32, 1, 4096),
    (Ranking, "learning_rate", 0.003, None, 1),
    (Ranking, "seed", 0, 0, None),
    (Gate, "repeats", None, 1, 100),
    (Gate, "min_rows", None, 1, None),
    (Gate, "min_users", 20, 1, None),
    (Parity, "min_checked", 0, 0, None),
    (Tolerance, "errors", 0.002, 0, 1),
    (Tolerance, "slow", 0.05, 0, 1),
    (Tolerance, "degraded", 0.02, 0, 1),
    (Tolerance, "reward", 0.05, 0, 1),
    (Shadow, "requests", 50, 0, None),
    (Shadow, "min_overlap", 0.0, 0, 1),
    (Rollout, "step_requests", 40, 1, None),
    (Rollout, "hold_s", 5.0, 0, None),
    (Rollout, "wait_s", 900.0, None, None),
    (Rollout, "alpha", 0.05, None, 0.5),
    (Rollout, "reward_s", 60.0, None, None),
    (Rollout, "keep_previous_s", 600.0, 0, None),
]


def made(kind: type[BaseModel], **given: Any) -> Any:
    return kind.model_validate(REQUIRED.get(kind, {}) | given)


@pytest.mark.parametrize(
    ("kind", "name", "default", "smallest", "largest"), NUMBERS, ids=[f"{k.__name__}.{n}" for k, n, *_ in NUMBERS]
)
def test_a_number_has_a_default_and_borders(
    kind: type[BaseModel], name: str, default: Any, smallest: Any, largest: Any
) -> None:
    assert getattr(made(kind), name) == default
    whole = isinstance(smallest, int) and isinstance(default or 0, int)
    step = 1 if whole else 1e-6
    for border, beyond in ((smallest, -step), (largest, step)):
        if border is not None:
            assert getattr(made(kind, **{name: border}), name) == border
            with pytest.raises(ValidationError):
                made(kind, **{name: border + beyond})


@pytest.mark.parametrize(
    ("kind", "name", "right", "wrong"),
    [
        (IntentModel, "dropout", 0.999, 1),
        (IntentModel, "learning_rate", 1e-9, 0),
        (IntentModel, "width", 8, 4),
        (IntentModel, "width", 512, 520),
        (IntentModel, "width", 72, 76),  # heads share it
        (Ranking, "dropout", 0.999, 1),
        (Ranking, "learning_rate", 1e-9, 0),
        (Selection, "unstable_psi", 1e-9, 0),
        (Gate, "tolerance", 1, 1.001),
        (Rollout, "wait_s", 1e-9, 0),
        (Rollout, "alpha", 1e-9, 0),
        (Rollout, "reward_s", 1e-9, 0),
        (Rollout, "steps", (1e-9, 1), (0, 1)),
        (Rollout, "steps", (0.5, 1), (0.5, 1.1)),
        (Rollout, "steps", (1,), ()),
        (Rollout, "slow_ms", 2500, 300),
        (Profiles, "windows_days", (1,), ()),
        (Profiles, "windows_days", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6)),
        (Profiles, "attributes", tuple(f"a{n}" for n in range(16)), tuple(f"a{n}" for n in range(17))),
        (Intent, "name", "buy_2", "2buy"),
        (Intent, "name", "b" * 40, "b" * 41),
        (Intent, "name", "b", "Buy"),
        (Intent, "level", "items.Genre_2", "items.2"),
        (Intent, "level", "category", "items"),
        (Segments, "k", "auto", "many"),
        (Segments, "k", 2, 2.5),
        (Reduce, "components", 1, 0),
        (Reduce, "components", 1e-9, 0.0),
        (Reduce, "components", 0.999, 1.0),
        (Reduce, "components", 8, 8.0),
        (Reduce, "components", 1, True),
    ],
)
def test_a_value_beside_the_border_is_refused(kind: type[BaseModel], name: str, right: Any, wrong: Any) -> None:
    assert getattr(made(kind, **{name: right}), name) == right
    with pytest.raises(ValidationError):
        made(kind, **{name: wrong})


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Content, "prompt", ["template@2", "template@1"]),
        (Data, "week_start", ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]),
        (IntentModel, "architecture", ["transformer", "lstm", "gru", "rnn", "cnn", "gbdt"]),
        (
            Ranking,
            "algorithm",
            ["network", "lambdamart", "frequency", "popular", "tifu", "tifu_sized", "basket", "sequence"],
        ),
        (Ranking, "architecture", ["listwise_mlp"]),
        (Ranking, "repeat", ["allow", "forbid"]),
        (Segments, "method", ["kmeans", "lda"]),
        (Selection, "constant", ["drop", "keep"]),
        (Selection, "duplicate", ["drop", "keep"]),
        (Reduce, "method", ["pca"]),
        (Promotion, "mode", ["auto", "manual", "dry_run"]),
        (Rollout, "on_missing", ["rollback", "promote", "hold"]),
        (Rollout, "slow_ms", [500, 5, 10, 25, 50, 100, 250, 1000, 2500]),
    ],
)
def test_a_word_is_one_of_these_and_the_first_by_default(kind: type[BaseModel], name: str, words: list[Any]) -> None:
    assert getattr(made(kind), name) == words[0]
    for word in words:
        assert getattr(made(kind, **{name: word}), name) == word
    with pytest.raises(ValidationError):
        made(kind, **{name: f"{words[0]}s"})


def test_relevance_names_how_many_and_how_intents_are_joined() -> None:
    assert (Selection().relevance, Selection().k) == (None, None)
    asked = Selection(relevance="top_k", k=1)
    assert (asked.k, asked.join) == (1, "mean")
    assert Selection(relevance="top_k", k=512, join="max").join == "max"
    for wrong in ({"k": 0}, {"k": 513}, {"k": 3, "join": "sum"}, {"k": None}, {}):
        with pytest.raises(ValidationError):
            Selection.model_validate({"relevance": "top_k"} | wrong)
    with pytest.raises(ValidationError):
        Selection.model_validate({"relevance": "top_ks", "k": 3})


@pytest.mark.parametrize(
    ("profiles", "told"),
    [
        (
            {"selection": {"relevance": "top_k"}},
            "selection: relevance: top_k needs to know how many; add k, such as k: 12",
        ),
        (
            {"selection": {"k": 3}},
            "selection: k says nothing without relevance; add `relevance: top_k`, or leave it out",
        ),
        (
            {"selection": {"join": "max"}},
            "selection: join says nothing without relevance; add `relevance: top_k`, or leave it out",
        ),
        (
            {"selection": {"relevance": "topk", "k": 3}},
            "selection.relevance: 'topk' is not allowed; use 'top_k'; did you mean 'top_k'?",
        ),
        ({"reduce": "pac"}, "reduce.method: 'pac' is not allowed; use 'pca'; did you mean 'pca'?"),
        ({"reduce": 8}, "reduce: 8 is wrong; use pca, or a group such as {method: pca, components: 8}"),
        (
            {"reduce": {"components": "many"}},
            "reduce.components: 'many' is wrong; use a number from 1 to 512, or a share between 0 and 1",
        ),
        (
            {"reduce": {"component": 8}},
            "reduce.component: no such key; have components, method; did you mean 'components'?",
        ),
    ],
)
def test_a_mistake_in_selection_or_reduction_is_one_line(profiles: dict[str, Any], told: str) -> None:
    document = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop", "data": {"source": SOURCE}}
    with pytest.raises(SpecError) as error:
        spec.parse(document | {"intents": [{"name": "visit"}], "profiles": profiles}, place="shop.yaml")
    assert str(error.value) == f"shop.yaml: profiles.{told}"


def test_reduce_is_a_word_or_a_group_and_both_pass_through_json() -> None:
    assert Profiles().reduce is None
    assert Profiles.model_validate({"reduce": "pca"}).reduce == Reduce(method="pca", components=0.95)
    given = Profiles(reduce=Reduce(components=8), selection=Selection(relevance="top_k", k=8, join="max"))
    again = Profiles.model_validate_json(given.model_dump_json())
    assert again == given
    assert type(again.reduce.components) is int  # type: ignore[union-attr]


def test_editors_know_the_words_and_bounds_that_a_field_takes_beside_its_group() -> None:
    fields = {kind: kind.model_json_schema()["properties"] for kind in (Profiles, Reduce, Segments)}
    assert fields[Profiles]["reduce"]["anyOf"] == [
        {"type": "string", "const": "pca"}, {"$ref": "#/$defs/Reduce"}, {"type": "null"}
    ]  # fmt: skip
    assert fields[Reduce]["components"]["anyOf"] == [
        {"type": "integer", "minimum": 1, "maximum": 512},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ]
    for field, low, high in ((fields[Profiles]["silent_one_in"], 1, 1000), (fields[Segments]["k"], 2, 64)):
        assert field["anyOf"] == [{"type": "integer", "minimum": low, "maximum": high}, {"const": "auto"}]


def test_what_is_newer_than_recorded_digests_is_written_only_where_it_is_said() -> None:
    """Caches and state folders know a slice by its JSON: a spec that says nothing new has the JSON that it had."""
    assert list(Selection().model_dump()) == ["constant", "duplicate", "unstable_psi"]
    assert "reduce" not in Profiles().model_dump(mode="json")
    said = Profiles.model_validate({"reduce": "pca", "selection": {"relevance": "top_k", "k": 4}}).model_dump(
        mode="json"
    )
    assert said["reduce"] == {"method": "pca", "components": 0.95}
    assert said["selection"] == {
        "constant": "drop", "duplicate": "drop", "unstable_psi": None, "relevance": "top_k", "k": 4, "join": "mean"
    }  # fmt: skip


def test_what_is_left_out_is_empty() -> None:
    clean, data, profiles = Clean(), made(Data), Profiles()
    assert (clean.require, clean.exclude, data.contract, data.timezone) == ([], {}, {}, "UTC")
    assert (data.clean, data.split) == (Clean(), Split())
    assert (profiles.windows_days, profiles.attributes) == ((7, 28, 91), None)
    assert (profiles.segments, profiles.selection) == (Segments(), Selection())
    assert (made(Intent).event, made(Intent).level, Selection().unstable_psi) == (None, None, None)
    assert (Ranking().event, Ranking().candidates, Ranking().exclude_self) == (None, Candidates(), False)
    assert (Rollout().steps, Rollout().shadow, Rollout().tolerance) == ((0.05, 0.25, 1.0), Shadow(), Tolerance())
    assert (Gate(metric="intent.map").tolerance, Gate(metric="intent.map").against) == (0.0, "baseline")
    assert (Promotion().parity, Promotion().rollout) == (Parity(), Rollout())


@pytest.mark.parametrize(("steps", "grow"), [((0.1, 0.2, 1), True), ((0.2, 0.1), False), ((0.1, 0.1), False)])
def test_the_steps_of_a_rollout_grow(steps: tuple[float, ...], grow: bool) -> None:
    if grow:
        assert Rollout(steps=steps).steps == steps
        return
    with pytest.raises(ValidationError, match=re.escape("must grow: nobody moves back; such as [0.05, 0.25, 1.0]")):
        Rollout(steps=steps)


def test_a_row_is_used_three_times_as_long_as_it_is_fresh_unless_said() -> None:
    assert (Profiles().used_days, Profiles(ttl_days=10).used_days) == (360, 30)
    assert Profiles(ttl_days=10, stale_days=10).used_days == 10
    with pytest.raises(ValidationError, match="stale_days: 9 is below ttl_days 10; give it or more"):
        Profiles(ttl_days=10, stale_days=9)


@pytest.mark.parametrize(
    ("k", "told"),
    [(1, "1 is wrong"), (65, "65 is wrong"), ("many", "'many' is wrong; use a number from 2 to 64, or auto")],
)
def test_a_wrong_number_of_segments_is_told(k: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Segments(k=k)


@pytest.mark.parametrize(
    ("level", "column"), [(None, None), ("category", "category"), ("items.genres", "genres"), ("items.items", "items")]
)
def test_the_column_of_an_intents_level(level: str | None, column: str | None) -> None:
    assert Intent(name="buy", level=level).column == column


def test_a_level_that_is_none_names_the_nearest() -> None:
    told = "'categry' is no level; use category, or items.<column> of the items table; did you mean 'category'?"
    with pytest.raises(ValidationError, match=re.escape(told)):
        Intent(name="buy", level="categry")
    with pytest.raises(ValidationError, match="did you mean 'items'"):
        Intent(name="buy", level="item")


def test_a_row_may_be_used_for_one_day() -> None:
    assert Profiles(ttl_days=1, stale_days=1).used_days == 1
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Profiles(stale_days=0)


def test_editors_are_told_the_borders_that_functions_check() -> None:
    level = Intent.model_json_schema()["properties"]["level"]
    assert level["pattern"] == r"^(category|items\.[A-Za-z_][A-Za-z0-9_]*)$"
    k = Segments.model_json_schema()["properties"]["k"]
    assert k["anyOf"] == [{"type": "integer", "minimum": 2, "maximum": 64}, {"const": "auto"}]


def test_a_rule_of_columns_that_are_known_ahead_is_checked_and_of_others_is_not() -> None:
    def contract(**tables: Any) -> Any:
        return made(Data, contract=tables).contract

    odd = [{"expect": "not_null", "column": "colour"}]
    assert contract(items=odd, users=odd).keys() == {"items", "users"}
    for table, have in (("events", "session_id"), ("offers", "valid_from")):
        assert contract(**{table: [{"expect": "not_null", "column": have}]})
        with pytest.raises(ValidationError, match=re.escape(f"{table}: not_null(colour): ")):
            contract(**{table: odd})
    with pytest.raises(ValidationError, match="column holds double"):
        contract(offers=[{"expect": "matches", "column": "share", "pattern": "1"}])


def test_a_zone_is_one() -> None:
    assert made(Data, timezone="Asia/Kolkata").timezone == "Asia/Kolkata"
    with pytest.raises(ValidationError, match="no IANA time zone"):
        made(Data, timezone="Mars")
