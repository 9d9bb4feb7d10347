"""The intent model's card: Markdown for people, made from what training and evaluation left. Computes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.intent import inputs
from components.intent.ensemble import MEMBERS, described
from components.intent.evaluate import BCE_COMPARED, COMPARED, Evaluation
from components.intent.networks import ENSEMBLE, TEXT, TREES
from feature_repo import columns
from feature_repo.clock import Pace
from feature_repo.markdown import words
from feature_repo.vocabulary import Vocabulary

TITLES = {"macro_auroc": "macro AUROC", "micro_auroc": "micro AUROC", "map": "mAP", "bce": "BCE", "ece": "ECE",
          "micro_f1": "micro F1"}  # fmt: skip
WEEKLY = Pace()
BESIDE = (("map", f"{COMPARED}_map", 1), ("bce", BCE_COMPARED, -1))  # of a cohort, and whether more is better
BAR, LONGEST = 0.01, 20  # of a sign in the table of calibration, and signs at most
PRIVATE_FIGURES = ("bce", "map", "macro_auroc", "ece")  # with and without privacy
EXTREMES = 5  # targets shown at either end


def write(
    found: Evaluation,
    training: Mapping[str, Any],
    vocabulary: Vocabulary,
    *,
    sees: Mapping[str, Any] | None = None,
    pace: Pace = WEEKLY,
    more: Sequence[str] = (),
) -> str:
    """Write the model card; `sees` is what selection and reduction left of the profile's numbers, where they ran.

    `more` are sections of others: what the model goes by, and what compression came to.
    """
    step, ahead = pace.step, _ahead(vocabulary, pace)
    weeks = ", ".join(map(str, found.weeks))
    parts = [
        "# Intent model",
        f"Says for each of {len(vocabulary.targets)} targets how likely a user is to fulfil it in the coming {ahead}. "
        + _made(training, step),
        f"## Test {step}s {weeks}: {_number(found.test['rows'])} user-{step}s, "
        f"{_share(found.test['positive_share'])} of pairs positive",
        _table(found, step),
        _gain(found),
        *_single(found, vocabulary),
        "## Decisions",
        _decisions(found, step),
        "## Calibration",
        _calibration(found),
        "## Cohorts",
        _cohorts(found),
        _worse(found),
        "## Targets",
        _targets(found),
        *_inputs(sees or {}),
        *_privacy(training),
        *(section.strip() for section in more),
        "## Data, features and limits",
        _limits(found, pace, ahead),
    ]
    return "\n\n".join(parts) + "\n"


def _ahead(vocabulary: Vocabulary, pace: Pace) -> str:
    """Say how far ahead targets look: one step, or each intent its own horizon."""
    if (vocabulary.horizons == 1).all():
        return pace.step
    by_intent = {target.intent: target.horizon for target in vocabulary.targets}
    return ", ".join(f"{pace.counted(horizon)} ({name})" for name, horizon in by_intent.items())


def _made(training: Mapping[str, Any], step: str) -> str:
    """Say what answers, and what it was made of."""
    rows = training["rows"]
    if name := training.get("baseline"):
        return (
            f"A baseline, `{name}`: rates of {_trained(rows, step)}, and nothing that was trained. It serves because "
            "no network had passed its gates and no champion was there."
        )
    spec = training["spec"]
    if spec["architecture"] == ENSEMBLE:
        return (
            f"Several models as one: the weighted mean of the probabilities of {described(training[MEMBERS])}, each "
            f"trained by itself on {_trained(rows, step)}; the weights were chosen on the validation rows."
        )
    if spec["architecture"] == TREES:
        trees = sum(epoch["stage"] == "full" for epoch in training["epochs"])
        return (
            f"Gradient-boosted trees, one forest over each target's own frequency numbers and the user's, grown on "
            f"{_trained(rows, step)} in {trees} rounds."
        )
    if spec["architecture"] == TEXT:
        told = {"weights": "minilm", "tune": "head"} | dict(spec.get("text", {}))
        what = "last events" if spec.get("reads", "steps") == "events" else "items that the user had"
        return (
            f"A BERT (`{told['weights']}`, tune: {told['tune']}) over the {what} as text, a head of width "
            f"{spec['width']} and a perceptron over each target's own frequency numbers, trained on "
            f"{_trained(rows, step)} in {len(training['epochs'])} passes."
        )
    return (
        f"A {spec['architecture']} of width {spec['width']} over the last {_read(spec, step)} and a perceptron over "
        f"each target's own frequency numbers, trained on {_trained(rows, step)} in {len(training['epochs'])} passes."
    )


def _read(spec: Mapping[str, Any], step: str) -> str:
    """Name what the encoder reads."""
    if spec.get("reads", "steps") == "steps":
        return f"{step}s"
    return f"{columns.MEMORY_EVENTS} events" + (" with their items' titles" if spec.get("titles") else "")


def _trained(rows: Mapping[str, int], step: str = WEEKLY.step) -> str:
    """Say how many training rows there were, and how many they stand for where they were thinned.

    >>> _trained({"train": 61_204, "train_stand_for": 851_758})
    '61204 user-weeks that stand for 851758'
    """
    more = f" that stand for {rows['train_stand_for']}" if "train_stand_for" in rows else ""
    return f"{rows['train']} user-{step}s{more}"


def _table(found: Evaluation, step: str) -> str:
    lines = [["", *TITLES.values()]]
    lines.append(["**model**", *(_with_interval(found, name) for name in TITLES)])
    for name, values in found.baselines.items():
        lines.append([name.replace("_", " "), *(_number(values[m]) for m in TITLES)])
    lines.append([f"model, validation {step}s", *(_number(found.validate[m]) for m in TITLES)])
    return _markdown(lines)


def _with_interval(found: Evaluation, name: str) -> str:
    around = found.intervals.get(name)
    return f"**{_number(found.test[name])}**" + (f" [{around[0]:.4f}, {around[1]:.4f}]" if around else "")


def _gain(found: Evaluation) -> str:
    gains = ", ".join(f"{TITLES[name]} {low:+.4f} to {high:+.4f}" for name, (low, high) in found.gain.items())
    return f"Model less {COMPARED.replace('_', ' ')} (95 %, bootstrap over users): {gains or 'not measured'}."


def _single(found: Evaluation, vocabulary: Vocabulary) -> list[str]:
    names = [t.name for t in vocabulary.targets if f"{t.name}_auroc" in found.test]
    if not names:
        return []
    lines = [["intent", "AUROC", "AP", "Brier", f"{COMPARED.replace('_', ' ')} AUROC"]]
    for name in names:
        mine = [_number(found.test[f"{name}_{metric}"]) for metric in ("auroc", "ap", "brier")]
        lines.append([words(name), *mine, _number(found.baselines[COMPARED][f"{name}_auroc"])])
    return [_markdown(lines)]


def _cohorts(found: Evaluation) -> str:
    lines = [["cohort", "rows", "mAP", f"{COMPARED.replace('_', ' ')} mAP", "macro AUROC", "BCE", "ECE"]]
    for name, values in (found.cohorts | {f"{group} targets": v for group, v in found.groups.items()}).items():
        figures = ("rows", "map", f"{COMPARED}_map", "macro_auroc", "bce", "ece")
        lines.append([words(name), *(_number(values[figure]) for figure in figures)])
    return _markdown(lines)


def _decisions(found: Evaluation, step: str) -> str:
    lines = [["", "precision", "recall", "F1"]]
    for name, prefix in (("over all pairs (micro)", "micro"), ("mean of targets (macro)", "macro")):
        lines.append([name, *(_number(found.test[f"{prefix}_{figure}"]) for figure in ("precision", "recall", "f1"))])
    return _markdown(lines) + (
        f"\n\nA probability from {found.curve.threshold:.3f} on counts as yes in the first line, from each target's "
        f"own threshold on in the second; both were chosen for F1 on validation {step}s. Brier score "
        f"{_number(found.test['brier'])}. Each target's report is in metrics.json."
    )


def _calibration(found: Evaluation) -> str:
    """Draw for each intent what was said against what happened."""
    parts = []
    for intent, bins in found.reliability.items():
        lines = [["said", "happened", "pairs", ""]]
        for cell in bins:
            off = cell["happened"] - cell["said"]
            lines.append(
                [f"{cell['said']:.3f}", f"{cell['happened']:.3f}", str(int(cell["pairs"])),
                 ("+" if off > 0 else "-") * min(round(abs(off) / BAR), LONGEST)]
            )  # fmt: skip
        parts.append(f"`{intent}`\n\n{_markdown(lines)}")
    parts.append(f"Each sign is {BAR:.0%} that happened more (+) or less (-) often than was said.")
    return "\n\n".join(parts)


def _worse(found: Evaluation) -> str:
    """Name the cohorts and groups of targets that the compared rate serves better."""
    name = COMPARED.replace("_", " ")
    worse = [
        f"{cohort} ({', '.join(TITLES[m] for m in behind)})"
        for cohort, values in (found.cohorts | {f"{g} targets": v for g, v in found.groups.items()}).items()
        if (behind := [m for m, other, sign in BESIDE if _behind(values[m], values[other], sign)])
    ]
    return f"Behind the {name}: {'; '.join(worse)}." if worse else f"In none of these the model is behind the {name}."


def _behind(mine: float | None, theirs: float | None, sign: int) -> bool:
    return mine is not None and theirs is not None and sign * mine < sign * theirs


def _targets(found: Evaluation) -> str:
    ranked = sorted(
        ((name, v) for name, v in found.targets.items() if v["auroc"] is not None),
        key=lambda pair: -(pair[1]["auroc"] or 0),
    )
    shown = ranked if len(ranked) <= 2 * EXTREMES else [*ranked[:EXTREMES], *ranked[-EXTREMES:]]
    figures = ("auroc", "ap", "precision", "recall", "f1", "support")
    lines = [["easiest and hardest", "AUROC", "AP", "precision", "recall", "F1", "came true"]]
    lines += [[words(name), *(_number(v[figure]) for figure in figures)] for name, v in shown]
    return _markdown(lines)


def _inputs(sees: Mapping[str, Any]) -> list[str]:
    """Tell how much each number of the profile tells of the intents, and what components are made of."""
    if not sees:
        return []
    parts = [f"## Numbers of the profile\n\nThe model sees {inputs.sentence(sees)}."]
    if selection := sees.get(inputs.SELECTION):
        measured = selection["importance"]
        intents = list(next(iter(measured.values()))["by_intent"])
        lines = [["number", "stays", f"importance ({selection['join']})", *intents]]
        for name, told in measured.items():
            shares = [told["joined"], *told["by_intent"].values()]
            lines.append([name, "yes" if name in selection["kept"] else "no", *(f"{share:.4f}" for share in shares)])
        parts += [
            "Importance is the part of an intent's uncertainty that a number takes away, in the training weeks "
            f"{selection['weeks'][0]} to {selection['weeks'][1]}.",
            _markdown(lines),
        ]
    if reduction := sees.get(inputs.REDUCTION):
        lines = [["component", "share of variance", "made mostly of"]]
        for n, part in enumerate(reduction["components"], 1):
            made = ", ".join(f"{name} {weight:+.2f}" for name, weight in part["loadings"].items())
            lines.append([str(n), _share(part["share"]), made])
        parts.append(_markdown(lines))
    return parts


def _privacy(training: Mapping[str, Any]) -> list[str]:
    """Tell the budget, the noise, what they cost and what they do not cover; nothing of a model without privacy."""
    if not (spent := training.get("privacy")):
        return []
    steps = sum(spent["steps"].values())
    figures = spent["validate"]
    lines = [["validation rows", *PRIVATE_FIGURES]]
    names = {"private": "with privacy", "untrained": "untrained: the personal decayed rate",
             "without": "the same model without privacy"}  # fmt: skip
    for name, values in figures.items():
        lines.append([names[name], *(_number(values[figure]) for figure in PRIVATE_FIGURES)])
    return [
        "## Privacy",
        f"The weights are ({spent['epsilon']:.3g}, {spent['delta']:g}) differentially private; the unit is "
        f"{spent['unit']}. {steps} steps took each of {spent['users']} users with a probability of "
        f"{spent['rate']:.3g}, read at most {spent['rows']} rows of each, bounded gradients by {spent['clip']:g} and "
        f"added noise of {spent['sigma']:.3g} times that. Nothing stopped training early.",
        _markdown(lines),
        "Not covered: " + "; ".join(spent["not_covered"]) + ".",
    ]


def _limits(found: Evaluation, pace: Pace, ahead: str) -> str:
    step = pace.step
    prior = ", ".join(f"{name.replace('_', ' ')} {weeks:g}" for name, weeks in found.prior_weeks.items())
    return (
        f"Inputs are what was known at the start of the {step}: the user's decayed and lifetime rates, recency and "
        f"gaps by target, the last {pace.recent} {step}s, totals by windows of days, the segment, and the targets' "
        "shares of all users. "
        f"No declared attribute of a user is read. Baselines draw personal rates towards the training rate by {step}s "
        f"chosen on the validation {step}s ({prior}). Macro figures are means over targets, micro ones over all pairs; "
        f"F1 counts a probability from {found.curve.threshold:.3f} as yes, chosen on the validation {step}s. Rows are "
        "users with an earlier event; for others the model falls back to what it learned of users without a history. "
        f"Probabilities hold for {'one ' if ahead == step else ''}{ahead} ahead and drift with the seasons: "
        "retrain when monitoring says so."
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if float(value).is_integer() and value > 1 else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
