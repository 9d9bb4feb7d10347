"""The ranking steps as Kubeflow sees them: one import and one call each.

`code` is the digest of this package; it does nothing but change the cache's key, since Kubeflow does not see
the code behind these few lines.
"""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Markdown, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_ranking(
    ranking: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Output[Model],
    ranking_curves: Output[HTML],
) -> None:
    """Fit the ranker on the training weeks.

    Returns:
        ranker: Weights, encoder, candidates and the lists for users whom no model can answer.
        ranking_curves: Loss on the training weeks and NDCG on the validation weeks, epoch by epoch.
    """
    from components.ranking.steps import run_train_ranking

    run_train_ranking(
        ranking, rows=rows.path, intent=intent.path, ranker=ranker.path, code=code, curves=ranking_curves.path
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refit_ranking(
    ranking: str,
    code: str,
    refit: bool,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Input[Model],
    refitted_ranker: Output[Model],
) -> None:
    """Fit the judged ranker once more, on the newest ripe weeks, and prove that only its rows differ.

    Returns:
        refitted_ranker: The ranker that serves; empty where the spec asks for no refit.
    """
    from components.ranking.steps import run_refit_ranking

    run_refit_ranking(
        ranking,
        code=code,
        refit=refit,
        rows=rows.path,
        intent=intent.path,
        ranker=ranker.path,
        refitted=refitted_ranker.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_ranking(
    ranking: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Input[Model],
    ranking_evaluation: Output[Dataset],
    ranking_metrics: Output[Metrics],
    ranking_card: Output[Markdown],
) -> None:
    """Judge the ranker on the test weeks against the baselines.

    Returns:
        ranking_evaluation: All figures of the ranker, its baselines and cohorts, and what serving it costs.
        ranking_metrics: Figures on the test weeks, named as gates name them.
        ranking_card: The model card.
    """
    from components.ranking.steps import run_evaluate_ranking

    run_evaluate_ranking(
        ranking,
        rows=rows.path,
        intent=intent.path,
        ranker=ranker.path,
        evaluation=ranking_evaluation.path,
        card=ranking_card.path,
        log_metric=ranking_metrics.log_metric,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def baseline_ranking(
    ranking: str,
    baselines: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Input[Model],
    baseline_ranker: Output[Model],
    baseline_ranking_evaluation: Output[Dataset],
) -> None:
    """Put a baseline in the ranker's place where the gates held it back, and judge it on the test weeks.

    Returns:
        baseline_ranker: The baseline as a model, or the ranker where its own gates passed it.
        baseline_ranking_evaluation: All figures of what serves, as an evaluation has them.
    """
    from components.ranking.baseline_champion import run_baseline_ranking

    run_baseline_ranking(
        ranking,
        baselines,
        rows=rows.path,
        intent=intent.path,
        ranker=ranker.path,
        baseline_ranker=baseline_ranker.path,
        baseline_evaluation=baseline_ranking_evaluation.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge_twin_ranking(
    ranking: str,
    code: str,
    rows: Input[Dataset],
    intent: Input[Model],
    ranker: Input[Model],
    twin: Input[Model],
    twin_rows: Input[Dataset],
    champion_intent: Input[Dataset],
    champion_ranking: Output[Dataset],
) -> None:
    """Judge the ranker that the champion was judged as on the candidate's test rows.

    Returns:
        champion_ranking: Its figures on these rows; or why it could not be asked.
    """
    from components.ranking.steps import run_judge_twin_ranking

    run_judge_twin_ranking(
        ranking,
        rows=rows.path,
        intent=intent.path,
        ranker=ranker.path,
        twin=twin.path,
        twin_rows=twin_rows.path,
        twin_intent=champion_intent.path,
        evaluation=champion_ranking.path,
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
    """Recommend items to all users with a release's ranker.

    Returns:
        recommendations: The best items of every user in order (recommendations.parquet).
    """
    from components.ranking.steps import run_recommend

    run_recommend(rows=rows.path, intents=intents.path, release=release.path, k=k, recommendations=recommendations.path)
