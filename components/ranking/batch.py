"""Recommendations for all users at once, by the very ranker that serves: groups of rows and intents in, lists out.

The last step of batch scoring. Candidates of a group of users are scored together; a user with fewer candidates than
`k` is asked about alone, so that popular items follow as at the door. A user on a lower rung of the ladder gets what
the segment had. Items are as the document log has them when the step begins, so that nothing withdrawn is in a list
and later items may be. Nothing here reads the clock, or a row of the store.

Letters: B rows, C targets.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.policy import policies
from components.ranking import eligibility
from components.ranking.batch_rules import BatchRules
from components.ranking.eligibility import Eligibility
from components.ranking.sources import NAMES
from components.ranking.spec import FORBID, Ranking
from feature_repo import columns, env_names
from feature_repo.documents.changes import RULE, Newest
from feature_repo.documents.log import Snapshot
from feature_repo.errors import DataError
from feature_repo.fallback import RUNG, Fallback
from feature_repo.ids import is_erased
from feature_repo.live_items import of_log
from feature_repo.memory import decode
from feature_repo.online.forgotten import names_of
from feature_repo.privacy.pseudonyms import matching, ring
from feature_repo.privacy.tombstones import names_here
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import UserRows

if TYPE_CHECKING:
    from components.ranking.score import Ranker

ROWS, INTENTS = "rows.parquet", "intents.parquet"
FILE = "recommendations.parquet"
PROBABILITIES, GROUP = "probabilities", "group"
SCHEMA = pa.schema(
    {
        columns.USER_ID: pa.string(),
        "rank": pa.int32(),  # 1 is the best
        columns.ITEM_ID: pa.string(),
        "score": pa.float32(),  # compares within one user's list only
        "source": pa.string(),
        "propensity": pa.float64(),
        RUNG: pa.string(),
        columns.RELEASE: pa.string(),
        columns.CATALOGUE_VERSION: pa.int64(),  # of the document log; null: it was not read
    }
)
SPOKE = pa.field(columns.ALGORITHM, pa.string())
log = logging.getLogger(__name__)
Listed = tuple[int, float, str]  # item, score, source
Shown = tuple[int, float, str, float]  # and the propensity


def write(
    rows: Path,
    intents: Path,
    release: Path,
    destination: Path,
    *,
    k: int,
    at: Callable[[float], None],
    environment: Mapping[str, str],
) -> dict[str, int]:
    """Write recommendations.parquet, `k` items for each user or the release's own number; return counts.

    Items are those of the document log in the online store that the environment names, as of one version. Of the
    environment the keys of pseudonyms are read too, where items are users.
    """
    from components.ranking.score import Ranker

    released = ReleaseFolder.read(release)
    ranker, fallback = Ranker.served(released.ranking), Fallback.load(released.ranking)
    ranker, version, documents = live_ranker(ranker, released, environment)
    ranker = replace(ranker, eligible=eligible_of(released, ranker.vocabulary.item_ids, environment))
    rules = BatchRules.of(released, documents, ranker, fallback)
    policies.named(released.policy)  # lists are greedy whatever it is: no door shows and logs them
    wanted = k or int(released.slices["serving"]["k"])
    event = Ranking.model_validate(released.slices["ranking"]).event
    source = pq.ParquetFile(rows / ROWS)
    users = listed = 0
    with pq.ParquetWriter(destination / FILE, _schema(ranker), compression="zstd") as writer:
        for table, probabilities in groups(source, pq.ParquetFile(intents / INTENTS)):
            best = recommended(table, probabilities, ranker, fallback, k=wanted, event=event)
            answers = [[(*one, 1.0) for one in answer[:wanted]] for answer in best]
            if rules is not None:
                answers = _by_rules(table, probabilities, rules, answers, k=wanted, event=event)
            found = _table(table, answers, ranker.vocabulary.item_ids, released.id, version)
            if (algorithms := spoke(table, probabilities, ranker)) is not None:
                listing = [name for name, answer in zip(algorithms, answers, strict=True) for _ in answer]
                found = found.append_column(SPOKE, pa.array(listing, pa.string()))
            writer.write_table(found, row_group_size=max(found.num_rows, 1))
            users, listed = users + table.num_rows, listed + found.num_rows
            at(users / source.metadata.num_rows)
    return {"users": users, "items": listed, "k": wanted} | ({} if version is None else {"catalogue_version": version})


def _by_rules(
    table: pa.Table,
    probabilities: np.ndarray,
    rules: BatchRules,
    answers: Sequence[list[Shown]],
    *,
    k: int,
    event: str | None,
) -> list[list[Shown]]:
    """Return the lists of a group with those in which rules hold made by these."""
    rungs, group = table[RUNG].to_pylist(), table[GROUP].to_pylist()
    acted_on = _acted_on(table, rules.ranker, event)
    rows, found = UserRows.from_arrow(table.drop([GROUP, RUNG])), []
    for row, answer in enumerate(answers):
        mine, modelled = rows.take(np.asarray([row])), rungs[row] in columns.MODELLED
        ruled = rules.listed(mine, probabilities[row], group[row], modelled=modelled, k=k, exclude=acted_on[row])
        found.append(answer if ruled is None else ruled)
    return found


def _schema(ranker: "Ranker") -> pa.Schema:
    """Return the file's columns; a ranker that chooses among several says which one spoke."""
    return SCHEMA.append(SPOKE) if len(ranker.nets) > 1 else SCHEMA


