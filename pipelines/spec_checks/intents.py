"""What intents and their models need of the other parts of a spec."""

from typing import TYPE_CHECKING

from components.data.row_rules import OneOf
from components.data.source_spec import Files
from components.intent import search_rows, search_space
from components.intent.forecasts.spec import ForecastModel
from components.intent.sessions.spec import SessionModel
from components.intent.spec import read_by
from feature_repo import columns
from feature_repo.errors import nearest

if TYPE_CHECKING:
    from pipelines.spec import Recommender


def horizons_are_steps(spec: "Recommender") -> None:
    """Refuse a horizon that is no whole number of steps."""
    for intent in (*spec.clocked, *spec.of_forecasts):
        intent.steps(spec.data.pace)


def forecasts_fit(spec: "Recommender") -> None:
    """Refuse forecasts alone, and what is said of forecasts that are not there: it would say nothing."""
    if not spec.clocked and spec.of_forecasts:
        raise ValueError(
            "intents: none is of kind: binary with a horizon on the clock, and the ranker learns from those; add "
            "one, such as {name: visit}"
        )
    for place, intent in enumerate(spec.intents):
        if intent.value == columns.STRENGTH and not spec.data.has_strength:
            raise ValueError(
                f"intents[{place}].value: strength is no column of these events; map it as "
                "`data.source.events.columns: {strength: <column>}`, or use value, quantity or count"
            )
    needs = "an intent of kind: regression or multiclass, and there is none; add one, such as "
    example = "{name: spend, kind: regression, value: value}"
    if not spec.of_forecasts and spec.models.forecast != ForecastModel():
        raise ValueError(f"models.forecast: is for {needs}{example}, or drop it")
    kinds: dict[str, tuple[str, str]] = {one.name: (one.kind, one.loss) for one in spec.of_forecasts}
    for place, gate in enumerate(spec.promotion.gates):
        gate.require_forecast(f"promotion.gates[{place}]", kinds)


def sessions_fit(spec: "Recommender") -> None:
    """Refuse sessions alone, and what is said of sessions where there are none: it would say nothing."""
    if not spec.clocked:
        raise ValueError(
            "intents: each has horizon: session, and the ranker learns from what users are about to do on the "
            "clock; add one, such as {name: visit}"
        )
    if spec.of_sessions:
        return
    needs = "an intent with horizon: session, and there is none; add one, such as "
    example = "{name: buy_now, event: purchase, horizon: session}"
    if spec.data.session_gap is not None:
        raise ValueError(f"data.session_gap: is for {needs}{example}, or drop it")
    if spec.models.session != SessionModel():
        raise ValueError(f"models.session: is for {needs}{example}, or drop it")
    for place, gate in enumerate(spec.promotion.gates):
        if gate.metric.startswith("session."):
            raise ValueError(f"promotion.gates[{place}]: {gate.metric} is measured of {needs}{example}")


def search_fits(spec: "Recommender") -> None:
    """Check the space of a search beside the settings that it begins with; not again with those that it finds."""
    if (search := spec.models.intent.search) is not None:
        try:
            search_space.require(spec.models.intent, search, read_by)
            search_rows.require(spec.models.intent, search)
        except ValueError as error:
            raise ValueError(f"models.intent.{error}") from None


def privacy_is_of_one_training(spec: "Recommender") -> None:
    """Refuse a second training of what privacy accounts for one of."""
    if spec.models.intent.privacy is not None and spec.promotion.refit:
        raise ValueError(
            "promotion.refit: trains once more, which models.intent.privacy.epsilon does not account for; use "
            "refit: false, or drop privacy"
        )


def places_are_no_days(spec: "Recommender") -> None:
    """Refuse what counts in days or visits where steps are places in a user's order."""
    if spec.data.split.leave_one_out is None:
        return
    for intent in spec.intents:
        place = f"intents.{intent.name}.horizon"
        if intent.of_session:
            raise ValueError(f"{place}: visits have no order under data.split.leave_one_out; leave the intent out")
        if (steps := intent.steps(spec.data.pace)) > 1:
            raise ValueError(
                f"{place}: {intent.horizon} is {steps} steps, and under data.split.leave_one_out a user's test is "
                "one; use 24h, or leave the intent out"
            )
    if spec.models.ranking.later_items:
        raise ValueError(
            "models.ranking.later_items: items come by their days, which data.split.leave_one_out gives up; leave "
            "one of the two out"
        )


def kinds_are_known(spec: "Recommender") -> None:
    """Refuse kinds of events on which the spec's parts disagree; each would be counted by nobody, in silence."""
    ranking, bare = spec.models.ranking, spec.data.without_item
    if ranking.impression in bare:
        raise ValueError(
            f"data.without_item: '{ranking.impression}' is models.ranking.impression, and what is shown is an "
            "item; take it out of either"
        )
    for kind in bare:
        if ranking.kinds.get(kind, 0) != 0 or kind == ranking.event:
            raise ValueError(
                f"data.without_item: '{kind}' says in models.ranking whether an item was wanted, so it has one; "
                "take it out of either"
            )
    for intent in spec.intents:
        place = f"intents.{intent.name}.event"
        if intent.event in bare and intent.column is not None:
            raise ValueError(
                f"{place}: '{intent.event}' is in data.without_item, and level {intent.level} is of items; leave "
                "level out, or name a kind with items"
            )
        if not ranking.kinds or intent.event is None or intent.event in bare:
            continue
        if intent.event not in ranking.kinds:
            have = [*ranking.kinds, *bare]
            raise ValueError(
                f"{place}: '{intent.event}' is no kind of models.ranking.kinds; have {', '.join(have)}"
                f"{nearest(intent.event, have)}"
            )
        if ranking.kinds[intent.event] < 0:
            raise ValueError(
                f"{place}: '{intent.event}' has the weight {ranking.kinds[intent.event]:g}, which says that an "
                "item was not wanted; an intent is about a kind of 0 or more"
            )
    listed = spec.data.source.impressions if isinstance(spec.data.source, Files) else None
    if listed and (ranking.impression != listed.shown or ranking.kinds.get(listed.clicked, 0) <= 0):
        raise ValueError(
            f"data.source.impressions: declare its kinds in models.ranking, such as kinds: {{{listed.clicked}: 1, "
            f"{listed.shown}: 0}} and impression: {listed.shown}; else what was shown would count as wanted"
        )
    for rule in spec.data.contract.get("events", ()):
        if isinstance(rule, OneOf) and rule.column == columns.EVENT:
            for kind in (*ranking.kinds, *bare):
                if kind not in map(str, rule.values):
                    have = [str(value) for value in rule.values]
                    raise ValueError(
                        f"models.ranking.kinds: '{kind}' is no event that data.contract allows; one_of has "
                        f"{', '.join(have)}{nearest(kind, have)}"
                    )
