"""The ranker's model card: Markdown for people, made from what training and evaluation left. Computes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.ranking import source_report
from components.ranking.ensemble import MEMBERS, WEIGHT
from components.ranking.evaluate import BY_SCORE, CHOSEN, EXPLORE, Evaluation
from components.ranking.feature_names import FEATURES
from components.ranking.metrics import K
from components.ranking.models import BY_NAME, ENSEMBLE, NETWORK, TREES
from components.ranking.net import ScoringNet
from components.ranking.spec import FORBID
from components.resamples import MODEL
from feature_repo.clock import WEEK
from feature_repo.markdown import words

UNDEFINED = "no target"  # no row has one
METRICS = (f"ndcg_at_{K}", f"recall_at_{K}", f"phr_at_{K}", EXPLORE)
TITLES = {METRICS[0]: f"NDCG@{K}", METRICS[1]: f"Recall@{K}", METRICS[2]: f"PHR@{K}", EXPLORE: f"explore NDCG@{K}"}


def write(found: Evaluation, training: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Write the model card."""
    low, high = found.gain[CHOSEN]
    chosen, step = CHOSEN.replace("_", " "), config.get("calendar", {}).get("step", WEEK)
    parts = [
        "# Ranking model",
        f"Orders candidates ({', '.join(config['candidates'])}) for a user's next {step} by "
        + _made(training, config, step),
        f"## Test {step}s {', '.join(map(str, found.weeks))}: {found.test['rows']} user-{step}s",
        _table(found),
        f"Over {chosen} the model gains between {low:+.4f} and {high:+.4f} NDCG@{K} (95 %, bootstrap over users). "
        f"Candidates hold {found.test['candidate_recall']:.1%} of what users had.",
        *_chosen(found, config),
        *_diversity(found, config),
        *_sources(found),
        *_values(found),
        "## Cohorts",
        _cohorts(found),
        "## Definitions and limits",
        f"Target: every item of the vocabulary that the user had in the {step}{_new(config)}. NDCG's ideal is cut at "
        f"min(had, {K}); PHR is any hit in {K};{_weighed(training)} explore ranks and counts only items that the kept "
        f"history does not hold. Rows are user-{step}s in which the user had an item, so figures hold given a visit. "
        f"Items that were rare in training {step}s are never recommended.",
    ]
    return "\n\n".join(parts) + "\n"


def _made(training: Mapping[str, Any], config: Mapping[str, Any], step: str) -> str:
    """Say what orders them, and what it was made of."""
    if name := training.get("baseline"):
        return (
            f"a baseline, `{name}`, and nothing that was trained. It serves because no network had passed its gates "
            "and no champion was there."
        )
    algorithm = training.get("spec", {}).get("algorithm", NETWORK)
    if choose := training.get("spec", {}).get("choose"):
        among = ", ".join(f"`{name}`" for name in choose["among"])
        return f"one of {len(choose['among'])} algorithms ({among}), chosen by {' and '.join(choose['by'])}."
    if BY_NAME[algorithm].formula:
        return f"`{algorithm}`: {BY_NAME[algorithm].about}. Nothing else is trained, and it reads no features."
    if algorithm == ENSEMBLE:
        members = " and ".join(f"`{name}` (weight {one[WEIGHT]:g})" for name, one in training[MEMBERS].items())
        return (
            f"the mean of the scores of {members}, each in units of its own spread on the validation {step}s. The "
            f"trained ones see {len(config['features'])} user x item features, the intent model's probabilities among "
            f"them, of {training['rows']['train']} user-{step}s." + _left_out(config["features"])
        )
    if algorithm == TREES:
        return (
            f"{len(config['features'])} user x item features, the intent model's probabilities among them. Boosted "
            f"trees (`{TREES}`), trained listwise on {training['rows']['train']} user-{step}s; "
            f"{training['best_epoch'] + 1} of {len(training['epochs'])} trees were best on the validation {step}s."
            + _left_out(config["features"])
        )
    return (
        f"{len(config['features'])} user x item features, the intent model's probabilities among them. A network "
        f"(`{config.get('architecture', ScoringNet.architecture)}`) of width {config['width']}, trained listwise on "
        f"{training['rows']['train']} user-{step}s; epoch {training['best_epoch'] + 1} of {len(training['epochs'])} "
        f"was best on the validation {step}s." + _left_out(config["features"])
    )


def _chosen(found: Evaluation, config: Mapping[str, Any]) -> list[str]:
    """Say which ranker answers for whom, and what each would be worth for all."""
    if not found.choice:
        return []
    lines = [["algorithm", "answers for", f"NDCG@{K} for all", "the choice over it (95 %)"]]
    for name, share in found.choice["answers"].items():
        low, high = found.choice["gain"][name]
        alone = found.choice[f"ndcg_at_{K}"][name]
        lines.append([name, f"{share:.1%}", f"{alone:.4f}", f"{low:+.4f} to {high:+.4f}"])
    moved = [cell for cell in config["choice"]["cells"] if cell["gain"]]
    cells = [["intent", "cohort", "algorithm", "users", "gain", "at least"]]
    cells += [
        [cell["intent"] or "any", cell["cohort"] or "any", cell["algorithm"], f"{cell['users']}", f"{cell['gain']:.4f}",
         f"{cell['low']:.4f}"]
        for cell in moved
    ]  # fmt: skip
    table = [_markdown(cells)] if moved else []
    nothing = "" if moved else " Nobody is answered by another algorithm than the spec's: none was known to be better."
    return [
        "## Which algorithm answers for whom",
        _markdown(lines),
        f"The choice reaches {found.choice['chosen']:.4f}. It was learnt on validation steps that stopped no training; "
        f"gains are over what answers for more users.{nothing}",
        *table,
    ]


