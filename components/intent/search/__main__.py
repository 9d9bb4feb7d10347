"""Run one trial from a command line: what a Katib Experiment starts as a TrainJob, with the settings that it proposes.

`python -m components.intent.search --intents JSON --model JSON --ranking-weeks 4 --rows FOLDER --set dropout=0.2`
trains as a trial of the step `search_intent` does, and prints `validate_bce=…`, the loss on the rows that a search
alone reads, after each epoch and at last: Katib's collector reads these lines, its early stopping compares them.
"""

import argparse
from typing import Any

from pydantic import TypeAdapter

from components.distributed import entry
from components.intent import examples, search_space
from components.intent.search.result import METRIC
from components.intent.search.steps import resolved
from components.intent.search.study import DIGITS, Asked, UnfitError
from components.intent.search_space import Range, Search
from components.intent.spec import Intent, IntentModel, read_by
from components.step import step
from feature_repo.errors import SpecError

_INTENTS = TypeAdapter(list[Intent])


def main() -> None:
    """Train once."""
    parser = argparse.ArgumentParser(prog="components.intent.search", description="Run one trial of a search.")
    parser.add_argument("--intents", required=True, help="the spec's slice `intents`, as JSON")
    parser.add_argument("--model", required=True, help="the spec's slice `models.intent` with its search, as JSON")
    parser.add_argument("--ranking-weeks", type=int, required=True, help="weeks that are scored out of time")
    parser.add_argument("--rows", required=True, help="folder that the step training_set wrote")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="setting of this trial")
    given = parser.parse_args()
    entry.run(lambda: run(given.intents, given.model, weeks=given.ranking_weeks, rows=given.rows, settings=given.set))


def run(intents: str, model: str, *, weeks: int, rows: str, settings: list[str]) -> None:
    """Train with the settings that are said, and print the loss on the search's rows."""
    from pathlib import Path

    from components.intent.search.trial import judged

    with step("search_trial", followed=False) as progress:
        spec = IntentModel.model_validate_json(model)
        if spec.search is None:
            raise SpecError("--model: has no search; give the slice models.intent of a spec that has one")
        chosen = parsed(settings, spec.search, architecture=spec.architecture)
        try:
            asked = resolved(Asked(spec, spec.search, spec.seed), chosen)
        except UnfitError as error:
            raise SpecError(f"--set: these settings do not go together: {error}") from None
        found = examples.load(Path(rows), _INTENTS.validate_json(intents))
        found = (examples.with_titles(found, Path(rows)) if asked.titles else found).without_test()
        made = judged(found, asked, ranking_weeks=weeks, watch=lambda stage, epoch, loss: _say(loss, asked))
        progress.count(**{METRIC: made.loss}, epochs=made.epochs)
    print(f"{METRIC}={made.loss:.6f}", flush=True)  # Katib's collector reads it


def _say(loss: float, spec: IntentModel) -> None:
    if not spec.loss.distorts:  # else it compares with no other's before it is calibrated
        print(f"{METRIC}={loss:.6f}", flush=True)


def parsed(settings: list[str], search: Search, *, architecture: str) -> dict[str, Any]:
    """Return settings by field, of texts as Katib puts them in; those that the architecture does not read are left out.

    >>> space = Search.model_validate({"space": {"width": {"low": 16, "high": 64}, "architecture": ["lstm", "cnn"]}})
    >>> parsed(["width=24.0", "architecture=cnn"], space, architecture="lstm")
    {'width': 24, 'architecture': 'cnn'}
    """
    said = dict(one.partition("=")[::2] for one in settings)
    if odd := [name for name in said if name not in search.space]:
        raise SpecError(f"--set: the search has no field '{odd[0]}'; have {', '.join(search.space)}")
    found = {name: _value(name, text, search) for name, text in said.items()}
    reads = found.get("architecture", architecture)
    return {name: value for name, value in found.items() if read_by(reads, name)}


def _value(name: str, text: str, search: Search) -> Any:
    given = search.space[name]
    if not isinstance(given, Range):
        found = {search_space.text(one): one for one in given}
        if text not in found:
            raise SpecError(f"--set {name}={text}: is none of {', '.join(found)}")
        return found[text]
    try:
        number = float(text)
    except ValueError:
        raise SpecError(f"--set {name}={text}: is no number") from None
    if search_space.step_of(search_space.fields(IntentModel)[name]):
        return round(number)
    return min(max(float(f"{number:.{DIGITS}g}"), given.low), given.high)


if __name__ == "__main__":
    main()
