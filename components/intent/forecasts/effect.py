"""Learn what an offer changes (kind: uplift): who got it at a step, what they did afterwards, whether to believe it.

A row of step w got the offer where an event of its kind happened in step w. Its outcome is counted over the horizon
from step w + 1 on: what came before the offer within its step is nobody's effect. Only steps count in which somebody
got it. The placebo asks the same of an offer that came after the outcome: rows of step w that had none until then,
`treated` by an offer in the step behind their outcome; its true effect is nothing.

Learnt are training and validation rows, since nothing is stopped early; test rows judge.

Letters: R rows, N inputs, G groups.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.intent.examples import Examples
from components.intent.forecasts import labels
from components.intent.forecasts.evaluate import Judged
from components.intent.forecasts.kinds.uplift import Uplift
from components.intent.forecasts.labels import Rows
from components.intent.forecasts.score import Fitted
from components.intent.forecasts.spec import COUNT, Forecast
from components.intent.uplift import effects
from components.intent.uplift.effects import Effect
from components.intent.uplift.grouped import grouped
from components.intent.uplift.learners import FOLDS, corrected_by, learn
from components.intent.uplift.treated import FEWEST, Treated
from feature_repo import columns
from feature_repo.errors import DataError, nearest

MOST_CELLS = 20_000_000  # rows times inputs that are learnt from: bounds minutes
FEWEST_TEST = 20  # test rows with the offer, and without
LEAST_COMPARED = 0.5  # share of rows that somebody can be compared with, below which the answers warn
OF_TARGET = 4  # inputs that each target has (inputs.py); the score reads those of the user alone


@dataclass(frozen=True)
class Asked:
    """Whether each row got it, and what came of it."""

    row: np.ndarray  # int64 [R] places in the rows that were asked about
    treated: np.ndarray  # bool [R]
    outcome: np.ndarray  # float64 [R]


@dataclass(frozen=True)
class Effects:
    """A learnt effect with all that speaks for and against it."""

    fitted: Fitted
    judged: Judged
    told: dict[str, Any]


def effect(
    events: pa.Table, intent: Forecast, examples: Examples, rows: Rows, x: np.ndarray, *, test: np.ndarray
) -> Effects:
    """Learn the effect of an intent's offer from rows that are no `test`, bool [R]; judge it on those.

    `x` are the rows' scaled inputs, [R, N]. Raises DataError where too few got it, or too few did not.
    """
    given = given_in(events, intent, rows, examples)
    told = outcomes(events, intent, rows, examples)
    real = asked(given, told, rows, intent)
    _require_differing(real.outcome[~test[real.row]], intent)
    learnt, tested = (
        _treated(real, np.flatnonzero(kept[real.row]), rows, x, intent, least=least)
        for kept, least in ((~test, FEWEST), (test, FEWEST_TEST))
    )
    found = learn(learnt)
    robust, seen = effects.doubly_robust(learnt, found), effects.overlap(learnt, found)
    most = max(examples.split["validate"], default=0) + intent.steps
    placebo = _placebo(events, intent, examples, rows, x, given=given, told=told, kept=~test, before=most)
    kept, about = found.compared, x.shape[1] - OF_TARGET * len(examples.vocabulary.targets)
    score = grouped(
        learnt.features[kept, :about], found.corrected[kept], learnt.user[kept], learnt.folds(FOLDS, seed=0)[kept]
    )
    head = Uplift(
        intent, _ends(robust), score.bounds, tuple(map(_ends, score.groups)), warning(placebo, seen.compared, intent)
    )
    weight = np.zeros(x.shape[1])
    weight[:about] = score.weight
    one = Fitted(head, linear(weight, score.intercept))
    corrected, compared = corrected_by(learnt, tested)
    if not compared.any():
        raise DataError(
            f"intents.{intent.name}.offer: no test row can be compared: all surely got '{intent.offer}', or surely did "
            "not; nothing can be judged; give data.split more test steps, or drop the intent"
        )
    said = head.answer(one.outputs(tested.features[compared, : x.shape[1]]))
    mean = np.zeros_like(said)
    nothing, mean[:, 0] = np.zeros_like(said), robust.value
    judged = Judged(
        head, corrected[compared], said, {"nothing": nothing, "mean": mean}, tested.user[compared],
        beside={"placebo": None if placebo is None else max(abs(placebo.low), abs(placebo.high)),
         "uncompared": 1 - seen.compared},
    )  # fmt: skip
    counts = {
        "rows": {"train": len(learnt.treated), "test": int(compared.sum())},
        "treated": int(learnt.treated.sum()),
        "effect": _ends(robust),
        "naive": _ends(effects.naive(learnt)),
        "groups": list(map(_ends, score.groups)),
        "placebo": None if placebo is None else _ends(placebo),
        "overlap": vars(seen),
        "warning": head.warning,
    }
    return Effects(one, judged, counts)


def _require_differing(outcome: np.ndarray, intent: Forecast) -> None:
    """Refuse an outcome [R] that is the same everywhere, such as of a column that the source lacks: 0 would be sure."""
    if len(outcome) and np.ptp(outcome) == 0:
        raise DataError(
            f"intents.{intent.name}.value: '{intent.value}' of '{intent.event}' comes to {outcome[0]:g} in each of "
            f"{len(outcome):,} rows, so nothing can be seen to change it; map the column "
            "(data.source.events.columns), or use value: count"
        )


def given_in(events: pa.Table, intent: Forecast, rows: Rows, examples: Examples) -> labels.Happened:
    """Take the offers that the rows' users got; refuse a kind that no event is of."""
    kinds = sorted(one for one in pc.unique(events[columns.EVENT].cast(pa.string())).to_pylist() if one)
    if intent.offer not in kinds:
        raise DataError(
            f"intents.{intent.name}.offer: no event is of the kind '{intent.offer}'; have {', '.join(kinds[:20])}"
            f"{nearest(str(intent.offer), kinds)}"
        )
    offer = replace_intent(intent, event=intent.offer, value=COUNT)
    return labels.happened(events, None, offer, rows, examples.calendar)


