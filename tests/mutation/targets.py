"""Which modules are mutated, and the tests that must find it: those that start no process and take a second or two."""

TARGETS: dict[str, tuple[str, ...]] = {
    # Reading a shop's files.
    "components/data/conversion.py": ("tests/data/test_conversion.py",),
    "components/data/mapping.py": ("tests/data/test_ingest.py",),
    "components/data/guess.py": ("tests/data/test_guess.py",),
    # The contract.
    "components/data/row_rules.py": ("tests/data/test_row_rules.py",),
    "components/data/rules.py": ("tests/data/test_rules.py", "tests/data/test_contract.py"),
    "components/data/checks.py": ("tests/data/test_checks.py", "tests/data/test_contract.py"),
    "components/data/afterwards.py": ("tests/data/test_afterwards.py",),
    "components/data/quarantine.py": ("tests/data/test_contract.py",),
    # Folding events into profiles.
    "feature_repo/update.py": ("tests/feature_repo/test_fold.py", "tests/feature_repo/test_people_fold.py"),
    # The clock, and what a row remembers of which kind of event.
    "feature_repo/clock.py": ("tests/feature_repo/test_clock.py",),
    "feature_repo/signs.py": ("tests/feature_repo/test_signs.py",),
    "feature_repo/records.py": ("tests/feature_repo/test_signs.py",),
    "feature_repo/memory.py": ("tests/feature_repo/test_memory_text.py",),
    "feature_repo/later_people.py": (
        "tests/feature_repo/test_later_people.py",
        "tests/pipelines/test_spec_defaults.py",
    ),
    # What a model sees.
    "components/intent/encode.py": (
        "tests/intent/test_encode.py",
        "tests/intent/test_known_answers.py",
        "tests/intent/test_inputs.py",
    ),
    "components/intent/search_space.py": (
        "tests/intent/search/test_search_space.py",
        "tests/pipelines/test_spec_defaults.py",
    ),
    "components/intent/search/proposal.py": ("tests/intent/search/test_proposal.py",),
    "components/intent/relevance.py": ("tests/intent/test_relevance.py",),
    "components/intent/projection.py": ("tests/intent/test_projection.py",),
    "components/intent/quantize.py": ("tests/intent/test_quantize.py",),
    "components/ranking/encode.py": ("tests/ranking/test_encode.py", "tests/ranking/test_known_answers.py"),
    "components/ranking/sources/graph.py": ("tests/ranking/test_knowledge.py",),
    "components/ranking/choice.py": ("tests/ranking/test_choose.py",),
    "components/ranking/choose.py": ("tests/ranking/test_choose.py",),
    "components/ranking/rerank.py": ("tests/ranking/test_rerank.py",),
    "components/ranking/places.py": ("tests/ranking/test_start.py",),
    "components/ranking/candidates.py": ("tests/ranking/test_candidates.py", "tests/ranking/test_known_answers.py"),
    # What is shown, how likely it was, and what it brought.
    "components/policy/evaluation/estimators.py": ("tests/policy/test_estimators.py",),
    "components/policy/evaluation/overlap.py": ("tests/policy/test_estimators.py", "tests/policy/test_gate.py"),
    "components/policy/evaluation/slates.py": ("tests/policy/test_slates.py",),
    "components/policy/evaluation/gate.py": ("tests/policy/test_gate.py",),
    "components/policy/learning/answers.py": ("tests/policy/test_learning.py",),
    "components/policy/learning/running.py": ("tests/policy/test_policy_steps.py",),
    "components/policy/draw.py": ("tests/policy/test_draw.py", "tests/policy/test_policies.py"),
    "components/policy/openings.py": ("tests/policy/test_draw.py",),
    "components/policy/guard.py": ("tests/policy/test_guard.py", "tests/policy/test_policy_spec.py"),
    "components/policy/record.py": ("tests/policy/test_record.py",),
    "components/policy/rewards.py": ("tests/policy/test_rewards.py", "tests/pipelines/rollout/test_rewards.py"),
    "components/ranking/rules/bounds.py": ("tests/ranking/test_rule_bounds.py",),
    # What is told of a drift check.
    "monitoring/page/sentences.py": ("tests/monitoring/page/test_sentences.py",),
    "monitoring/page/chart.py": ("tests/monitoring/page/test_day.py",),
    # The gates.
    "components/verdicts.py": ("tests/test_verdicts.py",),
    "components/resamples.py": ("tests/test_verdicts.py",),
    "components/registry/gate_metrics.py": (
        "tests/registry/test_gate_metrics.py",
        "tests/pipelines/test_spec_fields.py",
    ),
    "components/registry/gates.py": ("tests/registry/test_gates.py", "tests/registry/test_gate_intervals.py"),
    "components/registry/gate_inputs.py": ("tests/registry/test_gates.py", "tests/registry/test_gate_intervals.py"),
    # Words.
    "components/content/shelves.py": ("tests/content/test_shelves.py",),
    "components/content/llm/grammar.py": ("tests/content/test_grammar.py",),
    "components/content/digests.py": ("tests/content/test_digests.py",),
    # Drift by signals.
    "monitoring/drift/signals.py": ("tests/monitoring/drift/test_signal_kinds.py",),
    "monitoring/drift/reasons.py": ("tests/monitoring/drift/test_reasons.py",),
    "monitoring/drift/signal_verdicts.py": ("tests/monitoring/drift/test_signal_verdicts.py",),
    # When to train again.
    "monitoring/retraining/machine.py": ("tests/monitoring/retraining/test_machine.py",),
    "monitoring/retraining/reason.py": ("tests/monitoring/retraining/test_reason.py",),
    "monitoring/quality/figures.py": ("tests/monitoring/quality/test_figures.py",),
    "monitoring/quality/fall.py": ("tests/monitoring/quality/test_fall.py",),
    "monitoring/quality/kpis.py": ("tests/monitoring/quality/test_kpis.py",),
    # The router.
    "bentos/router/slow_start.py": ("tests/bentos/router/test_slow_start.py",),
    # The rollout, and experiments.
    "pipelines/rollout/experiment_analysis.py": ("tests/pipelines/rollout/test_experiment_numbers.py",),
    "pipelines/rollout/experiment_power.py": ("tests/pipelines/rollout/test_experiment_power.py",),
    "pipelines/rollout/experiments.py": ("tests/pipelines/rollout/test_experiments.py",),
    "pipelines/rollout/outcomes.py": ("tests/pipelines/rollout/test_outcomes.py",),
    "components/uplift/effects.py": ("tests/uplift/test_uplift.py",),
    "pipelines/rollout/fencing.py": ("tests/pipelines/rollout/test_fencing.py",),
    "pipelines/rollout/state_machine.py": (
        "tests/pipelines/rollout/test_decisions.py",
        "tests/pipelines/rollout/test_mending.py",
        "tests/pipelines/rollout/test_state_machine.py",
    ),
    "pipelines/rollout/mending.py": ("tests/pipelines/rollout/test_mending.py",),
    "pipelines/rollout/pods.py": ("tests/pipelines/rollout/test_pods.py",),
    "pipelines/rollout/analysis.py": ("tests/pipelines/rollout/test_analysis.py",),
    "pipelines/rollout/sequential.py": (
        "tests/pipelines/rollout/test_sequential.py",
        "tests/pipelines/rollout/test_experiment_numbers.py",
    ),
    # The spec's checks.
    "pipelines/spec.py": (
        "tests/pipelines/test_spec_events.py",
        "tests/pipelines/test_spec_privacy.py",
        "tests/pipelines/test_spec_text.py",
        "tests/pipelines/test_spec_forecasts.py",
        "tests/pipelines/test_spec_mistakes.py",
        "tests/pipelines/test_spec.py",
        "tests/pipelines/test_spec_clock.py",
        "tests/pipelines/test_spec_kinds.py",
        "tests/pipelines/test_spec_people.py",
        "tests/pipelines/test_spec_rules.py",
        "tests/data/test_leave_one_out.py",
    ),
    "components/content/grounding/rules.py": ("tests/content/test_checker.py",),
    "components/content/grounding/known.py": ("tests/content/test_checker.py",),
    "components/content/spec.py": ("tests/pipelines/test_spec_fields.py",),
    "components/data/spec.py": (
        "tests/pipelines/test_spec_defaults.py",
        "tests/pipelines/test_spec_sessions.py",
        "tests/pipelines/test_spec_fields.py",
        "tests/pipelines/test_spec_clock.py",
        "tests/pipelines/test_spec_people.py",
        "tests/data/test_leave_one_out.py",
    ),
    "components/intent/spec.py": (
        "tests/pipelines/test_spec_defaults.py",
        "tests/pipelines/test_spec_fields.py",
        "tests/pipelines/test_spec_clock.py",
        "tests/pipelines/test_spec_events.py",
        "tests/pipelines/test_spec_privacy.py",
        "tests/pipelines/test_spec_text.py",
    ),
    "components/profiles/spec.py": (
        "tests/pipelines/test_spec_fields.py",
        "tests/pipelines/test_spec_clock.py",
        "tests/pipelines/test_spec_defaults.py",
    ),
    "components/ranking/spec.py": (
        "tests/pipelines/test_spec_fields.py",
        "tests/pipelines/test_spec_kinds.py",
        "tests/pipelines/test_spec_people.py",
        "tests/ranking/test_start.py",
    ),
    "components/registry/spec.py": ("tests/pipelines/test_spec_fields.py",),
    # The console.
    "bentos/console/doorman.py": ("tests/console/test_doorman.py", "tests/console/test_gate.py"),
    "bentos/console/forms.py": ("tests/console/test_forms.py",),
    # The console's forms of rules.
    "bentos/console/rule_forms.py": ("tests/console/test_rule_forms.py",),
}
