"""The architecture gbdt: its arrays of nodes answer as the library that grew the trees, and its refit is a refit."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit

from components import conditions, leaf_tables
from components.boosted_trees import Tree
from components.distributed.ranks import Ranks
from components.intent import boosting, steps
from components.intent import examples as intent_examples
from components.intent import refit as refits
from components.intent.boosting import Boosting, nodes_of
from components.intent.encode import Encoded
from components.intent.examples import Examples
from components.intent.fit import Rows
from components.intent.forest import MOST_CELLS, Forest
from components.intent.networks import TREES
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from feature_repo import files
from feature_repo.dropped_features import Asked, Reduction
from feature_repo.errors import DataError, SpecError

from .conftest import INTENTS, SPLIT

Training = Callable[[str], Trained]
INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
MODEL = IntentModel.model_validate({"architecture": TREES, "trees": {"rounds": 40, "least": 5}})


def seen(rows: int, targets: int, *, seed: int = 0) -> Encoded:
    """Make up encoded users whose numbers are noise."""
    rng = np.random.default_rng(seed)
    return Encoded(
        frequency=rng.normal(size=(rows, targets, 3)).astype(np.float32),
        sequence=np.zeros((rows, 2, targets), dtype=np.uint8),
        active=np.zeros((rows, 2, 2), dtype=np.uint8),
        profile=rng.normal(size=(rows, 2)).astype(np.float32),
        segment=rng.integers(0, 4, rows),
    )


def grown(
    targets: int, label: Callable[[Encoded], np.ndarray], *, positives: np.ndarray | None = None, **trees: float
) -> Boosting:
    """Grow trees on a made world of 400 training and 200 validation rows."""
    spec = IntentModel.model_validate(
        {"architecture": TREES, "trees": {"rounds": 30, "least": 5, "pairs": 20_000} | trees}
    )
    shape = Shape(TREES, 8, 1, 0.0, targets=targets, weeks=2, frequency=3, profile=2, segments=2)
    parts = [
        Rows(e, label(e), np.zeros(len(e), dtype=np.int64)) for e in (seen(400, targets), seen(200, targets, seed=1))
    ]
    fit = Boosting.begun(
        shape, parts[0], parts[1], unknown=seen(1, targets, seed=2),
        rate=parts[0].labels.mean(axis=0), spec=spec, positives=positives,
    )  # fmt: skip
    fit.run("full", np.arange(400), report=lambda share, note: None)
    return fit


def by_sign(encoded: Encoded) -> np.ndarray:
    """Say yes where a target's first number and its place agree: no threshold tells it without the category."""
    even = np.arange(encoded.frequency.shape[1]) % 2 == 0
    return ((encoded.frequency[:, :, 0] > 0) == even).astype(np.uint8)


@pytest.mark.parametrize("targets", [5, 300])
def test_trees_tell_targets_apart_and_segments_and_targets_that_are_new_get_a_guess(targets: int) -> None:
    fit = grown(targets, by_sign, rounds=60, leaves=8)
    asked = seen(50, targets, seed=3)
    said = fit.forest.probabilities(asked)
    right = np.where(by_sign(asked) > 0, said, 1 - said)
    assert right.mean() > (0.8 if targets < MOST_CELLS else 0.5)
    odd = replace(asked, segment=np.full(50, 99))
    assert np.isfinite(fit.forest.probabilities(odd)).all()
    assert fit.forest.weights["cell"].max() < MOST_CELLS


def test_trees_stop_at_the_best_one_and_say_so_tree_by_tree() -> None:
    rng = np.random.default_rng(0)
    fit = grown(5, lambda e: rng.integers(0, 2, (len(e), 5)).astype(np.uint8), rounds=200)  # nothing to learn
    losses = [epoch.validate_bce for epoch in fit.epochs]
    assert len(losses) < 60
    assert len(fit.forest.weights["roots"]) == int(np.argmin(losses)) + 1


