"""What an answer costs in process, by stage and by form of the models: `python -m benchmarks.door`.

Users of the last run are read, predicted (encoding included) and ranked one at a time, as the door does it: through
torch, as a release without served forms is (`torch`), and in numpy (`numpy`). Both take turns user by user in one run,
and every figure is a median of processor milliseconds, so that other work on the machine meets both alike. `same` says
how far the two are apart: the largest differences of probabilities and scores, and users whose first ten items differ
in order other than by ties. A row is read as a door reads it (`read_ms`), and in turns view by view (`views_ms`), as
releases do that know no blobs; `rows_apart` counts users of whom both are not the same to the bit. `log_ms` is what a
line of the request log takes. Rows that were materialised by a release without blobs have none: then both are views.
With `--stages` the door itself is asked, in process, and says what each stage of an answer takes (door_stages.py).
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from benchmarks import door_stages, script, subject
from benchmarks.script import Document
from benchmarks.serving import aside
from bentos import threads
from bentos.recommender.logs import requestlog
from bentos.release import INTENT, RANKING, Release
from components.intent.score import IntentScorer
from components.ranking.score import Ranker
from components.ranking.scored import Recommended
from feature_repo.errors import SpecError
from feature_repo.logs import packed_answer
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym, ring
from feature_repo.rows import UserRows

USERS, QUICK_USERS, ROUNDS, QUICK_ROUNDS, K, APART = 400, 24, 5, 2, 10, 1e-5
FORMS = ("torch", "numpy")
STAGES = ("predict", "rank")


@dataclass
class Form:
    """The models in one form, and the milliseconds of each stage so far."""

    scorer: IntentScorer
    ranker: Ranker
    spent: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in (*STAGES, "answer")})

    def answer(self, rows: UserRows) -> tuple[np.ndarray, list[Recommended]]:
        """Return the probabilities and items of one user, and note what each stage took of the processor."""
        start = time.process_time()
        probabilities = self.scorer.predict(rows)[0]
        predicted = time.process_time()
        items = self.ranker.recommend(rows, probabilities, k=K)
        ranked = time.process_time()
        for stage, seconds in zip(self.spent, (predicted - start, ranked - predicted, ranked - start), strict=True):
            self.spent[stage].append(1000 * seconds)
        return probabilities, items

    def medians(self) -> Document:
        """Return the median milliseconds by stage."""
        return {stage: round(float(np.median(values)), 3) for stage, values in self.spent.items()}


def measure(asked: argparse.Namespace) -> Document:
    """Answer all users in both forms, in turns."""
    users, rounds = (QUICK_USERS, QUICK_ROUNDS) if asked.quick else (asked.users, ROUNDS)
    with subject.subject(asked) as found, tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        os.environ |= aside(dict(found.variables), Path(scratch)) | {"OMP_NUM_THREADS": "1"}
        release = Release.load(found.release)
        forms = {name: _form(release, name) for name in FORMS}
        threads.limit(1)
        profiles = _profiles(release, forms["numpy"].ranker)
        spent: dict[str, list[float]] = {"read": [], "views": [], "log": []}
        rows, apart = _rows(profiles, found, release, most=users, spent=spent)
        same = {"users": len(rows), "probability": 0.0, "score": 0.0, "other_order": 0}
        for number in range(1 + rounds):
            for row in rows:
                answers = {name: form.answer(row) for name, form in forms.items()}
                if number == 0:
                    _compare(answers, same)
            if number == 0:  # the first round warms up
                forms = {name: Form(form.scorer, form.ranker) for name, form in forms.items()}
        for row in rows:
            _log(release, row, forms["numpy"].answer(row), spent["log"])
        asked_of = found.users()[:users] if asked.stages else []
        stages = {"stages_us": door_stages.measure(found, asked_of)} if asked_of else {}
    medians = {name: form.medians() for name, form in forms.items()}
    ratio = round(medians["torch"]["answer"] / medians["numpy"]["answer"], 2)
    return {
        "recommender": found.name,
        "architecture": forms["torch"].scorer.shape.architecture,
        **{f"{name}_ms": round(float(np.median(values)), 3) for name, values in spent.items()},
        "rows_apart": apart,
        "ms": medians,
        "torch_over_numpy": ratio,
        "same": same,
    } | stages


def _form(release: Release, name: str) -> Form:
    """Read the models of a release, as they were trained or as they are served."""
    if name == "torch":
        return Form(IntentScorer.load(release.folder / INTENT), Ranker.load(release.folder / RANKING))
    return Form(IntentScorer.served(release.folder / INTENT), Ranker.served(release.folder / RANKING))


def _profiles(release: Release, ranker: Ranker) -> OnlineProfiles:
    from bentos.recommender.service import folding

    return OnlineProfiles.open(release.name, folding(release, ranker.vocabulary))


def _rows(
    profiles: OnlineProfiles, found: subject.Subject, release: Release, *, most: int, spent: dict[str, list[float]]
) -> tuple[list[UserRows], int]:
    """Read the rows of users who have one, each by itself and in both ways; note what that takes, and count others."""
    key, users, rows, apart = ring(found.variables)[0], found.users(), [], 0
    views = dataclasses.replace(profiles, blobs=False)
    for place in np.random.default_rng(0).permutation(len(users)):
        both = []
        for name, reader in (("read", profiles), ("views", views)):
            start = time.process_time()
            both.append(reader.read([pseudonym(users[place], key)], now=release.data_end))
            spent[name].append(1000 * (time.process_time() - start))
        if both[0].known[0]:
            rows.append(both[0])
            apart += _bits(both[0]) != _bits(both[1])
        if len(rows) == most:
            break
    if not rows:
        raise SpecError("no user of the source is in the online store; `intentflow demo` brings them there")
    return rows, apart


def _bits(rows: UserRows) -> list[bytes]:
    """Return all that a row holds, as bytes."""
    lists = [part for ragged in rows.lists.values() for part in (ragged.values, ragged.offsets)]
    return [values.tobytes() for values in (rows.state_at, rows.known, *rows.numbers.values(), *lists)]


def _log(release: Release, rows: UserRows, answered: tuple[np.ndarray, list[Recommended]], spent: list[float]) -> None:
    """Make the line of an answer in the request log, and note what it takes."""
    probabilities, ranked = answered
    items = [{"position": place, "item_id": str(one.item_index), "score": one.score, "source": one.source,
              "propensity": 1.0} for place, one in enumerate(ranked, 1)]  # fmt: skip
    start = time.process_time()
    line = requestlog.LoggedAnswer(
        "0" * 32, "recommend", release.id, release.policy, "fresh", rows, probabilities, 1.0, items=items
    )
    told, bodies = requestlog.packed_line(line)
    to_json(told | {packed_answer.PACKED: {key: packed_answer.text_of(body) for key, body in bodies.items()}})
    spent.append(1000 * (time.process_time() - start))


def _compare(answers: Mapping[str, tuple[np.ndarray, list[Recommended]]], same: dict[str, Any]) -> None:
    """Note how far the two forms' answers of a user are apart."""
    (chances, items), (others, served) = (answers[name] for name in FORMS)
    scores, found = ([item.score for item in listed] for listed in (items, served))
    same["probability"] = max(same["probability"], float(np.abs(chances - others).max(initial=0.0)))
    same["score"] = max(same["score"], float(np.abs(np.subtract(scores, found)).max(initial=0.0)))
    pairs = enumerate(zip(items, served, strict=True))
    swapped = [place for place, (one, two) in pairs if one.item_index != two.item_index]
    same["other_order"] += any(not _tied(scores, place) for place in swapped)


