"""The profile steps: feature tables and vocabularies, then training rows, then the online store."""

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import conditions, twins
from components.profiles import profile_folder, vocabulary_rule
from components.profiles.build import plan, training_rows
from components.profiles.build.feature_files import PROFILE
from components.profiles.online import materialise, scoring_rows
from components.profiles.spec import HISTORIES, Profiles, Selection
from components.profiles.training import feature_selection, label_strengths, training_set, twin_rows
from components.step import step
from feature_repo import columns, edges, env_names, files
from feature_repo.calendar import Calendar
from feature_repo.clock import WEEK, Pace
from feature_repo.dropped_features import FILE as FEATURES
from feature_repo.dropped_features import REDUCE
from feature_repo.errors import DataError
from feature_repo.fallback import CARDS, FILE
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary

HORIZON = "horizon"  # of a split's slice: steps that the longest label looks ahead


def weeks_of(snapshot: dict[str, Any], split: dict[str, int]) -> plan.Weeks:
    """Lay out warm-up | train | validate | test over the snapshot's steps, purged.

    A label looks ahead `horizon` steps. Each part ends so many before the next one's first cutoff, and the test part so
    many before the data's end, so that no label that one part learns from or stops by is of time that the next is
    judged on.

    >>> weeks_of({"weeks": 10}, {"warmup_weeks": 4, "validate_weeks": 1, "test_weeks": 2})
    Weeks(train=(5, 6, 7), validate=(8,), test=(9, 10), last=11, horizon=1)
    >>> weeks_of({"weeks": 20}, {"warmup_weeks": 4, "validate_weeks": 1, "test_weeks": 2, "horizon": 4})
    Weeks(train=(5, 6, 7, 8), validate=(12,), test=(16, 17), last=21, horizon=4)
    """
    last, test, validate, horizon = (
        snapshot["weeks"],
        split["test_weeks"],
        split["validate_weeks"],
        split.get(HORIZON, 1),
    )
    first_test = last - horizon - test + 2
    first_validate = first_test - horizon - validate + 1
    train = tuple(range(split["warmup_weeks"] + 1, first_validate - horizon + 1))
    if not train:
        need = split["warmup_weeks"] + validate + test + 1 + 3 * (horizon - 1)
        words = Calendar(**snapshot["calendar"]).pace if "calendar" in snapshot else Pace()
        ahead = "" if horizon == 1 else f", of which labels of {words.counted(horizon)} take {3 * (horizon - 1)}"
        raise DataError(
            f"data.split: the data has {words.counted(last)}, the split needs at least {need}{ahead}; lower warmup_"
            f"{'weeks' if words.step == WEEK else 'steps'}" + ("" if horizon == 1 else " or the intents' horizons")
        )
    return plan.Weeks(
        train=train,
        validate=tuple(range(first_validate, first_validate + validate)),
        test=tuple(range(first_test, first_test + test)),
        last=last + 1,
        horizon=horizon,
    )


def run_profiles(
    profiles_json: str,
    split_json: str,
    vocabulary_json: str,
    *,
    clean: Path,
    destination: Path,
    fitted: Path | None = None,
    training: bool = True,
) -> None:
    """Write the `profiles` folder from the `clean` folder.

    `fitted` is another profiles folder whose vocabulary and segments are taken as they are, instead of fitting. Then
    rows of the newest cutoff are enough to serve: `training` False leaves those of the training cutoffs out.
    """
    spec, wanted = Profiles.model_validate_json(profiles_json), json.loads(vocabulary_json)
    snapshot = files.read_json(clean / "snapshot.json")
    assert training or fitted is not None, "vocabulary and segments are fitted on training rows"
    with step("profiles") as progress, files.written_folder(destination) as folder:
        summary = profile_folder.build_folder(
            folder,
            clean,
            spec,
            profile_folder.Wanted.of(wanted),
            snapshot,
            weeks_of(snapshot, json.loads(split_json)),
            fitted=fitted,
            training=training,
            at=progress.at,
        )
        progress.count(rows_in=snapshot["rows"]["events"], rows_out=_rows(folder / PROFILE))
        progress.count(**{k: summary[k] for k in ("targets", "items", "users")})
        if training:
            progress.count(**_training_rows(folder))


