"""The policy pipeline: learn what to show from what was shown, judge it by the log, and release what passes.

No model is trained: the release that serves gets another policy. Where nothing passes it ends after the verdict.
"""

from pipelines.graphs.graph import RETURNED, Graph


def policy(graph: Graph) -> None:
    """Learn a policy from the log and release it if it passes its gate."""
    with graph.group("learning", "Gather what was explored with its rewards, learn a policy, judge it on other users."):
        chosen = graph.step("champion")
        rows = graph.step("policy_log", release=chosen["release"])["policy_rows"]
        learnt = graph.step("learn_policy", policy_rows=rows)
    # A group around the condition: kfp lets no later step come after a condition itself.
    with (
        graph.group("release", "Where the policy passed its gate: register it with the models that serve, promote it."),
        graph.when(learnt[RETURNED], name="policy-passed"),
    ):
        made = graph.step(
            "register_policy",
            version=chosen["version"],
            release=chosen["release"],
            learned_policy=learnt["learned_policy"],
        )
        graph.step("promote", version=made[RETURNED], why=graph.first["why"])
