"""The registered ranking model: rows of users with the intent model's probabilities in, the best k items out.

MLflow ships this file and runs it where the model is loaded (models from code, so nothing is pickled); the code it
imports travels in the model's `code` folder. It only adapts the form: all the knowledge is in components/ranking.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from components.registry import frames
from feature_repo import columns


class RankingModel(PythonModel):  # type: ignore[misc]  # mlflow carries no types
    """Recommends items."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder."""
        from components.ranking.score import Ranker

        self.ranker = Ranker.load(Path(context.artifacts[frames.MODEL]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return for each row its user and, best first, `item_ids`, `scores` and `sources`."""
        k = int((params or {}).get("k", frames.DEFAULT_K))
        rows, chances = frames.user_rows(model_input), frames.probabilities(model_input)
        item_ids = self.ranker.vocabulary.item_ids
        answers = []
        for b in range(len(rows)):
            best = self.ranker.recommend(rows.take(np.array([b])), chances[b], k=k)
            answers.append(
                {
                    columns.USER_ID: rows.user_id[b],
                    "item_ids": [item_ids[one.item_index] for one in best],
                    "scores": [float(one.score) for one in best],
                    "sources": [one.source for one in best],
                }
            )
        return pd.DataFrame(answers)


set_model(RankingModel())