def test_of_losses_that_are_written_alike_the_first_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refit grows as many trees as what is written says; so must the judged forest have."""
    losses = [(found, found) for found in (0.2000004, 0.2000001, 0.3)]  # of one, two and three trees
    kept: list[int] = []
    monkeypatch.setattr(boosting, "grow", lambda learns, spec, **more: (None, losses))
    monkeypatch.setattr(Boosting, "_take", lambda self, model, best, x: kept.append(best))
    epochs = [{"stage": one.stage, "validate_bce": one.validate_bce} for one in grown(5, by_sign).epochs]
    assert kept == [refits.epochs_of({"epochs": epochs})] == [1]


def test_equal_pairs_grow_equal_trees() -> None:
    made = [grown(5, by_sign, columns=0.5, smoothing=1.0).forest.weights for _ in range(2)]
    for name, values in made[0].items():
        np.testing.assert_array_equal(values, made[1][name])


def test_settings_reach_the_library_and_the_library_knows_each() -> None:
    asked = {"leaves": 4, "depth": 3, "least": 7, "learning_rate": 0.2, "columns": 0.5, "l2": 3.0, "smoothing": 2.0}
    told = boosting.settings(IntentModel.model_validate({"architecture": TREES, "seed": 5, "trees": asked}))
    names = (
        "num_leaves",
        "max_depth",
        "min_data_in_leaf",
        "learning_rate",
        "feature_fraction",
        "lambda_l2",
        "path_smooth",
    )
    assert {name: told[name] for name in names} == dict(zip(names, asked.values(), strict=True))
    assert (told["seed"], told["num_threads"], told["deterministic"]) == (5, 1, True)
    text = grown(5, by_sign, leaves=3, depth=2).forest.weights
    assert (text["left"] >= 0).sum() <= 2 * len(text["roots"])  # two splits make three leaves


def test_what_pairs_that_came_true_count_is_counted() -> None:
    """Of noise a fifth comes true, and counts nine times as much; validation rows, which stop it, count once."""
    rng = np.random.default_rng(4)

    def fifth(encoded: Encoded) -> np.ndarray:
        return (rng.random((len(encoded), 5)) < 0.2).astype(np.uint8)

    said = [grown(5, fifth, positives=np.full(5, counts, np.float32)).forest for counts in (1.0, 9.0)]
    means = [float(one.probabilities(seen(60, 5, seed=3)).mean()) for one in said]
    assert means[0] == pytest.approx(0.2, abs=0.03)
    assert 0.5 < means[1] < 9 / 13


def test_a_forest_that_an_older_version_registered_answers_as_it_did() -> None:
    """The folder is of the version whose trees were scikit-learn's, and so is what it said."""
    forest = Forest.load(Path(__file__).parent / "forest_of_scikit_learn")
    assert forest.weights["baseline"] == pytest.approx(-0.0900608)
    asked = seen(5, 3, seed=3)
    asked.segment[0] = 77
    told = [
        [0.933694, 0.929094, 0.069569], [0.933694, 0.929094, 0.069569], [0.933694, 0.058798, 0.069569],
        [0.069569, 0.929094, 0.933694], [0.069569, 0.929094, 0.069569],
    ]  # fmt: skip
    np.testing.assert_allclose(forest.probabilities(asked), told, atol=1e-6)


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("leaves", [4, 31, 64])
def test_tables_of_leaves_come_to_what_the_walk_comes_to(leaves: int, *, lacking: bool) -> None:
    """Over numbers that are none, of targets too, thresholds themselves, and segments that are new."""
    forest = grown(7, lambda e: by_noise(by_sign(e)), leaves=leaves, least=3, learning_rate=0.3).forest
    assert (forest._tables is None) == (leaves == 64)
    asked = seen(90, 7, seed=5)
    asked.profile[::4, 1] = np.nan
    if lacking:  # else trees are pruned user by user
        asked.frequency[::5, :, 2] = np.nan
    asked.segment[::6] = 99
    edges = forest.weights["threshold"][(forest.weights["column"] == 2) & (forest.weights["split"] < 0)]
    asked.frequency[:, 0, 0] = np.resize(edges, 90)
    asked.frequency[:, 1, 0] = np.nextafter(asked.frequency[:, 0, 0], np.float32(np.inf))
    walked = forest._walked(forest.pairs(asked))
    np.testing.assert_array_equal(forest.logits(forest.pairs(asked)), walked)
    np.testing.assert_allclose(forest.probabilities(asked), expit(walked).reshape(90, 7), atol=1e-7)
    np.testing.assert_allclose(forest.of_target(asked, 4), forest.probabilities(asked)[:, 4], atol=1e-7)
    for row in range(3):
        alone = forest.probabilities(asked.take(np.array([row])))
        np.testing.assert_array_equal(alone[0], forest.probabilities(asked)[row])


