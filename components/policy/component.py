"""The policy step as Kubeflow sees it: one import and one call. The one before it, which gathers the log, needs the
data's people besides (pipelines/graphs/component.py).

`code` is the digest of this package; it does nothing but change the cache's key, since Kubeflow does not see the code
behind these few lines.
"""

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def learn_policy(
    policy: str,
    mode: str,
    code: str,
    policy_rows: Input[Dataset],
    learned_policy: Output[Model],
    policy_report: Output[Markdown],
    policy_metrics: Output[Metrics],
) -> bool:
    """Learn a policy from the log and judge it on other users; tell whether it may be registered.

    Returns:
        learned_policy: The policy with its settings, its verdict and every estimate.
        policy_report: Passed, refused or undecided, why, and what each estimator says.
        policy_metrics: Value, interval, effective sample size, and the running policy's value.
    """
    from components.policy import steps

    return steps.learn(
        policy,
        log=policy_rows.path,
        mode=mode,
        folder=learned_policy.path,
        report=policy_report.path,
        log_metric=policy_metrics.log_metric,
    )
