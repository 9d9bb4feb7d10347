"""The ranking steps as Kubeflow sees them: one import and one call each.

`code` is the digest of this package; it does nothing but change the cache's key, since Kubeflow does not see
the code behind these few lines.
"""

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_ranking(ranking: str, code: str, rows: Input[Dataset], intent: Input[Model], ranker: Output[Model]) -> None:
    """Fit the ranker on the training weeks."""
    from components.ranking.steps import run_train_ranking

    run_train_ranking(ranking, rows=rows.path, intent=intent.path, ranker=ranker.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_ranking(
    ranking: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Input[Model],
    ranking_evaluation: Output[Dataset],
    metrics: Output[Metrics],
    card: Output[Markdown],
) -> None:
    """Judge the ranker on the test weeks against the baselines."""
    from components.ranking.steps import run_evaluate_ranking

    run_evaluate_ranking(
        ranking,
        rows=rows.path,
        intent=intent.path,
        ranker=ranker.path,
        evaluation=ranking_evaluation.path,
        card=card.path,
        log_metric=metrics.log_metric,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def recommend(
    k: int,
    code: str,
    rows: Input[Dataset],
    intents: Input[Dataset],
    release: Input[Model],
    recommendations: Output[Dataset],
) -> None:
    """Recommend items to all users with a release's ranker."""
    from components.ranking.steps import run_recommend

    run_recommend(rows=rows.path, intents=intents.path, release=release.path, k=k, recommendations=recommendations.path)