def _training_rows(folder: Path) -> dict[str, Any]:
    """Say how many rows the training weeks could have and have, as counts and as a sentence."""
    found = training_rows.TrainingRows(**files.read_json(folder / training_rows.FILE))
    return {"possible_rows": found.possible, "training_rows": found.kept} | (
        {} if found.silent_one_in == 1 else {"training": str(found)}
    )


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def run_training_set(split_json: str, ranking_json: str, *, clean: Path, profiles: Path, destination: Path) -> None:
    """Write the `rows` folder: point-in-time rows with labels for intent and ranking."""
    ranking, snapshot = json.loads(ranking_json), files.read_json(clean / "snapshot.json")
    weeks = weeks_of(snapshot, json.loads(split_json))
    with step("training_set") as progress, files.written_folder(destination) as folder:
        counts = write_training_set(folder, ranking, weeks, snapshot, clean=clean, profiles=profiles)
        rows = counts["intent_rows"] + counts["ranking_rows"]
        progress.count(rows_in=_rows(profiles / PROFILE), rows_out=rows, **counts)


def write_training_set(
    folder: Path,
    ranking: dict[str, Any],
    weeks: plan.Weeks,
    snapshot: dict[str, Any],
    *,
    clean: Path,
    profiles: Path,
    judged: pa.Table | None = None,
) -> dict[str, int]:
    """Fill a `rows` folder; `judged` are another's (user_id, week) of the ranker's rows in the test weeks."""
    summary = files.read_json(profiles / "profiles.json")
    weeks = dataclasses.replace(weeks, last=summary["next"])
    ranking_weeks = (
        *weeks.train[-ranking["train_weeks"] :],
        *weeks.validate,
        *weeks.test[:: ranking["test_every_weeks"]],
    )
    judging_weeks, ranking_weeks = ranking_weeks, (*ranking_weeks, *_for_refit(ranking, snapshot, weeks, ranking_weeks))
    users = pq.read_table(clean / "users.parquet", columns=[columns.USER_ID])
    ahead = ranking.get(columns.LABELS_AHEAD, 1)
    counts = training_set.write(
        profiles,
        users,
        folder,
        weeks=weeks,
        ranking_weeks=ranking_weeks,
        windows_days=tuple(summary["windows_days"]),
        weighed=_weighed(ranking.get("weight"), clean, profiles, summary),
        ranked=None
        if judged is None
        else training_set.judged_pairs(profiles, judged, weeks.test, ahead=ahead, ranking_weeks=ranking_weeks),
        ahead=ahead,
        histories=bool(ranking.get(HISTORIES)),
    )
    label_weeks = (*weeks.train, *weeks.validate, *weeks.test, weeks.last)
    state_weeks = (*ranking_weeks, weeks.last)
    pq.write_table(
        training_set.state_table(profiles / "target_state.parquet", label_weeks), folder / "target_state.parquet"
    )
    pq.write_table(
        training_set.state_table(profiles / "item_state.parquet", state_weeks), folder / "item_state.parquet"
    )
    found = feature_selection.examine(
        folder,
        Selection.model_validate(summary["selection"]),
        train=weeks.train,
        windows_days=tuple(summary["windows_days"]),
    )
    files.write_json(folder / FEATURES, found | {key: summary[key] for key in (REDUCE,) if key in summary})
    vocabulary = Vocabulary.load(profiles / "vocabulary")
    vocabulary.save(folder / "vocabulary")
    if vocabulary.people:
        calendar = Calendar(**snapshot["calendar"])
        edges.write(clean, folder, vocabulary.item_ids, calendar, event=summary["item_event"])
    files.write_json(folder / "calendar.json", snapshot["calendar"])
    files.write_json(folder / "profiles.json", summary)
    files.copied(profiles, folder, (FILE, *CARDS, training_rows.FILE))
    incomplete = [] if snapshot["last_week_complete"] else [weeks.test[-1]]  # whose labels reach the last step
    split = {
        "train": list(weeks.train),
        "validate": list(weeks.validate),
        "test": list(weeks.test),
        "ranking": list(judging_weeks),
        "incomplete": incomplete,
        "next": weeks.last,
    } | ({"purged": [weeks.horizon]} if weeks.horizon > 1 else {})
    split |= {columns.LABELS_AHEAD: [ahead]} if ahead > 1 else {}
    files.write_json(folder / "split.json", split)
    return counts | {"features_dropped": sum(len(table["dropped"]) for table in found["tables"].values())}


