"""Which algorithm answers for whom is learnt on weeks of its own: known answers, few users, shuffled intents."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.ranking import choose, chosen, cohorts, examples, refit, steps, worth
from components.ranking.bundle import Bundle
from components.ranking.choice import ALL, Cell, Choice
from components.ranking.choose_spec import By, Choose
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.train import Trained, train
from components.ranking.twin import Twin
from components.ranking.worth import Worth
from feature_repo import columns, files
from feature_repo.errors import DataError
from feature_repo.vocabulary import Target
from tests.ranking import board, two_kinds
from tests.ranking.board import ITEMS, cold_rows, intents, start
from tests.ranking.two_kinds import AMONG, SPEC

TARGETS = (Target("buy", "A", "purchase", "category"), Target("buy", "B", "purchase", "category"))
EVEN, ODD = 0, 1  # the likeliest intents of the two kinds of users


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> World:
    return examples.load(*two_kinds.write(tmp_path_factory.mktemp("two")), SPEC)


@pytest.fixture(scope="module")
def bundle(two: World) -> Trained:
    return train(two, SPEC)


@pytest.fixture
def folder(bundle: Trained, tmp_path: Path) -> Path:
    bundle.ranker.save(tmp_path)
    return tmp_path


def _worth(ndcg: list[list[float]], users: list[int], intent: int = 0, cohort: int = 0) -> Worth:
    n = len(ndcg)
    return Worth(
        np.array(ndcg), np.array([f"u{u}" for u in users]), np.full(n, intent), np.full(n, cohort), np.arange(n)
    )


def _all(*parts: Worth) -> Worth:
    return Worth(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _learnt(found: Worth, *, by: tuple[By, ...] = ("intent", "cohort"), least: int = 5, shrink: int = 0) -> Choice:
    spec = Choose(by=by, among=("network", "tifu"), least_users=least, shrink=shrink)
    return choose.learn(found, spec, default="network", targets=TARGETS)


def test_each_kind_of_user_gets_the_algorithm_that_it_needs(bundle: Trained) -> None:
    assert bundle.choice is not None
    of_kind = {i: cell.algorithm for (i, c), cell in bundle.choice.cells.items() if i is not None}
    assert of_kind[EVEN] in ("frequency", "tifu")
    assert of_kind[ODD] == "popular"


def test_the_choice_gains_on_later_weeks_over_every_algorithm_alone(bundle: Trained, two: World) -> None:
    assert bundle.choice is not None
    later = worth.of_weeks(bundle.ranker, two, two.weeks("test"))
    found = later.of(bundle.choice.codes(later.intent, later.cohort)).mean()
    formulas = [AMONG.index(name) for name in ("frequency", "popular", "tifu")]
    assert found > later.ndcg[:, formulas].mean(axis=0).max() + 0.05
    assert evaluate(bundle.ranker, two).test["ndcg_at_10"] == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_intents_gain_nothing(bundle: Trained, two: World, seed: int) -> None:
    assert SPEC.choose is not None
    rng = np.random.default_rng(seed)
    earlier, later = (worth.of_weeks(bundle.ranker, two, weeks) for weeks in (bundle.chosen_on, two.weeks("test")))
    shuffled = [replace(one, intent=rng.permutation(one.intent)) for one in (earlier, later)]
    with_intent = choose.learn(shuffled[0], SPEC.choose, default=SPEC.algorithm, targets=two.vocabulary.targets)
    without = choose.learn(
        earlier, SPEC.choose.model_copy(update={"by": ("cohort",)}), default=SPEC.algorithm,
        targets=two.vocabulary.targets,
    )  # fmt: skip
    gain = later.of(with_intent.codes(shuffled[1].intent, later.cohort)) - later.of(
        without.codes(later.intent, later.cohort)
    )
    assert gain.mean() < 0.01


def test_the_weeks_that_choose_stop_no_training(bundle: Trained, two: World) -> None:
    assert (chosen.periods(two), bundle.chosen_on) == (([17], [18]), [18])
    assert bundle.rows["validate"] == len(two.examples.of_weeks([17]))
    ahead = replace(two, split=two.split | {"validate": [15, 16, 17, 18], columns.LABELS_AHEAD: [2]})
    assert chosen.periods(replace(ahead, split=ahead.split | {"train": [5, 6]}))[0] == [15]


def test_one_validation_week_is_refused(two: World) -> None:
    alone = replace(two, split=two.split | {"validate": [18]})
    with pytest.raises(DataError, match=r"models\.ranking\.choose: the validation steps with rows, 18, cannot be cut"):
        train(alone, SPEC)


def test_a_gain_that_all_users_share_is_learnt_for_all_by_hand() -> None:
    found = _learnt(_worth([[0.2, 0.6]] * 5 + [[0.2, 0.4]] * 5, list(range(10))))
    # shrink 0: the gain is the mean of .4 and .2; its error .1 * sqrt(10/9) / sqrt(10), three comparisons' z 2.394
    assert found.cells[ALL] == Cell(
        "tifu", 10, 10, 0.3, round(0.3 - 2.39398 * 0.1 / 3, 5), {"network": 0.2, "tifu": 0.5}
    )
    assert {cell.gain for key, cell in found.cells.items() if key != ALL} == {0.0}  # none leaves its parent's


def test_gains_are_shrunk_towards_the_parents() -> None:
    found = _learnt(_worth([[0.2, 0.6]] * 20, list(range(20))), shrink=20)
    assert found.cells[ALL].gain == pytest.approx(0.2)  # 20 rows of .4 and 20 of nothing


def test_an_intent_of_few_users_keeps_what_answers_for_more() -> None:
    many, few = _worth([[0.5, 0.1]] * 20, list(range(20))), _worth([[0.1, 0.9]] * 40, [30, 31, 32, 33] * 10, intent=1)
    found = _learnt(_all(many, few), by=("intent",))
    assert found.cells[1, None].users == 4
    assert found.cells[1, None].algorithm == found.cells[ALL].algorithm
    enough = _learnt(_all(many, replace(few, user_id=np.array([f"v{n % 8}" for n in range(40)]))), by=("intent",))
    assert (enough.cells[0, None].algorithm, enough.cells[1, None].algorithm) == ("network", "tifu")


def test_many_rows_of_one_user_are_one_user() -> None:
    assert _learnt(_worth([[0.1, 0.9]] * 50, [1] * 50), least=5).cells[ALL].algorithm == "network"


def test_a_gain_within_its_error_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.5, 0.2, (400, 2))
    worth_of = Worth(
        noise, np.array([f"u{n}" for n in range(400)]), rng.integers(0, 2, 400), rng.integers(0, 3, 400), np.arange(400)
    )
    assert {cell.algorithm for cell in _learnt(worth_of).cells.values()} == {"network"}


def test_the_finest_cell_that_is_there_answers() -> None:
    cells = {ALL: Cell("a", 1, 1), (None, 1): Cell("b", 1, 1), (1, 1): Cell("c", 1, 1)}
    found = Choice(("intent", "cohort"), ("a", "b", "c"), TARGETS, cells)
    assert found.codes(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])).tolist() == [0, 0, 1, 2]
    assert Choice.read(found.document(), TARGETS) == found


def test_intents_without_a_level_count_where_there_are_no_others() -> None:
    visit = Target("visit", None, None, None)
    every = {ALL: Cell("a", 1, 1)}
    likeliest = np.array([[0.1, 0.3, 0.9]])
    assert Choice(("intent",), ("a",), (*TARGETS, visit), every).predicted(likeliest).tolist() == [1]
    assert Choice(("intent",), ("a",), (visit, visit, visit), every).predicted(likeliest).tolist() == [2]


def test_cohorts_are_counted_as_evaluations_count_them() -> None:
    rows = board.user_rows(*({**board.known_row("u00", {}, 2), "weeks_total": n} for n in (0.0, 8.0, 9.0, 24.0, 25.0)))
    assert [cohorts.NAMES[c] for c in cohorts.of(rows)] == ["new", "new", "regular", "regular", "frequent"]


def test_a_table_of_other_intents_is_refused() -> None:
    cells = [{"intent": "buy:Z", "cohort": None, "algorithm": "a", "rows": 1, "users": 1}]
    with pytest.raises(DataError, match="its choice names intent buy:Z"):
        Choice.read({"by": ["intent"], "algorithms": ["a"], "cells": cells}, TARGETS)
    with pytest.raises(DataError, match="says nothing of all users"):
        Choice.read({"by": ["intent"], "algorithms": ["a"], "cells": []}, TARGETS)


def test_it_is_saved_and_served_without_torch_and_scores_one_as_many(bundle: Trained, folder: Path, two: World) -> None:
    served, some = Ranker.served(folder), two.examples.of_weeks([19])
    assert {name: type(net).__name__ for name, net in served.nets.items()}["network"] == "NumpyNet"
    assert isinstance(served.net, Bundle)
    assert served.net.choice == bundle.choice
    assert Ranker.load(folder).net.architecture == served.net.architecture == "chosen"
    scored, again = (one.rank(some.rows, some.probabilities) for one in (bundle.ranker, served))
    assert scored.spoke is not None
    assert len(set(scored.spoke.tolist())) > 1
    np.testing.assert_allclose(scored.scores, again.scores, atol=1e-5)
    for b in range(6):
        row = some.rows.take(np.array([b]))
        alone = served.rank(row, some.probabilities[[b]])
        mine = slice(scored.found.offsets[b], scored.found.offsets[b + 1])
        np.testing.assert_allclose(alone.scores, scored.scores[mine], atol=1e-5)
        answer = served.recommend(row, some.probabilities[b], k=3)
        assert {one.algorithm for one in answer} == {scored.algorithms[scored.spoke[b]]}
        given = served.score(row, some.probabilities[b], np.array([one.item_index for one in answer]))
        np.testing.assert_allclose(given, [one.score for one in answer], atol=1e-5)


def test_it_says_by_what_it_chose(bundle: Trained, two: World) -> None:
    some = two.examples.of_weeks([19])
    found = bundle.ranker.chosen(some.rows.take(np.array([1])), some.probabilities[1])
    assert found is not None
    assert (found["intent"], found["cohort"]) == ("buy:C1", "regular")
    assert (
        found["algorithm"]
        == bundle.ranker.recommend(some.rows.take(np.array([1])), some.probabilities[1], k=1)[0].algorithm
    )


def test_a_single_ranker_says_nothing_of_algorithms(ranker: Ranker, world: World) -> None:
    some = world.examples.of_weeks([19])
    row = some.rows.take(np.array([0]))
    assert ranker.chosen(row, some.probabilities[0]) is None
    assert ranker.recommend(row, some.probabilities[0], k=1)[0].algorithm is None


def test_a_cold_user_is_answered(bundle: Trained) -> None:
    answer = bundle.ranker.recommend(cold_rows(start(21)), np.asarray(intents("u00"), np.float32), k=99)
    assert len({one.item_index for one in answer}) == ITEMS
    assert all(a.score >= b.score for a, b in itertools.pairwise(answer))


def test_a_refit_fits_every_ranker_anew_and_keeps_the_choice(bundle: Trained, two: World) -> None:
    training = steps._training(bundle, SPEC)
    assert set(training["algorithms"]) == set(AMONG)  # type: ignore[call-overload]
    made = refit.refit(two, SPEC, epochs=refit.epochs_of(training), judged=training)
    refit.require_sane(made, training)
    assert isinstance(made.ranker.net, Bundle)
    assert made.ranker.net.choice == bundle.choice
    assert made.weeks[-1] > max(two.weeks("train"))
    spoilt = {"epochs": [{"validate_ndcg_at_10": 9.0}], "best_epoch": 0}
    members = training["algorithms"] | {"network": spoilt}  # type: ignore[operator]
    with pytest.raises(DataError, match="the NDCG@10 of its network is"):
        refit.refit(two, SPEC, epochs=1, judged=training | {"algorithms": members})


def test_the_weights_of_all_name_the_judged_bundle(folder: Path, bundle: Trained, tmp_path: Path) -> None:
    first = files.file_digest(folder / "weights.safetensors")
    other = tmp_path / "other"
    other.mkdir()
    network = bundle.ranker.nets["network"]
    with __import__("torch").no_grad():
        network.mean.add_(1.0)  # type: ignore[union-attr]
    bundle.ranker.save(other)
    with __import__("torch").no_grad():
        network.mean.sub_(1.0)  # type: ignore[union-attr]
    assert files.file_digest(other / "weights.safetensors") != first


def test_a_twin_answers_by_its_own_choice(bundle: Trained, two: World) -> None:
    twin, some = Twin.of(bundle.ranker, two, bundle.ranker), two.examples.of_weeks([19])
    mine, theirs = bundle.ranker.rank(some.rows, some.probabilities), twin.rank(some.rows, some.probabilities)
    np.testing.assert_array_equal(mine.spoke, theirs.spoke)
    np.testing.assert_array_equal(mine.scores, theirs.scores)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"choose": {"among": ["tifu", "popular"]}}, "among: tifu, popular lacks network, which answers where"),
        ({"choose": {"among": ["network", "tifu", "tifu"]}}, "among: tifu stands there twice; name each once"),
        ({"choose": {"among": ["network"]}}, "at least 2 items"),
        ({"choose": {"among": ["network", "tifoo"]}}, "'network', 'lambdamart', 'frequency'"),
        ({"choose": {"among": ["network", "tifu"], "by": []}}, "at least 1 item"),
        ({"choose": {"among": ["network", "tifu"], "on": "test"}}, "'validation'"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ranking.model_validate(said)


def test_a_spec_without_a_choice_has_the_digest_it_had() -> None:
    assert "choose" not in Ranking().model_dump()
    assert Ranking(choose=Choose(among=("network", "sequence", "tifu"))).learn == ("sequence", "users")


def test_the_steps_train_judge_and_refit_a_bundle(tmp_path: Path) -> None:
    rows, intent = two_kinds.write(tmp_path / "world")
    spec, ranker = SPEC.model_dump_json(), tmp_path / "ranker"
    steps.run_train_ranking(spec, rows=str(rows), intent=str(intent), ranker=str(ranker), curves=str(tmp_path / "page"))
    found = steps.run_evaluate_ranking(
        spec, rows=str(rows), intent=str(intent), ranker=str(ranker), evaluation=str(tmp_path / "evaluation"),
        card=str(tmp_path / "card.md"), log_metric=lambda name, value: None,
    )  # fmt: skip
    card = (tmp_path / "card.md").read_text()
    assert "one of 4 algorithms (`frequency`, `popular`, `tifu`, `network`), chosen by intent and cohort." in card
    assert "| buy:C1 | regular | popular |" in card
    told = files.read_json(tmp_path / "evaluation/metrics.json")["choice"]
    assert told["answers"]["popular"] == 0.5
    assert told["chosen"] == pytest.approx(found.test["ndcg_at_10"], abs=1e-4)
    assert files.read_json(tmp_path / "evaluation/served.json")["variant"]["score_gap"] < 1e-5
    training = files.read_json(ranker / steps.TRAINING)
    assert training["choice"]["weeks"] == [18]
    files.write_json(
        intent / "training.json", {"weeks": {"early": [4], "scored_by_early": list(range(5, 21)), "scored_by_full": []}}
    )
    steps.run_refit_ranking(
        spec, code="", refit=True, rows=str(rows), intent=str(intent), ranker=str(ranker),
        refitted=str(tmp_path / "refitted"),
    )  # fmt: skip
    again = Ranker.served(tmp_path / "refitted")
    assert isinstance(again.net, Bundle)
    assert again.net.choice == Choice.read(training["choice"], again.vocabulary.targets)
