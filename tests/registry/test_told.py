"""A run's last page names the baseline that is hardest to beat, also where it beats the model."""

from components.registry.told import _compared


def test_a_ranker_stands_beside_its_best_baseline_with_that_ones_interval() -> None:
    metrics = {
        "test": {"ndcg_at_10": 0.12},
        "baselines": {"personal_frequency": {"ndcg_at_10": 0.01}, "unseen_popular": {"ndcg_at_10": 0.13}},
        "gain": {"personal_frequency": [0.09, 0.13], "unseen_popular": [-0.03, 0.01]},
    }
    found = _compared(metrics, "ranking")
    assert found is not None
    assert (found["baseline"], found["other"], found["interval"]) == ("unseen_popular", 0.13, [-0.03, 0.01])


def test_an_intent_stands_beside_the_decayed_rate() -> None:
    metrics = {
        "test": {"map": 0.3},
        "baselines": {"global_rate": {"map": 0.4}, "decayed_rate": {"map": 0.25}},
        "gain": {"map": [0.02, 0.08], "bce": [0.0, 0.1]},
    }
    found = _compared(metrics, "intent")
    assert found is not None
    assert (found["baseline"], found["interval"]) == ("decayed_rate", [0.02, 0.08])
    assert _compared({"test": {"ndcg_at_10": 0.1}}, "ranking") is None