def _diversity(found: Evaluation, config: Mapping[str, Any]) -> list[str]:
    """Say what ordering the best anew costs and brings."""
    if not found.diversity:
        return []
    way = ", ".join(f"{name}: {value:g}" for name, value in config["diversity"].items())
    without, shown = found.diversity["without"], found.lists[MODEL]
    before = found.lists[BY_SCORE]
    lines = [["", "ordered anew", "by score"]]
    lines += [[TITLES[name], f"{found.test[name]:.4f}", f"{without[name]:.4f}"] for name in METRICS if name in without]
    lines += [[words(name), f"{value:.4f}", f"{before[name]:.4f}"] for name, value in shown.items()]
    low, high = found.diversity["intervals"][METRICS[0]]
    return [
        f"## Diversity ({way})",
        _markdown(lines),
        f"Ordering anew changes NDCG@{K} by {low:+.4f} to {high:+.4f} (95 %, bootstrap over users).",
    ]


def _weighed(training: Mapping[str, Any]) -> str:
    """Say what a hit gains where the spec weighs labels."""
    weight = training.get("spec", {}).get("weight")
    return f" a hit's gain in NDCG is the {weight['scale']} of its {weight['of']}, 0 to 1;" if weight else ""


def _new(config: Mapping[str, Any]) -> str:
    """Say what repeats are where the spec forbids them."""
    forbidden = " and never before; nothing that a user had is a candidate or in a baseline (`repeat: forbid`)"
    return forbidden if config.get("repeat") == FORBID else ""


def _left_out(features: Sequence[str]) -> str:
    """Say which features the model does without, since they told nothing in the training rows."""
    missing = [name for name in FEATURES if name not in features]
    return f" Left out, as constant or repeating another in the training rows: {', '.join(missing)}." if missing else ""


def _table(found: Evaluation) -> str:
    lines = [["", *TITLES.values()]]
    model = {m: f"**{found.test[m]:.4f}** [{found.intervals[m][0]:.4f}, {found.intervals[m][1]:.4f}]"
             for m in METRICS if m in found.test}  # fmt: skip
    lines.append([MODEL, *(model.get(m, UNDEFINED) for m in METRICS)])
    for name, values in found.baselines.items():
        lines.append([name.replace("_", " "), *(f"{values[m]:.4f}" if m in values else UNDEFINED for m in METRICS)])
    return _markdown(lines)


def _sources(found: Evaluation) -> list[str]:
    """Say what each candidate source finds by itself, what is shown of it, and which adds nothing."""
    if not found.sources:
        return []
    lines = [["source", "recall", "of new items", "found by it alone", "of places shown", "items", "ms"]]
    for name, one in found.sources.items():
        shares = (one["recall"], one["recall_new"], one["unique"], found.shown.get(name, {}).get("share", 0.0))
        lines.append(
            [name, *(f"{share:.2%}" for share in shares), f"{one['items_a_row']:.0f}", f"{one['ms_a_row']:.2f}"]
        )
    rows, idle = next(iter(found.sources.values()))["rows"], source_report.idle(found.sources)
    nothing = f" Nothing is found by {' or '.join(idle)} alone: switched off, it would not be missed." if idle else ""
    return [
        "## Candidate sources",
        _markdown(lines),
        f"Each source by itself, on {rows} of the rows. Recall is the share of what users had that it brings.{nothing}",
        "## Lists",
        _lengths(found),
        _contents(found),
    ]


def _values(found: Evaluation) -> list[str]:
    """Say what lists of values are worth beside simpler ones."""
    if not found.values:
        return []
    lines = [["values of", f"NDCG@{K}", "popular", "decayed frequency", f"recall@{K}", "gain over the better", "mix"]]
    for name, one in found.values.items():
        sides = [(label, METRICS[0]) for label in ("model", "popular", "decayed_frequency")] + [("model", METRICS[1])]
        *ndcg, recall = (f"{one[label][m]:.4f}" if m in one[label] else UNDEFINED for label, m in sides)
        gain = "{:+.4f} to {:+.4f}".format(*one["gain"]) if "gain" in one else UNDEFINED
        mix = f"{one['share_of_ranking']:.0%} ranker"
        lines.append([name, *ndcg, recall, gain, mix])
    return ["## Values of attributes", _markdown(lines)]


def _lengths(found: Evaluation) -> str:
    lines = [["length", *next(iter(found.at_k.values()))]]
    lines += [[f"{k}", *(f"{value:.4f}" for value in values.values())] for k, values in found.at_k.items()]
    return _markdown(lines)


def _contents(found: Evaluation) -> str:
    names = list(found.lists[MODEL])
    lines = [[f"first {K} places", *(name.replace("_", " ") for name in names)]]
    lines += [
        [name.replace("_", " "), *(f"{one[figure]:.4f}" if figure in one else "" for figure in names)]
        for name, one in found.lists.items()
    ]
    return _markdown(lines)


def _cohorts(found: Evaluation) -> str:
    lines = [["cohort", "rows", f"NDCG@{K}", CHOSEN.replace("_", " "), f"PHR@{K}"]]
    for name, values in found.cohorts.items():
        figures = (values[METRICS[0]], values[f"{CHOSEN}_{METRICS[0]}"], values[METRICS[2]])
        lines.append([words(name), str(int(values["rows"])), *(f"{value:.4f}" for value in figures)])
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