def _weighed(
    weight: dict[str, str] | None, clean: Path, profiles: Path, summary: dict[str, Any]
) -> Callable[[pa.Table], pa.Table]:
    """Return what adds the strengths of labels to the ranker's rows: nothing, where the spec weighs none."""
    if weight is None:
        return lambda rows: rows
    return functools.partial(
        label_strengths.with_strengths,
        events=clean / "events.parquet",
        item_ids=Vocabulary.load(profiles / "vocabulary").item_ids,
        calendar=Calendar(**files.read_json(profiles / "calendar.json")),
        labels=training_set.BOUGHT,
        column=weight["of"],
        add_up=weight["scale"] == "log",
        event=summary["item_event"],
    )


def _for_refit(
    ranking: dict[str, Any], snapshot: dict[str, Any], weeks: plan.Weeks, have: tuple[int, ...]
) -> list[int]:
    """Return the newest complete weeks that a refit of the ranker learns from and nothing else needs.

    >>> weeks = plan.Weeks(train=(5, 6, 7), validate=(8,), test=(9, 10, 11), last=12)
    >>> _for_refit({"train_weeks": 3, "refit": True}, {"last_week_complete": False}, weeks, (5, 6, 7, 8, 9, 11))
    [10]
    """
    if not ranking.get("refit"):
        return []
    ripe = [*weeks.train, *weeks.validate, *weeks.test][: None if snapshot["last_week_complete"] else -1]
    return [week for week in ripe[-ranking["train_weeks"] :] if week not in have]


def home() -> Path:
    """Return the state folder that the environment names."""
    return Path(os.environ[env_names.HOME])


def run_twin_rows(split_json: str, *, clean: Path, rows: Path, twin: Path, destination: Path) -> None:
    """Write the rows that judge as the champion's judged twin reads them.

    One that has learnt from them is trained anew by the next steps: then they are rows of all its weeks.
    """
    with step("twin_rows") as progress:
        found, snapshot = twins.read(twin), files.read_json(clean / "snapshot.json")
        weeks = weeks_of(snapshot, json.loads(split_json))
        if found.split and found.split == conditions.digests(split=_weeks(rows))["split"]:
            found = found.without(twins.SAME_DATA)
        if not found.why and found.learnt_from(Calendar(**snapshot["calendar"]).start(weeks.test[0])):
            found = found.anew()
        if not found.why and (other := _other_clock(twin / twins.RELEASE, snapshot, weeks)):
            found = found.without(other)

        def work(folder: Path) -> None:
            release = twin / twins.RELEASE
            if found.retrained:
                written = _rows_anew(folder, weeks, snapshot, clean=clean, rows=rows, release=release)
            else:
                written = twin_rows.write(folder, clean=clean, rows=rows, release=release, weeks=weeks)
            progress.count(rows_in=snapshot["rows"]["events"], rows_out=written, retrained=found.retrained)

        progress.count(why=twins.judged(found, destination, work).why)


