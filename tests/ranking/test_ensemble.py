"""The ranker ensemble: members that answer as one, in units of their spreads, saved as one version, refitted as one."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.distributed.ranks import ALONE
from components.ranking import chosen, ensemble_train, net_fit, refit, steps
from components.ranking import train as training
from components.ranking.baseline_net import BaselineNet
from components.ranking.bundle import Bundle, alone_in, every, scored
from components.ranking.choose_spec import Choose
from components.ranking.ensemble import Ensemble, spread
from components.ranking.ensemble_spec import DEFAULT
from components.ranking.examples import World
from components.ranking.models import ENSEMBLE, NETWORK, TREES, lambdamart
from components.ranking.models.trees import Trees
from components.ranking.numpy_net import NumpyNet
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.train import Trained, train
from components.training.checkpoints import Checkpoints
from feature_repo import files
from feature_repo.errors import DataError
from tests.ranking.board import SPEC, cold_rows, intents, start

NEEDS = pytest.mark.skipif(
    importlib.util.find_spec("lightgbm") is None, reason="lightgbm, the extra `trees`, is not installed"
)
MEMBERS = {NETWORK: 3.0, "frequency": 1.0}
MEANT = SPEC.model_copy(update={"algorithm": ENSEMBLE, "members": MEMBERS})
GROWN = SPEC.model_copy(update={"algorithm": ENSEMBLE})
CONSTANT = Trees(*(np.array([[value]]) for value in (0, 0.0, -1, -1, 0.5)))


class Killed(Exception):
    """Stands for SIGKILL."""


def dies(*arguments: Any, **named: Any) -> Any:
    raise Killed


@pytest.fixture(scope="module")
def meant(world: World) -> Trained:
    """Train a mean of the network and a formula on the checkerboard, once."""
    return train(world, MEANT)


@pytest.fixture
def folder(meant: Trained, tmp_path: Path) -> Path:
    meant.ranker.save(tmp_path)
    return tmp_path


def by_hand(weights: dict[str, float], spreads: dict[str, float]) -> Ensemble:
    return Ensemble({name: BaselineNet(name) for name in weights}, weights, spreads)


def several(net: Any) -> Ensemble:
    assert isinstance(net, Ensemble)
    return net


def none(facts: Any) -> np.ndarray:
    raise AssertionError("formulas see no features")


def test_scores_are_added_up_by_weight_in_units_of_the_first_members_spread() -> None:
    facts = {"slow": np.array([2.0, 0.0, 1.0]), "share_4w": np.array([0.0, 0.5, 0.25])}
    mean = by_hand({"frequency": 3.0, "popular": 1.0}, {"frequency": 0.5, "popular": 0.125})
    # 3/4 of the counts, and 1/4 of .5 / .125 = 4 times the shares
    np.testing.assert_allclose(mean.of_facts(facts, none), [1.5, 0.5, 1.0], atol=1e-4)
    assert mean.of_facts(facts, none).dtype == np.float32
    other = by_hand({"popular": 1.0, "frequency": 3.0}, {"popular": 0.125, "frequency": 0.5})
    np.testing.assert_allclose(other.of_facts(facts, none), [0.375, 0.125, 0.25], atol=1e-4)


def test_a_unit_changes_no_order() -> None:
    rng = np.random.default_rng(0)
    facts = {"slow": rng.random(50), "share_4w": rng.random(50)}
    one = by_hand({"frequency": 1.0, "popular": 1.0}, {"frequency": 0.2, "popular": 0.4}).of_facts(facts, none)
    ten = by_hand({"frequency": 1.0, "popular": 1.0}, {"frequency": 2.0, "popular": 4.0}).of_facts(facts, none)
    np.testing.assert_allclose(one, ten, rtol=1e-6)


def test_a_spread_is_a_deviation_within_lists_of_two_or_more() -> None:
    scores = np.array([100.0, 104.0, 7.0, 1.0, 1.0, 1.0, 4.0])
    found = spread(scores, np.array([0, 2, 3, 3, 7]))
    np.testing.assert_allclose(found, [2.0, np.sqrt(27) / 4])  # 7 is alone, and the third list is empty
    np.testing.assert_allclose(spread(scores + 50, np.array([0, 2, 3, 3, 7])), found)
    assert spread(np.empty(0), np.array([0, 0])).tolist() == []


def test_it_says_the_weighted_mean_of_what_its_members_say_alone(meant: Trained, world: World) -> None:
    ranker, some = meant.ranker, world.examples.of_weeks([19])
    found, (network, frequency) = ranker.rank(some.rows, some.probabilities), several(ranker.net).spreads.values()
    alone = {
        name: replace(ranker, net=one.ranker.net).rank(some.rows, some.probabilities).scores
        for name, one in meant.members.items()
    }
    want = 0.75 * alone[NETWORK] + 0.25 * alone["frequency"] * network / frequency
    np.testing.assert_allclose(found.scores, want, rtol=1e-5, atol=1e-5)


def test_units_are_the_mean_spreads_of_validation_lists(meant: Trained, world: World) -> None:
    parts: dict[str, list[float]] = {name: [] for name in MEMBERS}
    for week in world.weeks("validate"):
        some, at_week = world.examples.of_weeks([week]), meant.ranker.at(world.item_state, week=week)
        found = at_week.rank(some.rows, some.probabilities)
        for name, net in several(meant.ranker.net).nets.items():
            lists = np.split(scored(net, found.facts, at_week.matrix), found.found.offsets[1:-1])
            parts[name] += [float(one.std()) for one in lists]
    assert several(meant.ranker.net).spreads == pytest.approx(
        {name: np.mean(one) for name, one in parts.items()}, rel=1e-4
    )


def test_the_one_epoch_tells_what_the_mean_is_worth(meant: Trained, world: World) -> None:
    ndcg, rows, _ = training.validated(meant.ranker, world, world.weeks("validate"))
    assert [one.validate_ndcg_at_10 for one in meant.epochs] == [ndcg]
    assert (meant.best_epoch, meant.rows) == (0, {"train": meant.members[NETWORK].rows["train"], "validate": rows})
    assert set(meant.state) == set(meant.members[NETWORK].state) != set()


def test_an_item_scores_alike_alone_and_in_a_list(meant: Trained, world: World) -> None:
    some = world.examples.of_weeks([19]).take(np.array([3]))
    found = meant.ranker.rank(some.rows, some.probabilities)
    alone = [meant.ranker.score(some.rows, some.probabilities[0], np.array([item]))[0] for item in found.found.item]
    np.testing.assert_allclose(alone, found.scores, atol=1e-5)


def test_a_saved_one_is_served_without_torch_and_names_itself(folder: Path, meant: Trained, world: World) -> None:
    served, loaded = Ranker.served(folder), Ranker.load(folder)
    assert [type(net).__name__ for net in every(served.net)] == ["NumpyNet", "BaselineNet"]
    assert several(served.net).factors == several(loaded.net).factors == several(meant.ranker.net).factors
    assert {path.name for path in (folder / "members").iterdir()} == set(MEMBERS)
    row, p = cold_rows(start(21)), np.asarray(intents("u00"), np.float32)
    assert served.algorithm_of(row, p) == ENSEMBLE
    assert served.chosen(row, p) is None
    assert alone_in(folder) == ENSEMBLE
    with pytest.raises(TypeError, match="what was read is the served form"):
        served.save(folder)


def test_a_member_that_is_another_than_it_was_saved_with_is_refused(folder: Path) -> None:
    first = files.file_digest(folder / "weights.safetensors")
    (folder / "members" / NETWORK / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match="its member 'network' is not the one it was saved with; run the pipeline aga"):
        Ranker.served(folder)
    assert files.file_digest(folder / "weights.safetensors") == first
    (folder / "members" / NETWORK / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="its member 'network' is not the one"):
        Ranker.load(folder)


@pytest.mark.parametrize("part", [{}, {NETWORK: {"weight": 1}}, {NETWORK: {"weight": 1, "spread": 0}}])
def test_a_folder_that_tells_no_units_is_refused(part: dict[str, Any], folder: Path) -> None:
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", config | {"members": part})
    with pytest.raises(DataError, match=r"names no members of an ensemble; train again"):
        Ranker.load(folder)


def test_a_member_that_tells_nothing_is_refused(meant: Trained, world: World) -> None:
    nets: Any = {NETWORK: several(meant.ranker.net).nets[NETWORK], TREES: CONSTANT}
    with pytest.raises(DataError, match=r"models\.ranking\.members: lambdamart tells no candidate from another"):
        ensemble_train.joined(meant.ranker, nets, world, GROWN, weeks=world.weeks("validate"))


@NEEDS
def test_a_killed_training_keeps_the_network_and_comes_to_the_same(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again() -> Ranker:
        return train(world, GROWN, checkpoints=Checkpoints(tmp_path, 3, {"data": "one"}, False, ALONE)).ranker

    monkeypatch.setattr(lambdamart, "fit", dies)
    with pytest.raises(Killed):
        again()
    monkeypatch.undo()
    monkeypatch.setattr(net_fit, "_step", dies)
    found, some = again(), world.examples.of_weeks([19])
    monkeypatch.undo()
    want = train(world, GROWN).ranker
    one, other = (ranker.rank(some.rows, some.probabilities).scores for ranker in (found, want))
    np.testing.assert_array_equal(one, other)


def test_it_may_be_chosen_among_and_no_member_is_trained_twice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []
    fit = training._fitted

    def told(material: Any, spec: Ranking, *rest: Any) -> Trained:
        fitted.append(spec.algorithm)
        return fit(material, spec, *rest)

    monkeypatch.setattr(training, "_fitted", told)
    among = (ENSEMBLE, NETWORK, "popular")
    spec = MEANT.model_copy(update={"choose": Choose(among=among, least_users=5)})
    made = train(world, spec)
    assert sorted(fitted) == ["frequency", NETWORK, "popular"]
    assert isinstance(made.ranker.net, Bundle)
    made.ranker.save(tmp_path)
    some, served = world.examples.of_weeks([19]), Ranker.served(tmp_path)
    np.testing.assert_allclose(
        served.rank(some.rows, some.probabilities).scores,
        made.ranker.rank(some.rows, some.probabilities).scores,
        atol=1e-5,
    )
    again = refit.refit(world, spec, epochs=1, judged=steps._training(made, spec)).ranker.net
    assert isinstance(again, Bundle)
    assert several(again.nets[ENSEMBLE]).spreads == several(made.ranker.net.nets[ENSEMBLE]).spreads
    assert several(again.nets[ENSEMBLE]).nets[NETWORK] is again.nets[NETWORK]


def test_rankers_that_are_there_are_meant_and_what_is_fitted_joins_them(meant: Trained, world: World) -> None:
    there = {NETWORK: meant.members[NETWORK]}
    made = train(world, MEANT, made=there)
    assert made.members[NETWORK] is meant.members[NETWORK]
    assert set(there) == {NETWORK, "frequency", ENSEMBLE}
    assert several(made.ranker.net).factors == several(meant.ranker.net).factors


def test_the_steps_train_judge_and_refit_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    asked, rows, ranker = MEANT.model_dump_json(), folders[0], tmp_path / "ranker"
    intent = Path(shutil.copytree(folders[1], tmp_path / "intent"))
    scored = {"early": [4], "scored_by_early": list(range(5, 21)), "scored_by_full": []}
    files.write_json(intent / "training.json", {"weeks": scored})
    steps.run_train_ranking(
        asked, rows=str(rows), intent=str(intent), ranker=str(ranker), curves=str(tmp_path / "page")
    )
    page = (tmp_path / "page").read_text()
    assert "network: Listwise loss" in page
    assert "frequency: NDCG@10" in page
    told = files.read_json(ranker / steps.TRAINING)
    assert {name: one["weight"] for name, one in told["members"].items()} == MEMBERS
    found = steps.run_evaluate_ranking(
        asked, rows=str(rows), intent=str(intent), ranker=str(ranker), evaluation=str(tmp_path / "evaluation"),
        card=str(tmp_path / "card.md"), log_metric=lambda name, value: None,
    )  # fmt: skip
    assert found.test["ndcg_at_10"] > 0.5
    assert files.read_json(tmp_path / "evaluation/served.json")["variant"]["score_gap"] < 1e-5
    card = (tmp_path / "card.md").read_text()
    assert "the mean of the scores of `network` (weight 3) and `frequency` (weight 1), each in units of its" in card
    steps.run_refit_ranking(
        asked, code="", refit=True, rows=str(rows), intent=str(intent), ranker=str(ranker),
        refitted=str(tmp_path / "refitted"),
    )  # fmt: skip
    again, judged = (Ranker.served(one).net for one in (tmp_path / "refitted", ranker))
    assert several(again).factors == several(judged).factors
    one, other = (several(net).nets[NETWORK] for net in (again, judged))
    assert isinstance(one, NumpyNet)
    assert isinstance(other, NumpyNet)
    assert not np.array_equal(one.mean, other.mean)


def test_members_of_a_training_that_was_spoilt_are_named(meant: Trained, world: World) -> None:
    told: Any = steps._training(meant, MEANT)
    spoilt = told["members"] | {
        NETWORK: told["members"][NETWORK] | {"epochs": [{"validate_ndcg_at_10": 9.0}], "best_epoch": 0}
    }
    with pytest.raises(DataError, match="the NDCG@10 of its network is"):
        refit.refit(world, MEANT, epochs=1, judged=told | {"members": spoilt})


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([NETWORK, "tifoo"], "'tifoo' is no ranker; have network, lambdamart, .*; did you mean 'tifu'"),
        ([NETWORK], "1 is too few to be meant; name two or more, or say algorithm: network"),
        ([], "0 is too few to be meant; name two or more"),
        ([NETWORK, ENSEMBLE], "an ensemble cannot be a member of itself; have network, lambdamart"),
        ([NETWORK, TREES, NETWORK], "network stands there twice; name each once"),
        ({NETWORK: 0, TREES: 1}, "network\n  Input should be greater than 0"),
        ({NETWORK: -1, TREES: 1}, "network\n  Input should be greater than 0"),
        ({NETWORK: float("inf"), TREES: 1}, "network\n  Input should be less than or equal to 1000"),
        ({NETWORK: "half", TREES: 1}, "network\n  Input should be a valid number"),
        (NETWORK, r"'network' names no members; list two or more, such as \[network, lambdamart\]"),
    ],
)
def test_members_that_cannot_be_meant_are_refused(members: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ranking.model_validate({"algorithm": ENSEMBLE, "members": members})


def test_members_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="members: of algorithm ensemble, not of network; drop members"):
        Ranking.model_validate({"members": [NETWORK, "tifu"]})
    with pytest.raises(ValueError, match="trainer: of networks"):
        Ranking.model_validate({"algorithm": ENSEMBLE, "members": [TREES, "tifu"], "trainer": {"accumulate": 2}})
    with pytest.raises(ValueError, match="short_histories: popular and tifu learn from no rows"):
        Ranking.model_validate({"algorithm": ENSEMBLE, "members": ["popular", "tifu"], "short_histories": 0.3})


def test_a_spec_says_members_as_a_list_or_by_weight_and_without_them_has_the_digest_it_had() -> None:
    said = Ranking.model_validate({"algorithm": ENSEMBLE, "members": ["tifu", NETWORK, "sequence"]})
    assert said.members == {"tifu": 1.0, NETWORK: 1.0, "sequence": 1.0}
    assert (said.algorithms, said.learn) == (("tifu", NETWORK, "sequence"), ("sequence", "users"))
    assert Ranking.model_validate_json(said.model_dump_json()) == said
    among = {"members": [NETWORK, "tifu"], "choose": {"among": [NETWORK, ENSEMBLE]}}
    assert Ranking.model_validate(among).algorithms == (NETWORK, "tifu")
    assert "members" not in Ranking().model_dump()
    assert (Ranking(algorithm=ENSEMBLE).members, Ranking(algorithm=ENSEMBLE).algorithms) == (DEFAULT, (NETWORK, TREES))
    both = MEANT.model_copy(update={"choose": Choose(among=(ENSEMBLE, "popular", NETWORK))})
    assert both.algorithms == (NETWORK, "frequency", "popular")
    assert chosen.alone(both, "popular").algorithms == ("popular",)
