"""Every benchmark runs in its quick form and prints one document of finite numbers."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import profiles
from components.intent.networks import NETWORKS, TREES
from components.ranking.baselines import BASELINES
from tests.patience import patient

SCRIPTS = {
    "models": {"intent", "ranking"},
    "drift": {"cases", "noise_floor", "thresholds"},
    "signals": {"recommenders"},
    "retrain": {"users", "targets", "worlds"},
    "content": {"pairs", "checker", "fixed", "writer"},
    "reader": {"model", "summaries", "expansion", "labels", "rerank"},
    "contract": {"intentflow", "great_expectations", "ratio"},
    "profiles": {"events", "seconds", "peak_memory_gib", "events_per_second", "all", "newest"},
    "intent": {"rows", "intent", "less_default"},
    "tuned": {"trials", "settings", "sides", "less"},
    "pretrain": {"worlds", "sides"},
    "private": {"users", "rows", "sides", "less_untrained", "noise"},
    "forms": {"text", "causes", "trees", "smaller"},
    "selection": {"rows", "sides", "difference"},
    "ranking": {"default", "frequency", "tifu_knn", "ranked", "rows", "skipped"},
    "lists": {"attributes", "values", "audiences", "similar"},
    "nearest": {"vectors", "exact", "index", "recall"},
    "next_basket": {"users", "items", "chosen", "sides", "skipped"},
    "choose": {"sides", "among", "weeks", "rows", "shuffled_gains_nothing", "predicted_gains"},
    "sparse": {"world", "bounded", "unbounded", "truth", "ratio"},
    "online": {"world", "stores"},
    "serving": {
        "http",
        "in_process",
        "ratio",
        "same_answers",
        "start",
        "servers",
        "ours_by_theirs",
        "peers",
        "events",
        "overload",
        "door",
        "lacks",
    },
    "door": {"read_ms", "views_ms", "log_ms", "rows_apart", "ms", "torch_over_numpy", "same"},
    "router": {"requests", "router"},
    "demo": {"runs", "largest_difference", "alike"},
    "requestlog": {"users", "each_once", "each_4_times"},
    "domains": {"sets"},
    "sessions": {"sets"},
    "sizing": {"inputs", "load", "prices", "redis", "scales"},
    "experiments": {"worlds", "shares"},
    "uplift": {"truth"},
    "feedback": {"items", "weeks", "sides"},
    "real_users": {"households", "items", "judged", "weights", "best_list", "any_list"},
    "gpu": {"device", "rows", "batch", "sides"},
    "policy": {"campaigns", "synthetic", "synthetic_lists"},
    "movielens": {"protocol", "users", "items", "skipped", "maskings"},
    "cold": {"weeks", "every", "interests", "items", "users"},
}
OWN_WORLD = (
    "nearest",
    "next_basket",
    "content",
    "reader",
    "experiments",
    "uplift",
    "pretrain",
    "contract",
    "profiles",
    "demo",
    "domains",
    "experiments",
    "feedback",
    "forms",
    "gpu",
    "online",
    "policy",
    "private",
    "real_users",
    "router",
    "sessions",
    "signals",
    "sizing",
    "sparse",
    "uplift",
)
SLOW = (
    "demo",
    "domains",
    "serving",
    "door",
    "requestlog",
    "online",
    "router",
    "models",
    "drift",
    "retrain",
    "contract",
    "profiles",
    "intent",
    "tuned",
    "pretrain",
    "selection",
    "ranking",
    "next_basket",
    "choose",
    "cold",
    "lists",
    "movielens",
    "sparse",
    "gpu",
    "private",
    "forms",
    "real_users",
    "signals",
    "sessions",
    "policy",
    "experiments",
    "reader",
    "uplift",
)  # up to half a minute each; CI runs them
Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that keeps the made world from one script to the next."""
    return tmp_path_factory.mktemp("benchmarks") / "world"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, float):
        yield value


def test_there_is_a_case_and_a_line_for_every_benchmark() -> None:
    text = Path("benchmarks/README.md").read_text()
    runnable = {p.stem for p in Path("benchmarks").glob("*.py") if '__name__ == "__main__"' in p.read_text()}
    assert runnable == set(SCRIPTS)
    assert all(f"benchmarks.{name}`" in text for name in runnable)