def _tied(scores: Sequence[float], place: int) -> bool:
    """Tell whether an item scores as the one before or after it does; the last may have its like beyond the cut."""
    if place == len(scores) - 1:
        return True
    return min(abs(scores[place] - scores[near]) for near in (place - 1, place + 1) if near >= 0) <= APART


def text(document: Document) -> str:
    """Return the figures as a table."""
    asked_stages = "stages_us" in document
    lines = [[name, *document["ms"][name].values()] for name in FORMS]
    same = document["same"]
    return "\n".join(
        [
            f"{document['recommender']}, {document['architecture']}: processor milliseconds an answer, medians",
            script.table(["form", *STAGES, "answer"], lines),
            f"Reading the row takes {document['read_ms']} ms more, view by view {document['views_ms']} (rows that "
            f"differ: {document['rows_apart']}), the line of the log {document['log_ms']}.",
            f"torch over numpy: {document['torch_over_numpy']}. "
            f"Of {same['users']} users the probabilities differ by {same['probability']:.1g} at most, scores by "
            f"{same['score']:.1g}, the order of {same['other_order']}.",
            *([script.table(["stage", "µs an answer"], list(document["stages_us"].items()))] if asked_stages else []),
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = script.parser(__doc__, trained=True)
    parser.add_argument("--users", type=int, default=USERS, help=f"users who are asked about ({USERS})")
    parser.add_argument("--stages", action="store_true", help="what each stage of the door's own answer takes, too")
    script.main(parser, measure, text)


if __name__ == "__main__":
    main()
