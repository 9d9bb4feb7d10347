"""The intent steps as Kubeflow sees them: one import and one call each.

`code` is the digest of this package; it does nothing but change the cache's key, since Kubeflow does not see
the code behind these few lines.
"""

from kfp import dsl
from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_intent(
    intents: str,
    model: str,
    ranking_weeks: int,
    code: str,
    rows: Input[Dataset],
    intent: Output[Model],
    intent_curves: Output[HTML],
) -> None:
    """Fit the intent model, and score the ranker's weeks out of time.

    Returns:
        intent: Weights, encoder and the out-of-time probabilities that the ranker learns from.
        intent_curves: Loss on the training and validation weeks, epoch by epoch.
    """
    from components.intent.steps import run_train_intent

    run_train_intent(
        intents,
        model,
        ranking_weeks=ranking_weeks,
        rows=rows.path,
        intent=intent.path,
        code=code,
        curves=intent_curves.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refit_intent(
    intents: str,
    model: str,
    ranking_weeks: int,
    code: str,
    refit: bool,
    rows: Input[Dataset],
    intent: Input[Model],
    refitted_intent: Output[Model],
) -> None:
    """Fit the judged intent model once more, on all ripe weeks, and prove that only its rows differ.

    Returns:
        refitted_intent: The model that serves; empty where the spec asks for no refit.
    """
    from components.intent.steps import run_refit_intent

    run_refit_intent(
        intents,
        model,
        ranking_weeks=ranking_weeks,
        code=code,
        refit=refit,
        rows=rows.path,
        intent=intent.path,
        refitted=refitted_intent.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_intent(
    intents: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    intent_evaluation: Output[Dataset],
    intent_metrics: Output[Metrics],
    intent_classification: Output[ClassificationMetrics],
    intent_card: Output[Markdown],
) -> None:
    """Judge the intent model on the test weeks against the baselines.

    Returns:
        intent_evaluation: All figures of the model, its baselines and cohorts, and what serving it costs.
        intent_metrics: Figures on the test weeks, named as gates name them.
        intent_classification: ROC curve and confusion matrix over all pairs of user and intent.
        intent_card: The model card.
    """
    from components.intent.steps import run_evaluate_intent

    run_evaluate_intent(
        intents,
        rows=rows.path,
        intent=intent.path,
        evaluation=intent_evaluation.path,
        card=intent_card.path,
        log_metric=intent_metrics.log_metric,
        log_roc_curve=intent_classification.log_roc_curve,
        log_confusion_matrix=intent_classification.log_confusion_matrix,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def baseline_intent(
    intents: str,
    baselines: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    intent_evaluation: Input[Dataset],
    baseline_intent: Output[Model],
    baseline_intent_evaluation: Output[Dataset],
) -> None:
    """Put a rate in the network's place where the gates held it back, and judge it on the test weeks.

    Returns:
        baseline_intent: The rate as a model, or the network where its own gates passed it.
        baseline_intent_evaluation: All figures of what serves, as an evaluation has them.
    """
    from components.intent.baseline_champion import run_baseline_intent

    run_baseline_intent(
        intents,
        baselines,
        rows=rows.path,
        intent=intent.path,
        intent_evaluation=intent_evaluation.path,
        baseline_intent=baseline_intent.path,
        baseline_evaluation=baseline_intent_evaluation.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge_twin_intent(
    intents: str,
    code: str,
    rows: Input[Dataset],
    twin: Input[Model],
    twin_rows: Input[Dataset],
    champion_intent: Output[Dataset],
) -> None:
    """Judge the intent model that the champion was judged as on the candidate's test rows.

    Returns:
        champion_intent: Its figures on these rows, and its answers; or why it could not be asked.
    """
    from components.intent.steps import run_judge_twin_intent

    run_judge_twin_intent(
        intents, rows=rows.path, twin=twin.path, twin_rows=twin_rows.path, evaluation=champion_intent.path
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def predict_intents(code: str, rows: Input[Dataset], release: Input[Model], intents: Output[Dataset]) -> None:
    """Predict the intents of all users with a release's model.

    Returns:
        intents: Probabilities of every user's intents (intents.parquet), and the intents' names.
    """
    from components.intent.steps import run_predict_intents

    run_predict_intents(rows=rows.path, release=release.path, intents=intents.path)