def outcomes(events: pa.Table, intent: Forecast, rows: Rows, examples: Examples) -> np.ndarray:
    """Return what each row's user came to over the horizon from the step after the row's on, float64 [R]."""
    happened = labels.happened(events, None, intent, rows, examples.calendar)
    return labels.amounts(happened, later(rows, 1), replace_intent(intent, steps=intent.steps - 1))


def asked(given: labels.Happened, outcome: np.ndarray, rows: Rows, intent: Forecast) -> Asked:
    """Return the rows of steps in which somebody got the offer: who did, and what came of it."""
    treated = counted(given, rows, intent, steps=1) > 0
    some = np.flatnonzero(np.isin(rows.week, np.unique(rows.week[treated])))
    return Asked(some, treated[some], outcome[some])


def placebo_of(given: labels.Happened, outcome: np.ndarray, rows: Rows, intent: Forecast, *, before: int) -> Asked:
    """Return the rows that had no offer until their outcome was over; `treated` by one in the step behind it.

    That step lies before step `before`, so that nothing of the test steps is read.
    """
    none = counted(given, rows, intent, steps=intent.steps) == 0
    afterwards = later(rows, intent.steps)
    treated = counted(given, afterwards, intent, steps=1) > 0
    known = none & (afterwards.week < before)
    some = np.flatnonzero(known & np.isin(rows.week, np.unique(rows.week[treated & known])))
    return Asked(some, treated[some], outcome[some])


def counted(given: labels.Happened, rows: Rows, intent: Forecast, *, steps: int) -> np.ndarray:
    """Return how many offers each row's user got in so many steps from the row's on, float64 [R]."""
    return labels.amounts(given, rows, replace_intent(intent, steps=steps))


def later(rows: Rows, steps: int) -> Rows:
    """Return the rows as of so many steps later."""
    return replace(rows, week=rows.week + steps)


def replace_intent(intent: Forecast, **changed: Any) -> Forecast:
    """Return an intent with other fields."""
    return intent.model_copy(update=changed)


def warning(placebo: Effect | None, compared: float, intent: Forecast) -> str:
    """Say why an effect may not be believed; '' where neither placebo nor overlap speaks against it.

    >>> warning(Effect(2.0, 1.0, 3.0, 9, 9), 0.9, Forecast(name="lift", kind="uplift"))
    'a placebo shows +2 [+1, +3] where nothing can be: who got the offer differs in what nobody measured'
    """
    unit = f" {intent.unit}" if intent.unit else ""
    found = []
    if placebo is None:
        found.append("no placebo could be asked: too few rows had no offer before the one that is asked about")
    elif not placebo.nothing:
        found.append(
            f"a placebo shows {placebo.value:+.4g}{unit} [{placebo.low:+.4g}, {placebo.high:+.4g}] where nothing can "
            "be: who got the offer differs in what nobody measured"
        )
    if compared < LEAST_COMPARED:
        found.append(f"only {compared:.0%} of the rows have anybody to be compared with")
    return "; ".join(found)


def linear(weight: np.ndarray, intercept: float) -> dict[str, np.ndarray]:
    """Return a linear score of inputs [N] as the arrays of a head's network, whose other layers are zero."""
    N = len(weight)
    zero = {"first.weight": (1, N), "first.bias": (1,), "second.weight": (1, 1), "second.bias": (1,)}
    zero |= {"out.weight": (1, 1), "out.bias": (1,)}
    arrays = {name: np.zeros(shape) for name, shape in zero.items()}
    return arrays | {"skip.weight": weight[None].astype(np.float64), "start": np.asarray([intercept])}


def _placebo(
    events: pa.Table, intent: Forecast, examples: Examples, rows: Rows, x: np.ndarray, *, given: labels.Happened,
    told: np.ndarray, kept: np.ndarray, before: int,
) -> Effect | None:  # fmt: skip
    """Return the effect of an offer on what was before it; None where too few rows can be asked."""
    found = placebo_of(given, told, rows, intent, before=before)
    mine = np.flatnonzero(kept[found.row])
    treated = int(found.treated[mine].sum())
    if min(treated, len(mine) - treated) < FEWEST:
        return None
    of = _treated(found, mine, rows, x, intent, least=FEWEST)
    try:
        return effects.doubly_robust(of, learn(of))
    except DataError:  # nobody can be compared
        return None


def _treated(of: Asked, mine: np.ndarray, rows: Rows, x: np.ndarray, intent: Forecast, *, least: int) -> Treated:
    """Return some of the rows as the learners take them; the step is known, too."""
    most = max(MOST_CELLS // max(x.shape[1], 1), 1)
    mine = mine if len(mine) <= most else mine[np.linspace(0, len(mine) - 1, most).astype(np.int64)]
    treated = of.treated[mine]
    for what, count in (("got", int(treated.sum())), ("did not get", int((~treated).sum()))):
        if count < least:
            raise DataError(
                f"intents.{intent.name}.offer: {count} of {len(mine):,} {'test ' if least == FEWEST_TEST else ''}rows "
                f"{what} '{intent.offer}' in their step, fewer than {least}: there is nothing to compare with; give "
                "data.split more steps, or drop the intent"
            )
    row = of.row[mine]
    features = np.column_stack([x[row].astype(np.float64), rows.week[row]])
    return Treated(features, treated, of.outcome[mine], rows.user[row], least=least)


def _ends(one: Effect) -> tuple[float, float, float]:
    return one.value, one.low, one.high
