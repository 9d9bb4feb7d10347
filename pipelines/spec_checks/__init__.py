"""What one part of a spec needs of another: each check refuses in one line, which begins with the place."""

from pipelines.spec_checks import intents, profiles, ranking, shown

# In this order: of several mistakes, the first is told.
CHECKS = (
    ranking.knowledge_is_there,
    profiles.events_are_there,
    ranking.vectors_are_of_things,
    shown.experiments_fit,
    ranking.people_are_users,
    shown.k_fits,
    shown.policy_guards_what_is_there,
    shown.a_model_may_order_lists,
    shown.rules_can_be_kept,
    intents.horizons_are_steps,
    intents.forecasts_fit,
    intents.sessions_fit,
    intents.search_fits,
    profiles.windows_are_counted,
    ranking.ranking_looks_ahead,
    ranking.choice_has_steps,
    intents.privacy_is_of_one_training,
    ranking.weight_is_there,
    intents.places_are_no_days,
    intents.kinds_are_known,
)