@pytest.fixture(scope="session")
def run(world: Path) -> Run:
    """Run a script's quick form, once; return its document."""
    done: dict[str, dict[str, Any]] = {}

    def once(name: str) -> dict[str, Any]:
        if name not in done:
            more = [] if name in OWN_WORLD else ["--world", str(world)]
            command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", *more]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            found = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=patient(280), check=False
            )
            assert found.returncode == 0, found.stderr
            done[name] = json.loads(found.stdout)
        return done[name]

    return once


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in SCRIPTS])
def test_the_quick_form_prints_one_document(name: str, run: Run) -> None:
    document = run(name)
    assert document["benchmark"] == name
    assert document["quick"] is True
    assert {"cpus", "load_before", "load_after", "commit"} <= set(document["machine"])
    assert SCRIPTS[name] <= set(document)
    assert all(math.isfinite(n) for n in _numbers(document))


@pytest.mark.slow
def test_ratios_are_our_figure_over_the_peers(run: Run) -> None:
    ranking = run("models")["ranking"]
    models = ranking["models"]
    assert {"intentflow", "tifu_knn", "popular", "personal_frequency", "decayed_personal"} <= set(models)
    expected = models["intentflow"]["ndcg_at_10"] / models["popular"]["ndcg_at_10"]
    assert ranking["ratio"]["popular"]["ndcg_at_10"] == pytest.approx(expected, abs=1e-4)
    assert ranking["ratio"]["popular"]["ndcg_at_10"] > 1.2, "a checkerboard is nothing to who knows only popularity"


@pytest.mark.slow
def test_trees_and_model_learn_the_checkerboard_alike(run: Run) -> None:
    models = run("models")["intent"]["models"]
    assert models["intentflow"]["map"] == models["gradient_boosting"]["map"] == 1.0
    assert models["global_rate"]["macro_auroc"] == 0.5


@pytest.mark.slow
def test_every_architecture_is_judged_on_the_same_rows(run: Run) -> None:
    document = run("intent")
    sides = document["intent"]
    assert {*NETWORKS, TREES, "cnn+temperature"} == set(sides)
    for side in sides.values():
        assert {"map", "macro_auroc", "f1_micro", "ece", "bce", "fit_cpu_s", "predict_us_1", "predict_us_256",
                "size_mb", "ci95"} <= set(side)  # fmt: skip
        assert side["ci95"]["bce"][0] <= side["bce"] <= side["ci95"]["bce"][1]
        assert min(side["fit_cpu_s"], side["predict_us_1"], side["size_mb"]) > 0
    assert document["default"] not in document["less_default"]
    for name, found in document["less_default"].items():
        want = sides[name]["map"] - sides[document["default"]]["map"]
        assert found["map"]["estimate"] == pytest.approx(want, abs=2e-6)


@pytest.mark.slow
def test_every_ranker_is_judged_beside_the_default(run: Run) -> None:
    document = run("ranking")
    assert {"popular", "popular_of_all_items", "tifu", "sequence", *BASELINES} <= {*document["ranked"]}
    figures = [document[name]["ndcg_at_10"] for name in document["ranked"]]
    assert figures == sorted(figures, reverse=True)
    for name in document["ranked"]:
        one = document[name]
        assert {"ndcg_at_10", "recall_at_10", "phr_at_10", "explore_ndcg_at_10", "fit_cpu_s", "ci95"} <= set(one)
        low, high = one["ci95"]["ndcg_at_10"]
        assert low <= one["ndcg_at_10"] <= high
        assert ("less_default" in one) == (name != "default")
    assert document["default"]["ndcg_at_10"] > document["popular"]["ndcg_at_10"]


@pytest.mark.slow
def test_intents_that_are_shuffled_gain_nothing_over_none(run: Run) -> None:
    document = run("choose")
    sides = document["sides"]
    assert {"no", "predicted", "shuffled", "oracle", "best_alone", "ceiling", *document["among"]} == set(sides)
    assert document["shuffled_gains_nothing"]
    assert sides["no"]["less_no"] == [0.0, 0.0]
    assert all(one["ndcg_at_10"] <= sides["ceiling"]["ndcg_at_10"] for one in sides.values())
    assert not set(document["weeks"]["stop"]) & set(document["weeks"]["choose"])
    assert max(document["weeks"]["choose"]) < min(document["weeks"]["test"])


