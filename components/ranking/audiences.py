"""The users most likely to want an item, or one of several: the batch's candidates turned around, as probabilities.

What the ranker says of a candidate is its share of a softmax. `fit` turns shares into the probability that a user who
comes wants the item, by isotonic regression (Zadrozny and Elkan, 2002) over all candidates of the validation weeks: the
labels there are those of users who came. Times the intent model's probability of coming in the step, where the spec has
such an intent, it is that of wanting the item at all; without one it is given that the user comes, and says so.

A user for whom no source brings an item is in no audience of it. Users go by pseudonyms.

Letters: B rows, M candidates over all rows, N knots of the curve.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ranking import batch
from components.ranking.baseline_net import BaselineNet
from components.ranking.sources import NAMES
from components.ranking.value_lists import ranked, shares
from feature_repo import columns, env_names, files
from feature_repo.errors import DataError, SpecError, nearest
from feature_repo.fallback import RUNG
from feature_repo.online.forgotten import names_of
from feature_repo.privacy.pseudonyms import ring
from feature_repo.privacy.tombstones import names_here
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.ranking.examples import World
    from components.ranking.score import Ranker

FILE = "audience.json"  # of a ranker's folder: the curve
TABLE, ABOUT = "audiences.parquet", "audiences.json"
BINS = 400  # of shares, as many candidates each: what the regression is fitted on
GROUPS = 10  # of candidates by probability, as many each, that the evaluation compares with what came true
SCHEMA = pa.schema(
    {
        "audience": pa.string(),
        "rank": pa.int32(),  # 1 is the likeliest
        columns.USER_ID: pa.string(),
        "probability": pa.float64(),
        "source": pa.string(),  # that brought the likeliest item
        RUNG: pa.string(),
        columns.RELEASE: pa.string(),
    }
)


@dataclass(frozen=True)
class Curve:
    """From a candidate's share of the softmax to the probability that a user who comes wants it."""

    share: tuple[float, ...]  # [N] rising
    probability: tuple[float, ...]  # [N] never falling
    visit: str  # the intent whose probability is that of coming; '': the spec has none
    rows: int  # user-weeks that it was fitted on

    def of(self, share: np.ndarray) -> np.ndarray:
        """Return probabilities, linear between knots and constant beyond the ends.

        >>> Curve((0.1, 0.3), (0.2, 0.4), "", 1).of(np.array([0.0, 0.2, 0.9])).round(3).tolist()
        [0.2, 0.3, 0.4]
        """
        return np.asarray(np.interp(share, self.share, self.probability))


def fit(ranker: "Ranker", world: "World", weeks: Sequence[int]) -> Curve:
    """Fit the curve on the candidates of the weeks' rows."""
    from sklearn.isotonic import IsotonicRegression

    share, hit, rows = _candidates(ranker, world, weeks)
    if not hit.any():
        raise DataError(
            "models.ranking.audiences: no candidate of the validation weeks was wanted, so no probability can be "
            "learnt; leave audiences out, or raise models.ranking.candidates"
        )
    order = np.argsort(share, kind="stable")
    cells = [cell for cell in np.array_split(order, min(BINS, len(order))) if len(cell)]
    at = np.asarray([share[cell].mean() for cell in cells])
    rate, weight = np.asarray([hit[cell].mean() for cell in cells]), np.asarray([len(cell) for cell in cells])
    rising = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(at, rate, sample_weight=weight)
    knot = np.concatenate([[True], np.diff(at) > 0])
    return Curve(tuple(at[knot].tolist()), tuple(rising[knot].tolist()), _visit(world), rows)


