"""The keys of the one line that a step says in its log, beside those that every step's line has.

Rows are what it read and what it wrote, over all tables. A step that is taken from the cache does not run and says
nothing, so `cached` is false in every line; Kubeflow and the command line say which steps were cached.
"""

ALWAYS = ("step", "seconds", "peak_memory_gib", "cached")
COUNTS: dict[str, tuple[str, ...]] = {
    "admit": ("spec", "mode", "source"),
    "ingest": ("rows_out", "weeks", "digest"),
    "validate": ("rows_in", "rows_out", "passed", "rules", "warnings"),
    "profiles": ("rows_in", "rows_out", "users", "items", "targets"),
    "training_set": ("rows_in", "rows_out", "intent_rows", "ranking_rows"),
    "search_intent": ("rows_in", "trials", "better"),
    "train_intent": ("rows_in", "rows_out", "epochs", "validate_bce"),
    "evaluate_intent": ("rows_in", "map", "bce"),
    "item_vectors": ("rows_in", "rows_out", "texts", "encoded", "reused", "waiting", "images", "without"),
    "train_session": ("asked",),
    "refit_session": ("asked",),
    "train_forecasts": ("asked",),
    "refit_forecasts": ("asked",),
    "train_ranking": ("rows_in", "epochs", "validate_ndcg_at_10"),
    "refit_intent": ("asked",),
    "refit_ranking": ("asked",),
    "evaluate_ranking": ("rows_in", "ndcg_at_10"),
    "fetch_twin": ("version", "why"),
    "twin_rows": ("why",),
    "judge_twin_intent": ("why",),
    "judge_twin_ranking": ("why",),
    "judge_words": ("asked", "broken"),
    "register": ("gates", "verdict", "mode"),
    "need_baseline": ("wanted",),
    "baseline_intent": ("rows_in", "baseline"),
    "baseline_ranking": ("rows_in", "baseline", "ndcg_at_10"),
    "register_baseline": ("release", "version"),
    "register_refit": ("refitted",),
    "materialise": ("rows_in", "rows_out"),
    "promote": ("champion", "moved", "note"),
    "champion": ("which", "version", "release"),
    "fetch_release": ("version", "release"),
    "newest_rows": ("rows_in", "rows_out"),
    "predict_intents": ("rows_in", "rows_out"),
    "recommend": ("rows_in", "rows_out", "k"),
    "policy_log": ("rows_in", "rows_out", "explored", "greedy", "railed", "other"),
    "learn_policy": ("rows_in", "verdict", "learner"),
    "register_policy": ("release", "version"),
    "watch": ("rows_in", "verdict", "drifted_share"),
    "decide": ("verdict", "reason", "train"),
    "decide_retraining": ("verdict", "reason", "action", "train", "why"),
    "weigh": ("result", "promotes", "why"),
    "promote_retrained": ("result", "version"),  # behind the line of `promote`
    "outcome": ("state", "outcome"),
}
