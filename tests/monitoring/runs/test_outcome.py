"""A run's last page says in sentences how it ended: nothing that was not asked, and a refusal in its first line."""

from pathlib import Path
from typing import Any

from monitoring.runs.page import Links, page, plain
from monitoring.runs.run_state import RunState

DATA = {"rows": {"events": 1920, "users": 40}, "first": "2024-01-01T00:00:00+00:00", "last": "2024-04-21", "weeks": 16}
BETTER = {"metric": "NDCG@10", "value": 0.30, "baseline": "personal_frequency", "other": 0.25, "interval": [0.03, 0.07]}
UNSURE = {"metric": "MAP", "value": 0.31, "baseline": "decayed_rate", "other": 0.30, "interval": [-0.01, 0.03]}
REGISTER = {
    "data": DATA,
    "compared": {"intent": UNSURE, "ranking": BETTER},
    "passed": True,
    "gates": 2,
    "refused": [],
    "undecided": [],
    "skipped": ["intent.map: no champion to compare with"],
    "release": {"id": "c58", "version": "5", "created": True},
    "champion": "4",
}
STABLE = {"verdict": "stable", "reason": "0 of 3 columns drifted", "workspace": {"project": "p1", "run": "r1"}}
PROMOTED = {"champion": "5", "moved": True, "note": "champion 4 -> 5", "mode": "auto"}
LINKS = Links("https://mlflow.example/", "https://evidently.example")


def _page(pipeline: str = "train", *, links: Links = LINKS, **facts: Any) -> str:
    return page("shop", pipeline, RunState("ended", facts), links).markdown


def test_a_release_that_serves_is_said_with_its_data_its_gain_and_links() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and serves\n")
    assert "[version 5 of shop-release](https://mlflow.example/#/models/shop-release/versions/5)" in text
    assert "trained and judged on 1,920 events of 40 users from 2024-01-01 to 2024-04-21 (16 weeks)" in text
    assert "better by 0.0500 (95 % interval +0.0300 to +0.0700)" in text
    assert "which is better is undecided, +0.0100 (95 % interval -0.0100 to +0.0300)" in text
    assert "Every gate passed (2)." in text
    assert "- intent.map: no champion to compare with" in text
    assert "[Evidently's report](https://evidently.example/projects/p1/reports/r1)" in text
    assert "It is the champion now" in text


LEARNT = {"passed": True, "verdict": "passed", "why": "its lower bound 0.3 is above 0.2", "mode": "auto"}


def test_a_policy_that_passed_is_said_with_its_release() -> None:
    made = {"version": "6", "release": "c59"}
    text = _page("policy", learn_policy=LEARNT, register_policy=made, promote=PROMOTED | {"champion": "6"})
    assert text.startswith("# shop: policy passed, version 6 serves\n")
    assert "The policy is passed: its lower bound 0.3 is above 0.2." in text
    assert "versions/6), which is the champion." in text
    waits = _page("policy", learn_policy=LEARNT, register_policy=made, promote={"champion": "5", "note": "by hand"})
    assert waits.startswith("# shop: policy passed, version 6 waits\n")
    assert "which waits: by hand." in waits


def test_a_policy_that_did_not_pass_changes_nothing() -> None:
    text = _page("policy", learn_policy=LEARNT | {"passed": False, "verdict": "refused", "why": "it is worse"})
    assert text.startswith("# shop: policy refused\n")
    assert "What serves stays as it is." in text
    assert "a dry run" in _page("policy", learn_policy=LEARNT | {"mode": "dry_run"})


def test_a_release_whose_intent_model_was_compressed_says_which_was_taken_and_why() -> None:
    why = "The full intent model was taken (200 KiB): the compressed one (50 KiB) was refused: mAP 0.2 against 0.3"
    text = _page(register=REGISTER | {"compression": why}, promote=PROMOTED)
    assert f"\n\n{why}.\n\n" in text
    assert "intent model was taken" not in _page(register=REGISTER, promote=PROMOTED)