def _candidates(ranker: "Ranker", world: "World", weeks: Sequence[int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the share of each candidate of the weeks' rows [M], whether it was wanted [M], and how many rows."""
    part, hits, rows = [], [], 0
    for at_week, chunk, scored in ranked(ranker, world, weeks):
        n_items, found = len(at_week.catalogue), scored.found
        wanted = chunk.bought.row_of_value() * n_items + chunk.bought.values
        part.append(shares(scored, formula=isinstance(at_week.net, BaselineNet)))
        hits.append(np.isin(found.row * n_items + found.item, wanted))
        rows += len(chunk)
    return np.concatenate(part), np.concatenate(hits).astype(np.float64), rows


def _visit(world: "World") -> str:
    """Name the intent that says whether a user comes in the steps that labels look ahead; '' where there is none."""
    ahead = world.split.get(columns.LABELS_AHEAD, [1])[0]
    found = [one for one in world.vocabulary.targets if one.column is None and one.horizon == ahead]
    return min(found, key=lambda one: one.event is None).name if found else ""


def report(
    ranker: "Ranker", curve: Curve, world: "World", *, part: str = "test"
) -> dict[str, float | list[list[float]]]:
    """Compare probabilities with what came true on test weeks, of users who came.

    `expected_calibration_error` is the mean distance of both over groups of candidates by probability; `groups` lists
    each group's mean probability and share that was wanted.
    """
    share, hit, rows = _candidates(replace(ranker, eligible=world.eligible), world, world.weeks(part))
    said = curve.of(share)
    cells = [cell for cell in np.array_split(np.argsort(said, kind="stable"), GROUPS) if len(cell)]
    groups = [[round(float(said[cell].mean()), 6), round(float(hit[cell].mean()), 6)] for cell in cells]
    sizes = np.asarray([len(cell) for cell in cells])
    apart = np.asarray([abs(one - other) for one, other in groups])
    return {
        "rows": float(rows),
        "mean_probability": round(float(said.mean()), 6),
        "mean_wanted": round(float(hit.mean()), 6),
        "expected_calibration_error": round(float((apart * sizes).sum() / sizes.sum()), 6),
        "groups": groups,
    }


def save(curve: Curve, folder: Path) -> None:
    """Write the curve into a ranker's folder."""
    files.write_json(folder / FILE, asdict(curve))


def load(folder: Path) -> Curve | None:
    """Read what `save` wrote; None where the ranker was trained without."""
    if not (folder / FILE).is_file():
        return None
    found = files.read_json(folder / FILE)
    return Curve(tuple(found["share"]), tuple(found["probability"]), found["visit"], int(found["rows"]))


def write(
    rows: Path,
    intents: Path,
    release: Path,
    destination: Path,
    *,
    wanted: Mapping[str, Sequence[str]],
    most: int,
    environment: Mapping[str, str],
    at: Callable[[float], None] = lambda share: None,
) -> dict[str, int]:
    """Write audiences.parquet and audiences.json into a folder: at most so many users of each audience; return counts.

    `wanted` names the items of each audience; of several a user wants one or more, each independently of the others.
    """
    from components.ranking.score import Ranker

    released = ReleaseFolder.read(release)
    curve = load(released.ranking)
    if curve is None:
        raise DataError(
            f"release {released.id}: was trained without audiences; set models.ranking.audiences: true and train again"
        )
    ranker, version, _ = batch.live_ranker(Ranker.served(released.ranking), released, environment)
    ranker = replace(ranker, eligible=batch.eligible_of(released, ranker.vocabulary.item_ids, environment))
    gone = _forgotten(environment)
    items = {name: _places(ranker, name, ids) for name, ids in wanted.items()}
    found: dict[str, list[tuple[float, str, str, str]]] = {name: [] for name in items}
    source, users, unmodelled = pq.ParquetFile(rows / batch.ROWS), 0, 0
    for table, chances in batch.groups(source, pq.ParquetFile(intents / batch.INTENTS)):
        keep = np.flatnonzero([rung in columns.MODELLED for rung in table[RUNG].to_pylist()])
        users, unmodelled = users + table.num_rows, unmodelled + table.num_rows - len(keep)
        if len(keep):
            mine = table.take(pa.array(keep))
            for name, line in _of_group(mine, chances[keep], ranker, curve, items):
                if not gone(line[1]):
                    found[name].append(line)
        at(users / source.metadata.num_rows)
    best = {name: sorted(lines, key=lambda line: (-line[0], line[1]))[:most] for name, lines in found.items()}
    lines = [
        dict(zip(SCHEMA.names, (name, place, user, chance, by, rung, released.id), strict=True))
        for name, ones in best.items()
        for place, (chance, user, by, rung) in enumerate(ones, 1)
    ]
    pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), destination / TABLE, compression="zstd")
    told = {
        name: {"items": list(wanted[name]), "users": len(best[name]), "reached": len(found[name])} for name in items
    }
    about = {"release": released.id, "catalogue_version": version, "of": told, "given_visit": not curve.visit}
    files.write_json(destination / ABOUT, about | {"visit": curve.visit, "users": users, "unmodelled": unmodelled})
    return {"audiences": len(items), "users": users, "unmodelled": unmodelled, "listed": len(lines)}


def _of_group(
    table: pa.Table, chances: np.ndarray, ranker: "Ranker", curve: Curve, items: Mapping[str, np.ndarray]
) -> list[tuple[str, tuple[float, str, str, str]]]:
    """Return for each audience the users of a group whom a source brings one of its items."""
    rows = UserRows.from_arrow(table.drop([batch.GROUP, RUNG]))
    names, rungs = table[columns.USER_ID].to_pylist(), table[RUNG].to_pylist()
    scored = ranker.rank(rows, chances)
    likely = curve.of(shares(scored, formula=isinstance(ranker.net, BaselineNet)))
    comes = chances[:, ranker.vocabulary.target_names.index(curve.visit)] if curve.visit else np.ones(len(rows))
    answers = []
    for name, places in items.items():
        mine = np.flatnonzero(np.isin(scored.found.item, places))
        for row in np.unique(scored.found.row[mine]):
            here = mine[scored.found.row[mine] == row]
            chance = float(comes[row] * (1 - np.prod(1 - likely[here])))
            by = NAMES[scored.found.source[here[np.argmax(likely[here])]]]
            answers.append((name, (chance, names[row], by, rungs[row])))
    return answers


def _forgotten(environment: Mapping[str, str]) -> Callable[[str], bool]:
    """Return what tells of a pseudonym whether its user was forgotten since the rows were made."""
    names = names_here(environment.get(env_names.HOME, ""), environment.get(env_names.FORGOTTEN, ""))
    keys = ring(environment) if names else ()
    return lambda user: bool(names) and not names.isdisjoint(names_of(user, keys))


def _places(ranker: "Ranker", name: str, ids: Sequence[str]) -> np.ndarray:
    """Return the positions of an audience's items; refuse one that is none, or that nobody may be shown."""
    words: Vocabulary = ranker.vocabulary
    found = []
    for item in ids:
        place = words.index_of_item.get(item)
        if place is None:
            near = nearest(item, words.item_ids)
            raise SpecError(f"jobs.audiences.of.{name}: {json.dumps(item)} is no item of the release{near}")
        if ranker.catalogue.hidden is not None and ranker.catalogue.hidden[place]:
            raise SpecError(f"jobs.audiences.of.{name}: {json.dumps(item)} is withdrawn; leave it out, or restore it")
        found.append(place)
    return np.asarray(found, dtype=np.int64)


def of_spec(spec: Any, ranker: "Ranker", world: "World", weeks: Sequence[int]) -> Curve | None:
    """Fit the curve where the spec asks for audiences."""
    return fit(ranker, world, weeks) if spec.audiences else None