def live_ranker(
    ranker: "Ranker", released: ReleaseFolder, environment: Mapping[str, str]
) -> tuple["Ranker", int | None, Mapping[str, Newest]]:
    """Return the ranker over the items as the document log has them now, its version, and what it says of rules.

    StoreAway where it is away.

    None: there is no log, since the environment names no online store, or one of a kind that keeps none.
    """
    if not environment.get(env_names.FEAST):
        log.warning("%s is not set: batch answers may hold withdrawn items, and no later ones", env_names.FEAST)
        return ranker, None, {}
    from components.ranking import open_catalogue
    from feature_repo.documents.opened import document_log_if_any

    documents = document_log_if_any(released.name)
    if documents is None:
        return ranker, None, {}
    held = documents.refreshed(Snapshot())
    items = of_log(ranker.vocabulary, held, under=released.key)
    return open_catalogue.over(ranker, items), held.head.version, held.of(RULE)


def eligible_of(released: ReleaseFolder, item_ids: Sequence[str], environment: Mapping[str, str]) -> Eligibility:
    """Return what the release's users may be shown; the rows' key is the release's own."""
    spec = Ranking.model_validate(released.slices["ranking"])
    hashed = spec.exclude_self and not spec.people
    key = matching(ring(environment), released.key, what=f"release {released.id}") if hashed else None
    eligible = eligibility.of(spec, item_ids, key=key)
    if not spec.people:
        return eligible
    # A release that was trained before somebody was forgotten still has them among its items.
    names = names_here(environment.get(env_names.HOME, ""), environment.get(env_names.FORGOTTEN, ""))
    keys = ring(environment) if names else ()
    gone = [
        place
        for place, item in enumerate(item_ids)
        if is_erased(item) or (names and not names.isdisjoint(names_of(item, keys)))
    ]
    return replace(eligible, gone=frozenset(gone))


def recommended(
    table: pa.Table,
    probabilities: np.ndarray,
    ranker: "Ranker",
    fallback: Fallback,
    *,
    k: int,
    event: str | None = None,
) -> list[list[Listed]]:
    """Return the best k items of each row of a group, given intents [B, C].

    `event` is the kind that the spec ranks by, where it declares none: whom of later people one did that with is not
    shown again.
    """
    rungs, group = table[RUNG].to_pylist(), table[GROUP].to_pylist()
    acted_on = _acted_on(table, ranker, event)
    rows = UserRows.from_arrow(table.drop([GROUP, RUNG]))
    answers: list[list[Listed]] = [[] for _ in rungs]
    modelled = [row for row, rung in enumerate(rungs) if rung in columns.MODELLED]
    if modelled:
        mine = rows.take(np.asarray(modelled))
        barred_of = [acted_on[row] for row in modelled]
        found_of = _modelled(mine, probabilities[modelled], ranker, k=k, exclude=barred_of)
        for row, answer in zip(modelled, found_of, strict=True):
            answers[row] = answer
    barred, hidden = ranker.eligible.barred(ranker.read(rows)), ranker.catalogue.hidden
    gone = () if hidden is None else np.flatnonzero(hidden).tolist()
    for row in set(range(len(rungs))) - set(modelled):
        exclude = frozenset([*barred.row(row).tolist(), *gone, *acted_on[row]])
        found = fallback.recommend(group[row], n_items=len(ranker.catalogue), k=k, exclude=exclude)
        answers[row] = [(one.item_index, one.score, one.source) for one in found]
    return answers


