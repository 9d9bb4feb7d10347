"""How a run ended, in sentences: one page for Kubeflow's UI and, as plain text, for the terminal.

The first line says it in a word, so that a refusal is seen without opening a step. Nothing is said of what the run did
not ask. Pure: the run's state in, Markdown out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.verdicts import UNDECIDED
from monitoring import drift_verdicts
from monitoring.drift_verdicts import DRIFTED
from monitoring.runs import search_text
from monitoring.runs.run_state import RunState

SAME_AGAIN = "start the run again: steps that ended are not repeated"
PART = {"intent": "intent model", "ranking": "ranker"}
NEXT = {  # what to do about a failed step, by its exit code
    2: "Correct the data or the spec as the reason says, then start the run again.",
    3: "Look at the step's page, which lists what was refused; correct the data or the rule, then start the run again.",
    1: f"Read the log of the step. If a server was away, {SAME_AGAIN}.",
}


@dataclass(frozen=True)
class Links:
    """Addresses that a browser reaches; '' where the environment names none, and the text then has no link."""

    mlflow: str = ""
    evidently: str = ""

    def version(self, name: str, version: str) -> str:
        """Name a release's version."""
        path = f"/#/models/{name}-release/versions/{version}"
        return _linked(f"version {version} of {name}-release", self.mlflow and self.mlflow.rstrip("/") + path)

    def report(self, kept: Mapping[str, Any]) -> str:
        """Name a drift report; asked only where its address is known."""
        path = f"/projects/{kept.get('project')}/reports/{kept.get('run')}"
        return f"[Evidently's report]({self.evidently.rstrip('/')}{path})"


@dataclass(frozen=True)
class Page:
    """The page, and the run's outcome in a word or two."""

    word: str
    markdown: str


def page(name: str, pipeline: str, run: RunState, links: Links) -> Page:
    """Return the page of a run."""
    if run.state == "failed":
        found = _failed(run)
    elif run.state == "stopped":
        found = _stopped(run)
    elif run.state == "unknown":
        found = _unknown()
    elif run.state == "under way":
        found = "under way", [f"Done so far: {', '.join(run.facts)}. This page is written again when more has ended."]
    elif pipeline == "batch":
        found = _scored(name, run, links)
    elif pipeline == "policy":
        found = _learnt(name, run, links)
    elif run.of("register"):
        found = _trained(name, run, links)
    else:
        found = _not_trained(run, links)
    word, sentences = found
    note = run.of("admit").get("note")
    said = [*sentences, *([f"Note of this run: {note}"] if note else [])]
    return Page(word, "\n\n".join([f"# {name}: {word}", *said]) + "\n")


def _failed(run: RunState) -> tuple[str, list[str]]:
    what = "refused the data" if run.code == 3 else "failed"
    return f"failed at {run.step}", [f"The step `{run.step}` {what}: {run.why}", NEXT.get(run.code, NEXT[1])]


def _stopped(run: RunState) -> tuple[str, list[str]]:
    said = (
        f"The step `{run.step}` began and was ended from outside, before it could say why: too little memory or time?"
    )
    return f"stopped at {run.step}", [
        said,
        f"Its pod's last state says more. Give it more in `compute`, then {SAME_AGAIN}.",
    ]


def _unknown() -> tuple[str, list[str]]:
    return "steps say nothing here", [
        "The steps of this run share no folder (`kubeflow.claim`) and MLflow has no record of them, so how it ended is "
        "not known here.",
        "A red step above failed, and its log says why; the registry has the release and its gates.",
    ]


def _scored(name: str, run: RunState, links: Links) -> tuple[str, list[str]]:
    chosen, counts = run.of("champion"), run.of("recommend")
    release = links.version(name, str(chosen.get("version", "")))
    if not counts:
        return "scored before", [f"Nothing has changed since the last run with {release}: its results stand."]
    k = f" of up to {counts['k']} items" if "k" in counts else ""
    return f"scored {counts['users']:,} users", [
        f"{counts['users']:,} users have intents and recommendations{k} from {release} (`{chosen.get('which')}`).",
        "The files are the artifacts `intents` and `recommendations` of `scores`.",
    ]


def _learnt(name: str, run: RunState, links: Links) -> tuple[str, list[str]]:
    learnt, made, promoted = run.of("learn_policy"), run.of("register_policy"), run.of("promote")
    if not learnt and not made:
        return "learnt before", ["Nothing has changed since the last run: its verdict stands."]
    word, why = str(learnt.get("verdict", "passed")), learnt.get("why")
    said = [f"The policy is {word}: {why}."] if why else []
    if not made:
        rest = "It was a dry run: nothing was registered." if learnt.get("passed") else "What serves stays as it is."
        return f"policy {word}", [*said, rest, "The page `policy_report` of `learn_policy` has every estimate."]
    version, champion = str(made.get("version", "")), str(promoted.get("champion", ""))
    serves = champion == version
    note = str(promoted.get("note") or "")
    how = "is the champion" if serves else f"waits: {note or f'`intentflow promote --version {version}` lets it serve'}"
    page = "The page `policy_report` of `learn_policy` has every estimate."
    return f"policy {word}, version {version} {'serves' if serves else 'waits'}", [
        *said,
        f"The models that serve and this policy are {links.version(name, version)}, which {how}.",
        page,
    ]


