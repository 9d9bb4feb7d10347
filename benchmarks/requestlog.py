"""What does an answer of the request log take on disk, beside its plain JSON? `python -m benchmarks.requestlog`.

Users' own rows of the last run's online store are answered and logged: every user once, and users that ask again within
the life of a segment (`--again` times each). Figures are bytes an answer: as a line of decimals, as the open segment
holds it, and as parquet once the segment is closed; `ratio` is to the line of decimals of the same answers.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic_core import to_json

from benchmarks import script, subject
from benchmarks.script import Document
from benchmarks.serving import aside
from bentos.recommender.logs import requestlog
from bentos.recommender.logs.requestlog import LoggedAnswer, RequestLog
from bentos.release import INTENT, RANKING, Release
from feature_repo.errors import SpecError
from feature_repo.logs import request_log
from feature_repo.privacy.pseudonyms import pseudonym, ring
from feature_repo.rows import UserRows

USERS, AGAIN, K = 400, 4, 10


def measure(asked: argparse.Namespace) -> Document:
    """Answer and log, and count bytes."""
    with subject.subject(asked) as found, tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        os.environ |= aside(dict(found.variables), Path(scratch)) | {"OMP_NUM_THREADS": "1"}
        answers = _answers(
            Release.load(found.release), found, most=min(asked.users, 24) if asked.quick else asked.users
        )
        again = [answers[place] for _ in range(asked.again) for place in range(len(answers))]
        document = {"recommender": found.name, "users": len(answers)}
        once = _logged(Path(scratch) / "once", answers)
        return document | {"each_once": once, f"each_{asked.again}_times": _logged(Path(scratch) / "again", again)}


def _answers(release: Release, found: subject.Subject, *, most: int) -> list[LoggedAnswer]:
    """Return an answer for each of some users, as the door makes it."""
    from bentos.recommender.service import folding
    from components.intent.score import IntentScorer
    from components.ranking.score import Ranker
    from feature_repo.online.profiles import OnlineProfiles

    scorer, ranker = IntentScorer.load(release.folder / INTENT), Ranker.load(release.folder / RANKING)
    profiles = OnlineProfiles.open(release.name, folding(release, ranker.vocabulary))
    key, now = ring(found.variables)[0], release.data_end
    users = found.users()
    answers: list[LoggedAnswer] = []
    for place in np.random.default_rng(0).permutation(len(users)):
        rows = profiles.read([pseudonym(users[place], key)], now=now)
        if rows.known[0]:
            answers.append(_answer(release, ranker, rows, scorer.predict(rows)[0], len(answers)))
        if len(answers) == most:
            break
    if not answers:
        raise SpecError("no user of the source is in the online store; `intentflow demo` brings them there")
    return answers


def _answer(release: Release, ranker: object, rows: UserRows, probabilities: np.ndarray, number: int) -> LoggedAnswer:
    shown = ranker.recommend(rows, probabilities, k=K)  # type: ignore[attr-defined]
    items = [
        {"position": n, "item_id": ranker.vocabulary.item_ids[one.item_index], "score": one.score,  # type: ignore[attr-defined]
         "source": one.source, "propensity": 1.0}
        for n, one in enumerate(shown, 1)
    ]  # fmt: skip
    asked = {"k": K, "context": {}, "exclude": [], "at": None}
    return LoggedAnswer(f"{number:032x}", "recommend", release.id, release.policy, "fresh", rows, probabilities, 12.345,
                        asked=asked, items=items)  # fmt: skip


def _logged(folder: Path, answers: Sequence[LoggedAnswer]) -> Document:
    """Log answers, close the segment, and check that readers get what was logged."""
    plain = sum(len(to_json(requestlog.line_of(answer))) + 1 for answer in answers)
    log = RequestLog(folder)
    for answer in answers:
        log.append(answer)
    log.close()
    packed = sum(path.stat().st_size for path in request_log.log_files(folder))
    for path in request_log.log_files(folder):
        with contextlib.suppress(FileNotFoundError):
            request_log.compact(path)
    closed = sum(path.stat().st_size for path in request_log.log_files(folder))
    same = all(
        np.array_equal(line["probabilities"], answer.probabilities) and line["lists"] == _lists(answer)
        for line, answer in zip(requestlog.read(folder), answers, strict=True)
    )
    count = len(answers)
    sizes = {"json": plain / count, "open": packed / count, "closed": closed / count}
    return {
        "bytes_an_answer": {name: round(size) for name, size in sizes.items()},
        "ratio": {name: round(size / sizes["json"], 3) for name, size in sizes.items() if name != "json"},
        "same": same,
    }


def _lists(answer: LoggedAnswer) -> dict[str, list[float]]:
    return {name: ragged.row(0).tolist() for name, ragged in answer.rows.lists.items()}


def text(document: Document) -> str:
    """Return the document as a person reads it."""
    lines = [f"Bytes an answer of {document['recommender']}, {document['users']} users, {K} items"]
    for name, found in document.items():
        if name.startswith("each_"):
            sizes, ratio = found["bytes_an_answer"], found["ratio"]
            shown = [f"{kind} {sizes[kind]:>6,} ({ratio[kind]:.0%})" for kind in ratio]
            same = "same" if found["same"] else "DIFFERS"
            lines.append(f"  {name.replace('_', ' '):<14} JSON {sizes['json']:>6,}   {'   '.join(shown)}   {same}")
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = script.parser(__doc__, trained=True)
    parser.add_argument("--users", type=int, default=USERS, help="that are answered")
    parser.add_argument("--again", type=int, default=AGAIN, help="times that each asks within a segment's life")
    script.main(parser, measure, text)


if __name__ == "__main__":
    main()