def by_hand(*trees: tuple[int, float, float, float]) -> Forest:
    """Make a forest of trees with one split each: column, threshold, and what is said left and right of it."""
    grown = [
        Tree(np.array([column]), np.array([threshold]), np.array([-1]), np.array([-2]), np.array([True]),
             {}, np.array([left, right]))
        for column, threshold, left, right in trees
    ]  # fmt: skip
    shape = Shape(TREES, 8, 1, 0.0, targets=3, weeks=2, frequency=3, profile=2, segments=2)
    return Forest(shape, {"cell": np.arange(3, dtype=np.int32)} | nodes_of(grown))


def test_what_a_user_settles_is_every_target_s_and_the_rest_is_each_one_s_own() -> None:
    """Column 3 is a number of the target, column 5 the user's; the first tree is the user's alone."""
    asked = replace(seen(1, 3), frequency=np.array([[[0, 1, 0], [0, 2, 0], [0, 3, 0]]], np.float32))
    asked.profile[0] = 0.5, 9.0
    forest = by_hand((5, 0.4, -1.0, 1.0), (3, 2.0, 0.25, 0.5), (3, 9.0, 2.0, 99.0))
    np.testing.assert_allclose(forest.probabilities(asked)[0], expit([3.25, 3.25, 3.5]), atol=1e-7)
    asked.profile[0, 0] = 0.25
    np.testing.assert_allclose(forest.probabilities(asked)[0], expit([1.25, 1.25, 1.5]), atol=1e-7)


def test_a_threshold_between_two_float32_parts_the_same_numbers() -> None:
    low, high = np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1))
    asked = replace(seen(1, 3), frequency=np.array([[[0, low, 0], [0, high, 0], [0, 0, 0]]], np.float32))
    for threshold, said in ((float(low), [1, 2, 1]), ((float(low) + float(high)) / 2, [1, 2, 1])):
        forest = by_hand((3, threshold, 1.0, 2.0))
        np.testing.assert_allclose(forest.probabilities(asked)[0], expit(np.array(said, float)), atol=1e-7)


def test_tables_that_would_fill_the_memory_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    forest = grown(5, by_sign).forest
    asked = seen(20, 5, seed=5)
    said = forest.probabilities(asked)
    monkeypatch.setattr(leaf_tables, "MOST_BYTES", 100)
    again = Forest(forest.shape, forest.weights)
    np.testing.assert_array_equal(again.probabilities(asked), said)
    assert again._tables is None


def by_noise(labels: np.ndarray) -> np.ndarray:
    """Turn a fifth of labels round, so that trees have something left to split."""
    return np.where(np.random.default_rng(9).random(labels.shape) < 0.2, 1 - labels, labels).astype(np.uint8)


def test_arrays_that_answer_otherwise_than_the_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "nodes_of", lambda trees: nodes_of(trees[1:]))
    with pytest.raises(RuntimeError, match=r"the arrays of the trees are off by .* from LightGBM's own answer"):
        grown(5, by_sign)


def test_without_its_library_the_spec_field_and_the_cure_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(SpecError, match=r"^models\.intent\.architecture: gbdt is trained by the package"):
        grown(5, by_sign)


def test_a_forest_without_trees_says_the_personal_decayed_rate() -> None:
    fit = grown(5, by_sign)
    bare = Forest(fit.shape, {"roots": np.empty(0, np.int32)})
    asked = seen(4, 5)
    np.testing.assert_allclose(bare.probabilities(asked), expit(asked.frequency[:, :, 0]))
    np.testing.assert_allclose(bare.of_target(asked, 2), expit(asked.frequency[:, 2, 0]))


def test_the_checkerboards_trees_are_small_and_stop_early(training: Training, tmp_path: Path) -> None:
    training(TREES).scorer.save(tmp_path)
    assert (tmp_path / "weights.safetensors").stat().st_size < 500_000


def test_on_the_judged_weeks_the_refit_comes_to_the_judged_trees(rows_folder: Path, tmp_path: Path) -> None:
    for name in ("judged", "again"):
        steps.run_train_intent(
            INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows_folder), intent=str(tmp_path / name)
        )
    same = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("judged", "again")]
    assert same[0] == same[1]
    steps.run_refit_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, code="", refit=True,
        rows=str(rows_folder), intent=str(tmp_path / "judged"), refitted=str(tmp_path / "refit"),
    )  # fmt: skip
    said = files.read_json(tmp_path / "refit" / conditions.FILE)
    assert said["weeks"] == [*SPLIT["train"], *SPLIT["validate"], *SPLIT["test"]]
    judged, refit = (IntentScorer.load(tmp_path / name) for name in ("judged", "refit"))
    trees = [len(Forest.load(tmp_path / name).weights["roots"]) for name in ("judged", "refit")]
    assert trees[0] == trees[1] == said["epochs"]
    found = intent_examples.load(rows_folder, INTENTS)
    rows = found.rows.take(found.part("test"))
    assert 0 < np.abs(judged.predict(rows) - refit.predict(rows)).mean() < 0.15


