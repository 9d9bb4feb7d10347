"""A baseline champion: which baselines serve where a first candidate was held back and nobody else could.

A part whose gates passed keeps its model; a part that was held back is replaced by the best of the baselines that its
evaluation compared with, by the metric that held it back. Pure: a verdict and figures in, names out. steps.py registers
what the parts' own steps made of the names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.registry.gate_metrics import FORECAST, lower_is_better
from components.registry.lineage import PARTS, SESSION, Part
from feature_repo.release_folder import BASELINE, BASELINES, KIND

INSTEAD_OF = "instead_of"  # the id of the release that was held back
WORDS = "words"  # the gate of prompts (gates.py)
UNJUDGED = "unjudged"  # stands where other versions have a verdict's word
WHY = "a baseline, since no champion was there"
SAID = "baseline: no gate judged it; it serves because no champion was there"
COMPARED: dict[Part, str] = {"intent": "intent.map", "ranking": "ranking.ndcg_at_10"}  # where no gate names a quality

# Of the metrics that serve both parts, how the names of each part's own begin behind the dot.
OWN: dict[Part, tuple[str, ...]] = {
    "intent": ("predict_", "probability_", "map_"),
    "ranking": ("recommend_", "score_", "ndcg_"),
}


@dataclass(frozen=True)
class BaselineChampion:
    """What stands where an ordinary release has a verdict."""

    instead_of: str
    baselines: Mapping[str, str] = field(default_factory=dict)  # by part
    without_sessions: bool = False  # the session model was held back, and nothing stands in its place
    without_forecasts: bool = False  # likewise, of the forecasts
    without_words: bool = False  # the language model's prompts were held back; fixed sentences stand in their place
    word = UNJUDGED
    passed = False  # nothing judged it

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, laid out as a verdict is."""
        return {"passed": self.passed, "verdict": self.word, "gates": [], "said": SAID}

    def tolerance(self) -> dict[str, Any]:
        """Return the uses of tolerances: none."""
        return {}

    def kind(self) -> dict[str, Any]:
        """Return what release.json says of it."""
        return {KIND: BASELINE, INSTEAD_OF: self.instead_of, BASELINES: dict(self.baselines)}

    def page(self, title: str) -> str:
        """Say in Markdown what serves and instead of what."""
        kept = f"the model of release {self.instead_of}, whose own gates passed"
        parts = {part: f"`{self.baselines[part]}`, a baseline" if part in self.baselines else kept for part in PARTS}
        lines = [
            f"# {title}",
            "",
            f"{SAID[0].upper()}{SAID[1:]}.",
            "",
            *(f"- {p}: {said}" for p, said in parts.items()),
        ]
        if self.without_sessions:
            lines.append("- session: none, since it was held back; answers say nothing of the visit that goes on")
        if self.without_forecasts:
            lines.append("- forecasts: none, since they were held back; answers hold no amounts and no next values")
        if self.without_words:
            lines.append("- words: fixed sentences, since the language model's prompts were held back")
        return "\n".join([*lines, "", "A candidate that passes its gates replaces it in the ordinary way.", ""])


def held_back(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the outcomes that hold a release back, of its verdict's document."""
    return [gate for gate in verdict.get("gates", []) if not gate["passed"]]


def baselines(verdict: Mapping[str, Any], metrics: Mapping[Part, Mapping[str, Any]]) -> dict[Part, str]:
    """Name the baseline that replaces each part that was held back; `metrics` are the parts' metrics.json.

    >>> gate = {"metric": "intent.map", "passed": False}
    >>> figures = {"baselines": {"global_rate": {"map": 0.1}, "decayed_rate": {"map": 0.2}}}
    >>> baselines({"gates": [gate]}, {"intent": figures, "ranking": {}})
    {'intent': 'decayed_rate'}
    """
    found: dict[Part, str] = {}
    for part in PARTS:
        held = [str(gate["metric"]) for gate in held_back(verdict) if part in parts_of(str(gate["metric"]))]
        if held:
            found[part] = _best(part, [*held, COMPARED[part]], metrics[part].get("baselines", {}))
    return found


def holds_sessions_back(verdict: Mapping[str, Any]) -> bool:
    """Tell whether a gate holds the model of intents within a visit back.

    >>> holds_sessions_back({"gates": [{"metric": "session.auroc", "passed": False}]})
    True
    """
    return any(str(gate["metric"]).startswith(f"{SESSION}.") for gate in held_back(verdict))


def holds_forecasts_back(verdict: Mapping[str, Any]) -> bool:
    """Tell whether a gate holds the forecasts back.

    >>> holds_forecasts_back({"gates": [{"metric": "forecast.rmse:spend", "passed": False}]})
    True
    """
    return any(str(gate["metric"]).startswith(f"{FORECAST}.") for gate in held_back(verdict))


def holds_words_back(verdict: Mapping[str, Any]) -> bool:
    """Tell whether the prompts were held back with their model.

    >>> holds_words_back({"gates": [{"metric": "words", "passed": False}]})
    True
    """
    return any(str(gate["metric"]) == WORDS for gate in held_back(verdict))


OF_MODEL = ("content", "prompts", "title_prompts", "rerank_prompts")  # slices that the language model is in


def without_model(slices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a release's slices without the language model: its fixed sentences are the baseline of words.

    >>> without_model({"content": {"prompt": "template@3", "model": {}}, "prompts": {}, "serving": {}})
    {'content': {'prompt': 'template@3'}, 'serving': {}}
    """
    content = {name: value for name, value in slices.get("content", {}).items() if name != "model"}
    rest = {name: value for name, value in slices.items() if name not in OF_MODEL}
    return {"content": content} | rest


def parts_of(metric: str) -> tuple[Part, ...]:
    """Name the parts of a release that a metric is measured on; both share a process, so memory is of both.

    The session model, the forecasts and words are no parts: no such baseline serves in their place.

    >>> parts_of("ranking.ndcg_at_10"), parts_of("latency.predict_ms_p50"), parts_of("memory.rss_mib")
    (('ranking',), ('intent',), ('intent', 'ranking'))
    """
    group, _, name = metric.partition(".")
    if group in (SESSION, FORECAST, WORDS):
        return ()
    found = tuple(part for part in PARTS if group == part or (group not in PARTS and name.startswith(OWN[part])))
    return found or PARTS


def _best(part: Part, metrics: Sequence[str], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the baseline that is best by the first of the metrics that baselines have."""
    for metric in metrics:
        of, _, name = metric.partition(".")
        known = {one: values[name] for one, values in figures.items() if values.get(name) is not None}
        if of == part and known:
            return (min if lower_is_better(metric) else max)(known, key=lambda one: known[one])
    raise ValueError(f"{part}: the evaluation compared with no baseline")