def _other_clock(release: Path, snapshot: dict[str, Any], weeks: plan.Weeks) -> str:
    """Say why a release cannot be judged on these weeks: other steps, or labels past what they are purged for."""
    slices, pace = ReleaseFolder.read(release).slices, Calendar(**snapshot["calendar"]).pace
    step = slices.get("calendar", {}).get("step", WEEK)
    if step != pace.step:
        return f"it counts in {step}s, the candidate in {pace.step}s"
    ahead = max(vocabulary_rule.horizons(slices.get("intents", [{}]), pace))
    return f"its labels look ahead {pace.counted(ahead)}, past the candidate's split" if ahead > weeks.horizon else ""


def _weeks(rows: Path) -> dict[str, list[int]]:
    """Return the weeks of each part of a `rows` folder, as a model's conditions have them."""
    return {part: weeks for part, weeks in files.read_json(rows / "split.json").items() if isinstance(weeks, list)}


def _rows_anew(
    folder: Path, weeks: plan.Weeks, snapshot: dict[str, Any], *, clean: Path, rows: Path, release: Path
) -> int:
    """Write what a release's models would learn from and be judged by under the candidate's split."""
    slices = ReleaseFolder.read(release).slices
    spec = Profiles.model_validate(slices["profiles"])
    known = Vocabulary.load(ReleaseFolder.read(release).ranking / "vocabulary")
    pace = Calendar(**snapshot["calendar"]).pace
    rule = vocabulary_rule.of(slices["intents"], slices["ranking"], pace, signs=known.signs)
    judged = pq.read_table(rows / "ranking.parquet", columns=[columns.USER_ID, columns.WEEK])
    with tempfile.TemporaryDirectory(prefix="twin-", dir=folder.parent) as scratch:
        made = Path(scratch) / "profiles"
        made.mkdir()
        profile_folder.build_folder(
            made, clean, spec, profile_folder.Wanted.of(rule), snapshot, weeks,
            fitted=None, training=True, at=lambda share, note: None,
        )  # fmt: skip
        reads = twin_rows.reads_histories(ReleaseFolder.read(release))
        # The candidate's lists may be of any test week, and its labels judge.
        ahead = files.read_json(rows / "split.json").get(columns.LABELS_AHEAD, [1])[0]
        ranking = dict(slices["ranking"]) | {"test_every_weeks": 1, columns.LABELS_AHEAD: ahead}
        ranking |= {HISTORIES: True} if reads else {}
        counts = write_training_set(folder, ranking, weeks, snapshot, clean=clean, profiles=made, judged=judged)
    return counts["intent_rows"] + counts["ranking_rows"]


def run_materialise(name: str, *, profiles: Path, release_version: str) -> None:
    """Publish the feature files and write the rows that changed into the online store.

    Nothing is written without a version of the release: a dry run registers none.
    """
    with step("materialise") as progress:
        if not release_version:
            progress.count(rows_in=0, rows_out=0, note="dry run: no release to serve with these rows")
            return
        folds = materialise.folding(profiles)
        published = materialise.published(home(), folds.vocabulary.digest)
        materialise.publish(profiles, published)
        done = materialise.run(name, published, folds, each=lambda share: progress.at(share, "rows written"))
        progress.count(rows_in=done["written"] + done["unchanged"], rows_out=done["written"], **done)


def run_newest_rows(split_json: str, *, clean: Path, release: Path, now: str, destination: Path) -> None:
    """Write the newest row of every user for batch scoring; `now` is '' where the release's data ends."""
    with step("newest_rows") as progress, files.written_folder(destination) as folder:
        snapshot = files.read_json(clean / "snapshot.json")
        weeks = weeks_of(snapshot, json.loads(split_json))
        asked = int(now) if now else None
        counts = scoring_rows.write(folder, clean=clean, release=release, weeks=weeks, now=asked, at=progress.at)
        progress.count(rows_in=snapshot["rows"]["events"], rows_out=sum(counts.values()), **counts)