def test_trees_see_the_components_where_the_profile_is_projected(examples: Examples, tmp_path: Path) -> None:
    asked = replace(examples, asked=Asked(reduction=Reduction(3)))
    made = train(asked, MODEL, ranking_weeks=4, device="cpu")
    assert made.scorer.shape.user_inputs == 3
    made.scorer.save(tmp_path)
    rows = examples.rows.take(examples.part("test"))
    np.testing.assert_array_equal(IntentScorer.served(tmp_path).predict(rows), made.scorer.predict(rows))


def test_a_number_that_is_none_takes_the_librarys_way() -> None:
    """Growing compares the arrays with the library on training pairs, of which a third lack a number here."""

    def holed(encoded: Encoded) -> Encoded:
        profile = encoded.profile.copy()
        profile[::3, 0] = np.nan
        return replace(encoded, profile=profile)

    def by_hole(encoded: Encoded) -> np.ndarray:
        return np.repeat(np.isnan(encoded.profile[:, :1]), 5, axis=1).astype(np.uint8)

    parts = [holed(seen(n, 5, seed=n)) for n in (400, 200, 60)]
    spec = IntentModel.model_validate({"architecture": TREES, "trees": {"rounds": 30, "least": 5}})
    rows = [Rows(part, by_hole(part), np.zeros(len(part), dtype=np.int64)) for part in parts]
    shape = Shape(TREES, 8, 1, 0.0, targets=5, weeks=2, frequency=3, profile=2, segments=2)
    fit = Boosting.begun(shape, *rows[:2], unknown=seen(1, 5), rate=np.full(5, 1 / 3), spec=spec)
    fit.run("full", np.arange(400), report=lambda share, note: None)
    assert ((fit.forest.probabilities(parts[2]) > 0.5) == by_hole(parts[2])).all()


def test_labels_that_are_all_alike_are_told(examples: Examples) -> None:
    nothing = replace(examples, labels=np.zeros_like(examples.labels))
    with pytest.raises(DataError, match=r"gbdt needs pairs of both kinds, and all [0-9,]+ drawn came to nothing; give"):
        train(nothing, MODEL, ranking_weeks=4, device="cpu")


def test_several_processes_do_not_grow_one_forest(examples: Examples) -> None:
    with pytest.raises(SpecError, match="gbdt is grown by one process, and 2 were started; take train_intent out"):
        train(examples, MODEL, ranking_weeks=4, device="cpu", ranks=Ranks(0, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"architecture": TREES, "width": 32, "epochs": 9}, "width, epochs: of networks, and architecture gbdt has"),
        ({"architecture": "lstm", "trees": {"leaves": 8}}, "trees are of architecture gbdt, not of lstm; drop trees"),
    ],
)
def test_what_the_architecture_would_not_read_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IntentModel.model_validate(given)


def test_a_network_is_written_as_before_trees_were_there() -> None:
    assert set(IntentModel().model_dump()) == {
        "architecture", "width", "layers", "dropout", "epochs", "batch_size", "learning_rate", "seed"
    }  # fmt: skip
    assert MODEL.model_dump()["trees"] == {
        "rounds": 40, "leaves": 31, "depth": 8, "least": 5, "learning_rate": 0.1, "pairs": 1_000_000
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trees", "said"),
    [
        ({"columns": 0.0}, "greater than 0"),
        ({"columns": 1.5}, "less than or equal to 1"),
        ({"smoothing": -1}, "greater than or equal to 0"),
        ({"colums": 0.5}, "[Ee]xtra"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(trees: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IntentModel.model_validate({"architecture": TREES, "trees": trees})


def test_a_search_may_try_how_trees_are_grown_and_a_spec_that_says_so_is_written() -> None:
    space = {"trees.columns": {"low": 0.4, "high": 1.0}, "trees.smoothing": {"low": 0.1, "high": 100.0, "log": True}}
    spec = IntentModel.model_validate({"architecture": TREES, "search": {"space": space}})
    assert spec.search is not None
    assert set(spec.search.space) == set(space)
    said = IntentModel.model_validate({"architecture": TREES, "trees": {"smoothing": 10.0}}).model_dump()["trees"]
    assert said["smoothing"] == 10.0
    assert "columns" not in said
