"""The report says which baselines the model does not clearly beat."""

from pathlib import Path

from feature_repo import files
from pipelines.runs import report


def test_baselines_whose_interval_holds_zero_are_named(tmp_path: Path) -> None:
    of = {"ndcg_at_10": 0.1}
    files.write_json(
        tmp_path / "metrics.json",
        {
            "test": of,
            "baselines": {"popular": of, "item_knn": of, "last_event": of},
            "gain": {"popular": [0.01, 0.02], "item_knn": [-0.01, 0.02], "last_event": [-0.02, -0.01]},
        },
    )
    scores = report._scores(tmp_path, "popular")
    assert scores["unbeaten"] == {"item_knn": [-0.01, 0.02], "last_event": [-0.02, -0.01]}
    assert report._unbeaten(scores) == [
        "           the model is not clearly better than item_knn (-0.0100 to +0.0200), last_event (-0.0200 to -0.0100)"
    ]
    assert report._unbeaten(scores | {"unbeaten": {}}) == []