def _acted_on(table: pa.Table, ranker: "Ranker", event: str | None) -> list[frozenset[int]]:
    """Return of each row who came after training and may not be shown, as the door does (recommender/ladder.py).

    Rows do not hold them, the users' memories do; where rows have none, nobody who came later is shown.
    """
    if not ranker.later or not ranker.eligible.bars:
        return [frozenset()] * table.num_rows
    users = table[columns.USER_ID].to_pylist()
    memories = table[columns.MEMORY].to_pylist() if columns.MEMORY in table.column_names else [None] * len(users)
    forbid, signs = ranker.eligible.repeat == FORBID, ranker.eligible.signs
    return [
        ranker.later.barred(str(user), None if one is None else decode(one), signs=signs, forbid=forbid, event=event)
        for user, one in zip(users, memories, strict=True)
    ]


def spoke(table: pa.Table, probabilities: np.ndarray, ranker: "Ranker") -> list[str | None] | None:
    """Say which algorithm answered for each row of a group, None where no model did; None where the ranker is one."""
    rows, rungs = UserRows.from_arrow(table.drop([GROUP, RUNG])), table[RUNG].to_pylist()
    names = ranker.chosen_of(rows, probabilities)
    if names is None:
        return None
    return [name if rung in columns.MODELLED else None for name, rung in zip(names, rungs, strict=True)]


def _modelled(
    rows: UserRows, probabilities: np.ndarray, ranker: "Ranker", *, k: int, exclude: Sequence[frozenset[int]]
) -> Iterator[list[Listed]]:
    try:
        scored = ranker.rank(rows, probabilities)
    except ArithmeticError as no_number:
        raise DataError(
            f"{ROWS}: {no_number} in the group that begins with user {rows.user_id[0]}: its profiles or the model are "
            "spoilt; build the profiles again, or roll back"
        ) from None
    allowed = None
    if any(exclude):
        named = zip(scored.found.row.tolist(), scored.found.item.tolist(), strict=True)
        allowed = np.asarray([item not in exclude[row] for row, item in named], dtype=bool)  # [M]
    best_of = ranker.best(scored, ranker.read(rows), k, allowed=allowed)
    for row, best in enumerate(best_of):  # [B, k] positions, -1 where there are fewer
        if best[-1] < 0:
            alone = ranker.recommend(rows.take(np.asarray([row])), probabilities[row], k=k, exclude=exclude[row])
            yield [(one.item_index, one.score, one.source) for one in alone]
        else:
            found = scored.found
            yield [(int(found.item[m]), float(scored.scores[m]), NAMES[found.source[m]]) for m in best]


def groups(rows: pq.ParquetFile, intents: pq.ParquetFile) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Yield groups of rows with their intents [B, C]; both files list the same users in the same groups."""
    for group in range(rows.num_row_groups):
        table, found = rows.read_row_group(group), intents.read_row_group(group)
        if table[columns.USER_ID] != found[columns.USER_ID]:
            raise DataError(f"{INTENTS}: group {group} has other users than {ROWS}; predict the intents again")
        flat = found[PROBABILITIES].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield table, np.asarray(flat, dtype=np.float32).reshape(table.num_rows, -1)


def _table(
    table: pa.Table,
    answers: Sequence[Sequence[Shown]],
    item_ids: Sequence[str],
    release_id: str,
    version: int | None,
) -> pa.Table:
    users, rungs = table[columns.USER_ID].to_pylist(), table[RUNG].to_pylist()
    lines: list[dict[str, Any]] = [
        {
            columns.USER_ID: users[row],
            "rank": place,
            columns.ITEM_ID: item_ids[item],
            "score": score,
            "source": source,
            "propensity": propensity,
            RUNG: rungs[row],
            columns.RELEASE: release_id,
            columns.CATALOGUE_VERSION: version,
        }
        for row, answer in enumerate(answers)
        for place, (item, score, source, propensity) in enumerate(answer, start=1)
    ]
    return pa.Table.from_pylist(lines, schema=SCHEMA)