def test_a_refused_release_is_seen_in_the_first_line_and_names_who_serves() -> None:
    refused = REGISTER | {"passed": False, "refused": ["intent.map 0.3 is below 0.4"]}
    text = _page(register=refused, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates\n")
    assert "1 of 2 gates refused:\n\n- intent.map 0.3 is below 0.4" in text
    assert "The champion stays [version 4 of shop-release]" in text
    assert "Next: change data, models or gates" in text
    assert "It is the champion" not in text


def test_an_undecided_release_is_not_called_refused_and_the_page_says_what_would_tell() -> None:
    why = "intent.map 0.3 is not clearly at least nor below 0.3"
    open_ = REGISTER | {"passed": False, "verdict": "undecided", "undecided": [why], "champion": ""}
    text = _page(register=open_, watch=STABLE)
    assert text.startswith("# shop: version 5 undecided by its gates\n")
    assert f"1 of 2 gates could not tell:\n\n- {why}" in text
    assert "No release is the champion yet." in text
    assert "Undecided is not passed" in text
    for words in ("refused", "stays", "Every gate passed", "Next: change"):
        assert words not in text
    both = open_ | {"verdict": "refused", "refused": ["intent.ece 0.5 is above 0.02"]}
    assert _page(register=both, watch=STABLE).startswith("# shop: version 5 refused by its gates\n")
    dry = _page(register=open_ | {"release": None}, watch=STABLE)
    assert dry.startswith("# shop: dry run, gates undecided\n")


def test_where_nobody_serves_a_baseline_does_and_the_first_line_says_so() -> None:
    why = "ranking.ndcg_at_10 0.3 is below the baseline's 0.4; promotion.gates[1]"
    refused = REGISTER | {"passed": False, "refused": [why], "champion": ""}
    made = {"version": "6", "release": "c59", "baselines": {"ranking": "item_knn"}}
    served = {"champion": "6", "moved": True, "note": "champion nobody -> 6"}
    text = _page(register=refused, register_baseline=made, promote=served, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates; the baseline, version 6, serves\n")
    assert f"- {why}" in text
    assert (
        "No champion was there, so a baseline serves: [version 6 of shop-release](https://mlflow.example/#/models/"
        "shop-release/versions/6), with `item_knn` in the ranker's place and the intent model, whose own gates passed. "
        "No gate judged it. A candidate that passes its gates replaces it."
    ) in text
    assert "Next: change data, models or gates" in text
    assert "The champion stays" not in text
    waits = served | {"champion": "", "moved": False, "note": "version 6 waits as challenger"}
    text = _page(register=refused, register_baseline=made, promote=waits, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates; the baseline, version 6, waits\n")
    assert "`intentflow promote --version 6` lets it" in text
    both = made | {"baselines": {"intent": "decayed_rate", "ranking": "item_knn"}}
    text = _page(register=refused, register_baseline=both, promote=served, watch=STABLE)
    assert "with `decayed_rate` in the intent model's place and `item_knn` in the ranker's place. No gate" in text


def test_the_champion_that_a_stricter_gate_refuses_stays_and_the_page_says_so() -> None:
    refused = REGISTER | {"passed": False, "refused": ["too slow"], "champion": "5"}
    text = _page(register=refused, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates\n")
    assert "It is the champion all the same" in text
    assert "serves as soon as" not in text


def test_a_release_that_served_before_is_not_said_to_have_moved() -> None:
    again = PROMOTED | {"moved": False, "note": "version 5 is the champion already"}
    text = _page(register=REGISTER, promote=again, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and serves\n")
    assert "It was the champion already, and serves" in text


def test_a_release_that_waits_names_the_command_that_promotes_it() -> None:
    waits = {"champion": "4", "moved": False, "note": "version 5 waits as challenger; promote it by hand"}
    text = _page(register=REGISTER, promote=waits, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and waits\n")
    assert "`intentflow promote --version 5`" in text


def test_a_refit_that_serves_is_said_with_what_was_judged() -> None:
    judged = {"id": "c58", "version": "5", "weeks": {"intent": [5, 20], "ranking": [13, 20]}}
    made = {"release": {"id": "d69", "version": "6", "created": True}, "judged": judged}
    text = _page(register=REGISTER, register_refit=made, promote=PROMOTED | {"champion": "6"}, watch=STABLE)
    assert text.startswith("# shop: version 6 passed and serves\n")
    assert "The figures and gates are of [version 5 of shop-release]" in text
    assert "refitted on all complete weeks, 5 to 20, under the same spec, code and seed" in text
    assert "refit" not in _page(register=REGISTER, register_refit={}, promote=PROMOTED, watch=STABLE)


def test_a_dry_run_registers_nothing_and_says_so() -> None:
    text = _page(register=REGISTER | {"release": None}, watch=STABLE | {"workspace": None})
    assert text.startswith("# shop: dry run, gates passed\n\nNothing was registered: a dry run. It was trained")
    assert "The page `drift_page` of `watch` shows each column." in text


def test_without_drift_nothing_is_said_of_gates_that_were_not_asked() -> None:
    text = _page("retrain", watch=STABLE, admit={"note": "weekly look"})
    assert text.startswith(
        "# shop: nothing trained\n\nNothing was trained, because no drift asks for it: 0 of 3 columns"
    )
    assert "Note of this run: weekly look" in text
    for word in ("gate", "passed", "version"):
        assert word not in text
    for nothing in ({"verdict": "undecided", "compared": 0}, {"verdict": "no_data"}):  # of today, and of 0.1
        sparse = _page("retrain", watch=STABLE | nothing | {"reason": "9 rows, 100 are needed"})
        assert "because the data cannot tell whether it drifted: 9 rows, 100 are needed." in sparse
        assert "shows each column" not in sparse
    narrow = _page("retrain", watch=STABLE | {"verdict": "undecided", "compared": 3, "reason": "2 undecided"})
    assert "Evidently's report" in narrow


def test_scoring_names_the_release_and_counts_users() -> None:
    chosen = {"which": "champion", "version": "4", "release": "c57"}
    text = _page("batch", champion=chosen, recommend={"users": 2467, "items": 24670, "k": 10})
    assert text.startswith("# shop: scored 2,467 users\n")
    assert "from [version 4 of shop-release]" in text
    assert _page("batch", champion=chosen).startswith("# shop: scored before\n")


def test_addresses_that_nobody_named_make_no_link() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, links=Links())
    assert "version 5 of shop-release" in text
    assert "The page `drift_page` of `watch` shows each column." in text
    assert "](" not in text
    assert plain(_page(register=REGISTER, promote=PROMOTED, watch=STABLE)).startswith(
        "shop: version 5 passed and serves\n"
    )


def test_the_pages_that_the_docs_show_are_written_so() -> None:
    shown = Path("docs/kubeflow-runs.md").read_text()
    refused = REGISTER | {"passed": False, "refused": ["intent.map 0.3 is below 0.4"]}
    failed = RunState("failed", {}, "validate", 3, "contract: events need at least 1,000 rows, have 7")
    for text in (_page(register=refused, watch=STABLE), page("shop", "train", failed, LINKS).markdown):
        assert f"```text\n{text}```" in shown


BEGAN, ENDED = {"step": "watch", "share": 0.0}, {"step": "watch", "share": 1.0, "seconds": 2}


SEARCHED = {
    "study": "shop-1",
    "mode": "propose",
    "users": 120,
    "better": True,
    "best": 4,
    "changes": {"width": [64, 128], "learning_rate": [0.002, 0.005]},
    "complete": 5,
    "pruned": 2,
    "unfit": 1,
    "why": "loss distorts probabilities",
    "gain": {"by": 0.0123, "interval": [0.004, 0.02]},
    "diff": ["--- a/shop.yaml", "+++ b/shop.yaml", "-  width: 64", "+  width: 128"],
}


def test_a_search_is_told_with_its_gain_and_its_proposal() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": SEARCHED})
    assert "A search tried 8 settings of the intent model: 2 were cut short, 1 do not go together (loss dist" in text
    assert "Trial 4 has a validation loss lower by 0.01230 (95 % interval +0.00400 to +0.02000)" in text
    assert "on 120 users that the search alone reads" in text
    assert "The model was trained with the spec's own; to take these, apply `search/proposal.diff`" in text
    assert "    --- a/shop.yaml\n    +++ b/shop.yaml\n    -  width: 64\n    +  width: 128\n" in text
    assert "    +  width: 128" in plain(text)


def test_a_search_without_a_file_names_fields_and_one_that_chance_could_explain_says_so() -> None:
    searched = SEARCHED | {"diff": [], "gain": {"by": 0.001, "interval": [-0.001, 0.003]}, "mode": "auto", "unfit": 0}
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": searched})
    assert "    width: 128  # was 64\n    learning_rate: 0.005  # was 0.002" in text
    assert "Chance alone could do that." in text
    assert "The model was trained with these settings, and the gates judged it:" in text


def test_a_search_that_found_nothing_better_proposes_nothing() -> None:
    searched = SEARCHED | {"better": False, "changes": {}, "diff": [], "gain": None}
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": searched})
    assert "None of them is better than the spec's own" in text
    assert "proposal.diff" not in text


def test_a_forecast_is_said_beside_its_best_baseline_and_a_lower_loss_is_better() -> None:
    spend = {"name": "spend", "metric": "RMSE", "value": 4.0, "baseline": "gbdt", "other": 5.0}
    for interval, words in (
        ([-1.5, -0.5], "better by 1 (95 % interval -1.5 to -0.5)"),
        ([-1.5, 0.5], "which is better is undecided, -1 (95 % interval -1.5 to +0.5)"),
        ([0.5, 1.5], "worse by -1 (95 % interval +0.5 to +1.5)"),
    ):
        text = _page(register=REGISTER | {"forecasts": [spend | {"interval": interval}]})
        assert f"The forecast `spend` has RMSE 4 on the test weeks, the baseline `gbdt` 5: {words}." in text
    assert "forecast" not in _page(register=REGISTER)
