"""The registered intent model: rows of users in, a probability for every target out.

MLflow ships this file and runs it where the model is loaded (models from code, so nothing is pickled); the code it
imports travels in the model's `code` folder. It only adapts the form: all the knowledge is in components/intent.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from components.registry import frames
from feature_repo import columns


class IntentModel(PythonModel):  # type: ignore[misc]  # mlflow carries no types
    """Predicts what users are about to do."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder."""
        from components.intent.score import IntentScorer

        self.scorer = IntentScorer.load(Path(context.artifacts[frames.MODEL]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return for each row its user and `probabilities`, in the order of the metadata's `targets`."""
        scores = self.scorer.predict(frames.user_rows(model_input))  # [B, C]
        rows = [row.tolist() for row in scores]
        return pd.DataFrame({columns.USER_ID: model_input[columns.USER_ID].to_numpy(), frames.PROBABILITIES: rows})


set_model(IntentModel())