def _not_trained(run: RunState, links: Links) -> tuple[str, list[str]]:
    drift, decided = run.of("watch"), run.of("decide_retraining")
    if decided.get("action") not in (None, "nothing"):
        said = f"Nothing was trained ({decided['action']}): {decided.get('why')}."
        after = "What serves stays as it is. The next run decides anew."
        return f"nothing trained: {decided['action']}", [said, *_drift_page(drift, links), after]
    if drift_verdicts.read(drift.get("verdict")) == UNDECIDED:
        said = f"Nothing was trained, because the data cannot tell whether it drifted: {drift.get('reason')}."
    else:
        said = f"Nothing was trained, because no drift asks for it: {drift.get('reason')}."
    return "nothing trained", [said, *_drift_page(drift, links), "What serves stays as it is. Nothing is to be done."]


def _trained(name: str, run: RunState, links: Links) -> tuple[str, list[str]]:
    facts, promoted, refit = run.of("register"), run.of("promote"), run.of("register_refit")
    stands_in = run.of("register_baseline")
    release = refit.get("release") or facts.get("release")
    version = str(release["version"]) if release else ""
    champion = str(promoted.get("champion", facts.get("champion", "")))
    word = _word(facts, version, champion) + _stands_in(stands_in, champion)
    result = f"The result is {links.version(name, version)}." if release else "Nothing was registered: a dry run."
    return word, [
        " ".join([result, *_data(facts)]),
        *([" ".join(_compared(facts))] if facts.get("compared") else []),
        *search_text.sentences(run.of("search_intent").get("search", {})),
        *([" ".join(_forecasts(facts))] if facts.get("forecasts") else []),
        *([f"{facts['compression']}."] if facts.get("compression") else []),
        *_gates(facts),
        *_weighed(run.of("weigh")),
        *_refitted(name, refit, links),
        *(
            [_baseline(name, champion, stands_in, links), *_next(version, facts, promoted)]
            if stands_in
            else _serves(name, version, champion, facts, promoted, links)
        ),
        *_drift(run.of("watch"), links),
    ]


def _word(facts: Mapping[str, Any], version: str, champion: str) -> str:
    if not version:
        return f"dry run, gates {facts.get('verdict') or ('passed' if facts['passed'] else 'refused')}"
    if not facts["passed"]:
        undecided = facts.get("verdict") == UNDECIDED
        return f"version {version} {'undecided by' if undecided else 'refused by'} its gates"
    return f"version {version} passed and serves" if champion == version else f"version {version} passed and waits"


def _stands_in(facts: Mapping[str, Any], champion: str) -> str:
    """Say in a word that a baseline serves, or may."""
    if not facts:
        return ""
    return f"; the baseline, version {facts['version']}, {'serves' if champion == facts['version'] else 'waits'}"


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    data = facts.get("data", {})
    rows = data.get("rows") or {}
    if rows.get("events"):
        span = f" from {str(data['first'])[:10]} to {str(data['last'])[:10]}" if data.get("first") else ""
        users = f" of {rows['users']:,} users" if rows.get("users") else ""
        yield f"It was trained and judged on {rows['events']:,} events{users}{span} ({data.get('weeks')} weeks)."


def _compared(facts: Mapping[str, Any]) -> Iterator[str]:
    for part, one in facts["compared"].items():
        who = "The intent model" if part == "intent" else "The ranker"
        gain, interval = one["value"] - one["other"], one.get("interval")
        theirs = f"the baseline `{one['baseline']}` {one['other']:.4f}"
        than = f"{who} has {one['metric']} {one['value']:.4f} on the test weeks, {theirs}"
        if interval is None:
            yield f"{than}: {gain:+.4f}."
            continue
        between = f"95 % interval {interval[0]:+.4f} to {interval[1]:+.4f}"
        if interval[0] > 0:
            yield f"{than}: better by {gain:.4f} ({between})."
        elif interval[1] < 0:
            yield f"{than}: worse by {-gain:.4f} ({between})."
        else:
            yield f"{than}: which is better is undecided, {gain:+.4f} ({between})."


def _forecasts(facts: Mapping[str, Any]) -> Iterator[str]:
    """Say of each forecast how far its loss is below its best baseline's."""
    for one in facts.get("forecasts", ()):
        gain, interval = one["value"] - one["other"], one.get("interval")
        said = (
            f"The forecast `{one['name']}` has {one['metric']} {one['value']:.4g} on the test weeks, the baseline "
            f"`{one['baseline']}` {one['other']:.4g}"
        )
        if interval is None:
            yield f"{said}: {gain:+.4g}."
            continue
        between = f"95 % interval {interval[0]:+.4g} to {interval[1]:+.4g}"
        if interval[1] < 0:
            yield f"{said}: better by {-gain:.4g} ({between})."
        elif interval[0] > 0:
            yield f"{said}: worse by {gain:.4g} ({between})."
        else:
            yield f"{said}: which is better is undecided, {gain:+.4g} ({between})."


