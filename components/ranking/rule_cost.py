"""What rules cost on the test weeks: NDCG, recall and coverage of the lists before a change and after it.

Each user-week gets the list that the ranker and the rules give, over the same candidates; what a user bought is counted
as the evaluation counts it. Rules are judged as if they held all the time: their start and end lie in the future. The
weeks are those that the release was judged by; of a refit, which learnt from them, only the difference tells.

Letters: R rows, K positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from components.ranking import list_figures, lists, metrics
from components.ranking.examples import World
from components.ranking.list_figures import Made
from components.ranking.metrics import K
from components.ranking.rules import past
from components.ranking.rules.book import Asked, RuleBook
from components.ranking.rules.listing import listed
from components.ranking.rules.spec import MODEL
from components.ranking.score import Ranker
from components.ranking.scored import top
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

FILL = 500  # popular items behind the candidates of each row, as an answer has them where rules leave too few
ALWAYS = {"start": None, "end": None}
SHARE = columns.SHARES[1]
Report = Callable[[float], None]
Figures = dict[str, float | list[float]]


@dataclass(frozen=True)
class Cost:
    """Figures of the lists before a change, after it, and of the difference."""

    before: Figures
    after: Figures
    ndcg_change: list[float]  # mean, and its 95 % interval over users
    short: float  # share of lists after the change that have fewer than K items
    rows: int


def cost(
    ranker: Ranker,
    world: World,
    before: RuleBook,
    after: RuleBook,
    *,
    segments: Sequence[str],
    placement: str | None = None,
    report: Report = lambda done: None,
) -> Cost:
    """Compare the lists of every test row under two sets of rules."""
    if ranker.vocabulary.digest != world.vocabulary.digest:
        raise DataError("rules preview: the release and the last run know other items; run the pipeline again")
    ranker, weeks = replace(ranker, eligible=world.eligible), world.weeks("test")
    books = [_always(book) for book in (before, after)]
    found = placement and after.placements.get(placement)
    ranker = ranker.by(found.algorithm) if found and found.algorithm != MODEL else ranker
    examples = world.examples.of_weeks(weeks)
    examples = examples.take(np.argsort(examples.week, kind="stable"))
    made: list[list[np.ndarray]] = [[], []]
    shares: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    for done, week in enumerate(weeks):
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        share = np.append(at_week.catalogue.state[SHARE], 0.0)
        for chunk in lists.chunks(examples.of_weeks([week])):
            ranked = _ranked(at_week, chunk.rows, chunk.probabilities)
            rows = [_list(one, at_week, chunk.rows, row, books, segments, placement) for row, one in enumerate(ranked)]
            for side in (0, 1):
                made[side].append(np.asarray([pair[side] for pair in rows], dtype=np.int64))
            shares.append(np.stack([share[made[side][-1]] for side in (0, 1)]))
            wanted.append(at_week.catalogue.state[SHARE][chunk.bought.values])
        report((done + 1) / len(weeks))
    n_items, user_id = len(ranker.catalogue), examples.rows.user_id
    items = [np.concatenate(side) for side in made]
    judged = [metrics.per_row(side, examples.bought, n_items, worth=examples.worth) for side in items]
    lately, both = float(np.concatenate(wanted).mean()), np.concatenate(shares, axis=1)
    figures: list[Figures] = []
    for side in (0, 1):
        means = {name: round(value, 5) for name, value in judged[side].mean().items()}
        figures.append({**means, **list_figures.made_of(Made(items[side], both[side]), lately, n_items)})
    change = judged[1].ndcg - judged[0].ndcg
    ends = metrics.intervals({"change": change}, user_id, judged[0].counts)["change"]
    mean = float(change[judged[0].counts].mean())
    short = float((items[1] < 0).any(axis=1).mean())
    return Cost(
        figures[0], figures[1], [round(one, 5) for one in (mean, *ends)], round(short, 5), int(judged[0].counts.sum())
    )


def _always(book: RuleBook) -> RuleBook:
    rules = tuple(replace(one, rule=one.rule.model_copy(update=ALWAYS)) for one in book.rules)
    return replace(book, rules=rules)


def _ranked(ranker: Ranker, rows: UserRows, probabilities: np.ndarray) -> list[list[int]]:
    """Return each row's candidates, best first, and popular items behind them."""
    scored = ranker.rank(rows, probabilities)
    most = max(int(np.diff(scored.found.offsets).max(initial=0)), 1)
    best, item = top(scored, most), scored.found.item
    barred, popular = ranker.eligible.barred(ranker.read(rows)), ranker.catalogue.by_popularity[:FILL].tolist()
    found = []
    for row, positions in enumerate(best):
        mine, gone = item[positions[positions >= 0]].tolist(), {*barred.row(row).tolist()}
        found.append(list(dict.fromkeys([*mine, *(one for one in popular if one not in gone)])))
    assert len(found) == len(list(pairwise(scored.found.offsets)))
    return found


def _list(
    ranked: list[int],
    ranker: Ranker,
    rows: UserRows,
    row: int,
    books: Sequence[RuleBook],
    segments: Sequence[str],
    placement: str | None,
) -> list[list[int]]:
    """Return one row's list under each set of rules, -1 past the last."""
    number = int(rows.numbers[columns.SEGMENT][row]) if columns.SEGMENT in rows.numbers else -1
    segment = segments[number] if 0 <= number < len(segments) else None
    had, shown = past.of_row(rows, ranker.vocabulary.signs, row=row)
    asked = Asked(int(rows.now[row]), placement, segment, had, shown)
    found = []
    for book in books:
        items = listed(ranked, book.for_list(asked), asked, k=K).items
        found.append([*items, *[-1] * (K - len(items))])
    return found