@pytest.mark.slow
def test_fewer_inputs_are_fewer_and_differences_are_paired(run: Run) -> None:
    document = run("selection")
    sides = document["sides"]
    assert [sides[name]["inputs"] for name in ("top_4", "pca_3")] == [4, 3]
    assert sides["all"]["inputs"] > 4
    assert set(document["difference"]) == {"top_4", "pca_3"}
    for name, found in document["difference"].items():
        for metric, less in found.items():
            assert less["estimate"] == pytest.approx(sides[name][metric] - sides["all"][metric], abs=2e-6)
            assert less["interval"][0] <= less["estimate"] <= less["interval"][1]
            assert less["no_worse"] in ("passed", "refused", "undecided")


@pytest.mark.slow
def test_dearer_prices_are_named_and_the_floor_silences_chance(run: Run) -> None:
    document = run("drift")
    cases = {case["case"]: case for case in document["cases"]}
    calm = cases["test weeks against train weeks"]
    assert calm["alarms"] == 0
    assert set(calm["verdicts"]) <= {"stable", "undecided"}  # so few users leave some columns open
    assert "log_value_per_unit" in cases["test weeks, prices x 2, against train weeks"]["drifted"]
    assert max(document["noise_floor"]["with_floor"].values()) == 0.0


@pytest.mark.slow
def test_a_processor_is_given_rates_and_no_share_of_a_peak(run: Run) -> None:
    document = run("gpu")
    assert set(document["sides"]) == {*NETWORKS, "cnn+fp32"}
    for side in document["sides"].values():
        assert side["rows_per_s"] > 0
        assert 0 <= side["stall_share"] <= 1
        assert side["flops_per_row"] > 10_000
        assert (side["mfu"] is None) == (document["device"] == "cpu")


@pytest.mark.slow
def test_a_private_training_is_held_against_the_untrained_network(run: Run) -> None:
    document = run("private")
    sides = document["sides"]
    assert min(document["users"]["members"], document["users"]["others"]) > 60
    for name, found in document["less_untrained"].items():
        want = sides[name]["bce"] - sides["untrained"]["bce"]
        assert found["bce"]["estimate"] == pytest.approx(want, abs=2e-6)
        assert found["bce"]["ci95"][0] <= found["bce"]["estimate"] <= found["bce"]["ci95"][1]
    by_seed = (one for name, side in sides.items() if "sigma" not in side for one in side["by_seed"])
    assert len({one["bce"] for one in by_seed}) == 2, "the untrained network is another than the trained one"
    assert sides["epsilon 8, clip 10"]["epsilon"] <= 8
    assert document["noise"]["plain_auc"] > 0.7 > document["noise"]["private_auc"], "labels that are learnt by heart"


@pytest.mark.slow
def test_a_smaller_network_is_smaller_and_a_text_that_was_read_costs_little(run: Run) -> None:
    document = run("forms")
    for sides in document["smaller"].values():
        size = {made: one["size_bytes"] for made, one in sides.items()}
        assert size["both"] < size["int8"] < size["prune"] < size["full"]
    assert min(document["causes"].values()) > 0
    if (told := document["text"]) is not None:
        assert told["read_before_ms"] < told["ms"]["1x24"]
        assert told["size_mb"] > 80


def test_seconds_that_grow_as_the_events_do_have_slope_one() -> None:
    small, large = ({"events": n, "all": {"seconds": n / 50}} for n in (100, 400))
    assert profiles._slope(small, large, "all") == 1.0


@pytest.mark.slow
def test_the_service_says_what_the_models_say(run: Run) -> None:
    document = run("serving")
    assert document["same_answers"] == 1.0
    assert document["ratio"]["p50_ms"] > 0
    assert {"recommend", "recommend_unknown", "livez", "events_one"} <= set(document["http"])
    assert set(document["peers"]) == {"intentflow", "intentflow_routed", "starlette"}
    assert all(set(of) == {"requests_per_s", "p99_ms", "cpu_ms"} for of in document["peers"].values())
    assert document["events"]["sqlite"]["next_read_sees"] == 1.0
    assert document["lacks"] == {}


def test_without_a_finished_run_a_script_says_what_makes_one(tmp_path: Path) -> None:
    environment = os.environ | {"INTENTFLOW_STATE": str(tmp_path)}
    command = [sys.executable, "-m", "benchmarks.drift", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patient(100), check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "intentflow demo" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_second_demo_says_the_same(run: Run) -> None:
    found = run("demo")["runs"][0]
    assert found["second_is_the_same"] is True
    assert found["seconds"]["second"] < found["seconds"]["first"]