def _gates(facts: Mapping[str, Any]) -> Iterator[str]:
    said = [
        (f"{len(reasons)} of {facts['gates']} gates {words}:", reasons)
        for key, words in (("refused", "refused"), ("undecided", "could not tell"))
        if (reasons := facts.get(key, []))
    ]
    if not said:
        yield f"Every gate passed ({facts['gates']})."
    if skipped := facts.get("skipped", []):
        said.append(("Not judged, and no reason to hold the release back:", skipped))
    for head, reasons in said:
        yield "\n".join([head, "", *(f"- {reason}" for reason in reasons)])


def _weighed(facts: Mapping[str, Any]) -> Iterator[str]:
    """Say what a retrained candidate is against the champion on the same rows."""
    if result := facts.get("result"):
        words = {
            "gain": "The champion was judged on the same rows, and the candidate is better",
            "no_gain": "The champion was judged on the same rows, and the candidate is not clearly better",
            "unknown": "Whether the candidate is better than the champion is not known",
        }
        said = words.get(str(result), "The gates refused the candidate")
        kept = "" if facts.get("promotes") else "; it is not promoted"
        yield f"{said}: {facts.get('why')}{kept}."


def _refitted(name: str, refit: Mapping[str, Any], links: Links) -> Iterator[str]:
    """Say that what serves is a refit, and what was judged."""
    if judged := refit.get("judged"):
        first, last = judged["weeks"]["intent"]
        yield (
            f"The figures and gates are of {links.version(name, str(judged['version']))}, its judged twin. It was "
            f"refitted on all complete weeks, {first} to {last}, under the same spec, code and seed."
        )


def _serves(
    name: str, version: str, champion: str, facts: Mapping[str, Any], promoted: Mapping[str, Any], links: Links
) -> Iterator[str]:
    """Say who serves now, and what to do next."""
    if version and champion == version and not facts["passed"]:
        yield "It is the champion all the same, since earlier gates passed it: `intentflow rollback` takes it back."
        return
    if version and champion == version:
        now = "It is the champion now" if promoted.get("moved") else "It was the champion already"
        yield f"{now}, and serves as soon as the rollout follows: `intentflow status`."
        return
    yield f"The champion stays {links.version(name, champion)}." if champion else "No release is the champion yet."
    yield from _next(version, facts, promoted)


def _next(version: str, facts: Mapping[str, Any], promoted: Mapping[str, Any]) -> Iterator[str]:
    """Say what to do about a release that does not serve."""
    if facts.get("verdict") == UNDECIDED:
        yield (
            "Undecided is not passed: the data cannot tell. Next: more test weeks (`data.split.test_weeks`) or users, "
            "or the gates that the reasons above name, and train again."
        )
    elif not facts["passed"]:
        yield "Next: change data, models or gates as the reasons above say, and train again; or leave it at that."
    elif version:
        yield f"{promoted.get('note', '')}. Next: `intentflow promote --version {version}`.".removeprefix(". ")
    else:
        yield "Next: the same run with `mode` auto or manual registers it."


def _baseline(name: str, champion: str, facts: Mapping[str, Any], links: Links) -> str:
    """Say which baselines serve in place of what was held back."""
    version, baselines = str(facts["version"]), facts["baselines"]
    made = [f"`{baseline}` in the {PART[part]}'s place" for part, baseline in baselines.items()]
    made += [f"the {words}, whose own gates passed" for part, words in PART.items() if part not in baselines]
    what = f"{links.version(name, version)}, with {' and '.join(made)}. No gate judged it."
    if champion == version:
        return f"No champion was there, so a baseline serves: {what} A candidate that passes its gates replaces it."
    return f"No champion is there, so a baseline may serve: {what} `intentflow promote --version {version}` lets it."


def _drift(drift: Mapping[str, Any], links: Links) -> Iterator[str]:
    if drift:
        word = drift_verdicts.read(drift.get("verdict"))
        how = "have drifted" if word == DRIFTED else f"are judged `{word}`"
        yield " ".join(
            [f"The latest weeks {how} against the training weeks: {drift.get('reason')}.", *_drift_page(drift, links)]
        )


def _drift_page(drift: Mapping[str, Any], links: Links) -> Iterator[str]:
    if drift.get("verdict") == drift_verdicts.NO_DATA or drift.get("compared") == 0:
        return
    kept = drift.get("workspace")
    yield f"{links.report(kept) if kept and links.evidently else 'The page `drift_page` of `watch`'} shows each column."


def _linked(text: str, address: str) -> str:
    return f"[{text}]({address})" if address else text


def plain(markdown: str) -> str:
    r"""Return a page as a terminal shows it.

    >>> plain("# shop: failed\n\nSee [version 3](http://m/3) of `shop`.\n")
    'shop: failed\n\nSee version 3 (http://m/3) of shop.'
    """
    text = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (\2)", markdown)
    return re.sub(r"^#+ ", "", text, flags=re.MULTILINE).replace("`", "").strip()
