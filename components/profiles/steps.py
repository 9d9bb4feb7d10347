"""The profile steps: feature tables and vocabularies, then training rows, then the online store."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.profiles import build, materialise, segments, training_set, vocabularies
from components.profiles.spec import Profiles
from components.step import Progress, step
from feature_repo import artifacts, columns, transforms
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.rows import Ragged
from feature_repo.vocabulary import Vocabulary


def weeks_of(snapshot: dict[str, Any], split: dict[str, int]) -> build.Weeks:
    """Lay out warm-up | train | validate | test over the snapshot's weeks.

    >>> weeks_of({"weeks": 10}, {"warmup_weeks": 4, "validate_weeks": 1, "test_weeks": 2})
    Weeks(train=(5, 6, 7), validate=(8,), test=(9, 10), last=11)
    """
    last, test, validate = snapshot["weeks"], split["test_weeks"], split["validate_weeks"]
    first_validate = last - test - validate + 1
    train = tuple(range(split["warmup_weeks"] + 1, first_validate))
    if not train:
        need = split["warmup_weeks"] + validate + test + 1
        raise DataError(f"data.split: the data has {last} weeks, the split needs at least {need}; lower warmup_weeks")
    return build.Weeks(
        train=train,
        validate=tuple(range(first_validate, first_validate + validate)),
        test=tuple(range(first_validate + validate, last + 1)),
        last=last + 1,
    )


def run_profiles(profiles_json: str, split_json: str, vocabulary_json: str, *, clean: Path, destination: Path) -> None:
    """Write the `profiles` folder from the `clean` folder."""
    spec, wanted = Profiles.model_validate_json(profiles_json), json.loads(vocabulary_json)
    snapshot = artifacts.read_json(clean / "snapshot.json")
    weeks = weeks_of(snapshot, json.loads(split_json))
    calendar = Calendar(**snapshot["calendar"])
    with step("profiles") as progress, artifacts.written_folder(destination) as folder:
        connection = build.connect()
        local_days = build.stored(connection, "local_days", build.days(calendar, snapshot["weeks"]))
        raw = connection.read_parquet(str(clean / "events.parquet"))
        events = build.stored(connection, "events", transforms.dated(raw, local_days))
        items = connection.read_parquet(str(clean / "items.parquet"))
        intents = [vocabularies.IntentTargets(**i) for i in wanted["intents"]]
        rule = vocabularies.ItemRule(**wanted["items"])
        vocabulary = vocabularies.fit(events, items, intents, rule, until_week=weeks.train[-1])
        vocabulary.save(folder / "vocabulary")
        progress.at(0.1, "vocabularies")
        end = dt.datetime.fromisoformat(snapshot["last"]) + dt.timedelta(seconds=1)
        users = pq.read_table(clean / "users.parquet", columns=[columns.USER_ID])
        cuts = build.cutoffs(calendar, weeks, data_end=end)
        tables = build.key(connection, events, users, vocabulary, cuts, item_event=rule.event)
        from_week = weeks.train[-wanted["history_weeks"] :][0]
        _write_tables(folder, tables, spec, progress, from_week=from_week)
        found = _segment(folder, vocabulary, weeks, spec)
        artifacts.write_json(folder / "segments.json", found.as_dict())
        artifacts.write_json(folder / "calendar.json", snapshot["calendar"])
        summary = {
            "data": snapshot["digest"],
            "vocabulary": vocabulary.digest,
            "data_end": end.isoformat(),
            "targets": len(vocabulary.targets),
            "items": vocabulary.items.num_rows,
            "users": users.num_rows,
            "windows_days": list(spec.windows_days),
        }
        artifacts.write_json(folder / "profiles.json", summary)
        connection.disconnect()
        progress.count(**{k: summary[k] for k in ("targets", "items", "users")})


def _write_tables(folder: Path, tables: build.Keyed, spec: Profiles, progress: Progress, *, from_week: int) -> None:
    """Write one parquet file a feature view, and the keyed tables that labels come from."""
    done = iter(np.linspace(0.15, 0.9, 2 * tables.blocks))

    def each() -> None:
        progress.at(float(next(done)), "user rows")

    build.write_blocks(folder / "user_targets.parquet", tables, build.user_targets, each=each)
    build.write_blocks(
        folder / "user_history.parquet",
        tables,
        lambda t, block: build.user_history(t, block, from_week=from_week),
        each=each,
    )
    build.write_blocks(
        folder / "user_profile.parquet",
        tables,
        lambda t, block: build.user_profile(t, block, windows_days=spec.windows_days),
        each=lambda: None,
    )
    build.write_blocks(
        folder / "user_daily.parquet",
        tables,
        lambda t, block: build.user_daily(t, block, windows_days=spec.windows_days),
        each=lambda: None,
    )
    build.write_whole(folder / "item_state.parquet", build.item_state(tables))
    build.write_whole(folder / "target_state.parquet", build.target_state(tables))
    pq.write_table(tables.targets.to_pyarrow(), folder / "keyed_targets.parquet", compression="zstd")
    pq.write_table(tables.items.to_pyarrow(), folder / "keyed_items.parquet", compression="zstd")


def _segment(folder: Path, vocabulary: Vocabulary, weeks: build.Weeks, spec: Profiles) -> segments.Segmentation:
    """Fit segments on what was known when training ended, and add each row's segment to user_profile."""
    table = pq.read_table(folder / "user_targets.parquet", columns=["user_id", "week", "target_ids", "target_slow"])
    ids, slow = (_ragged(table[name]) for name in ("target_ids", "target_slow"))
    week = table["week"].to_numpy()
    at_end = np.flatnonzero(week == weeks.validate[0])
    if not len(at_end):
        raise DataError("profiles: no user has an event in the training weeks")
    first_ids, first_slow = ids.take(at_end), slow.take(at_end)
    # K-means starts from rows: order them by what they hold, not by a pseudonym that depends on a key.
    mix = segments.mixes(first_ids, first_slow, targets=len(vocabulary.targets))
    order = np.lexsort(mix.T)
    found = segments.fit(mix[order], vocabulary.target_names, spec.segments)
    assigned = np.concatenate(
        [
            found.assign(segments.mixes(ids.take(part), slow.take(part), targets=len(vocabulary.targets)))
            for part in np.array_split(np.arange(len(week)), max(1, len(week) // 20_000))
        ]
    )
    labels = table.select([columns.USER_ID, "week"]).append_column(columns.SEGMENT, pa.array(assigned))
    digests = pa.array([vocabulary.digest] * table.num_rows, pa.string())
    labels = labels.append_column(columns.VOCABULARY, digests)
    profile = pq.read_table(folder / "user_profile.parquet")
    joined = profile.join(labels, [columns.USER_ID, "week"], join_type="left outer")
    pq.write_table(joined, folder / "user_profile.parquet", compression="zstd", row_group_size=1 << 16)
    return found


def _ragged(column: pa.ChunkedArray) -> Ragged:
    lists = column.combine_chunks()
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    lengths = pa.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    return Ragged(
        lists.flatten().to_numpy(zero_copy_only=False), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    )


def run_training_set(split_json: str, ranking_json: str, *, clean: Path, profiles: Path, destination: Path) -> None:
    """Write the `rows` folder: point-in-time rows with labels for intent and ranking."""
    ranking = json.loads(ranking_json)
    snapshot = artifacts.read_json(clean / "snapshot.json")
    summary = artifacts.read_json(profiles / "profiles.json")
    weeks = weeks_of(snapshot, json.loads(split_json))
    ranking_weeks = (
        *weeks.train[-ranking["train_weeks"] :],
        *weeks.validate,
        *weeks.test[:: ranking["test_every_weeks"]],
    )
    with step("training_set") as progress, artifacts.written_folder(destination) as folder:
        users = pq.read_table(clean / "users.parquet", columns=[columns.USER_ID])
        counts = training_set.write(
            profiles,
            users,
            folder,
            weeks=weeks,
            ranking_weeks=ranking_weeks,
            windows_days=tuple(summary["windows_days"]),
        )
        label_weeks = (*weeks.train, *weeks.validate, *weeks.test, weeks.last)
        state_weeks = (*ranking_weeks, weeks.last)
        pq.write_table(
            training_set.state_table(profiles / "target_state.parquet", label_weeks), folder / "target_state.parquet"
        )
        pq.write_table(
            training_set.state_table(profiles / "item_state.parquet", state_weeks), folder / "item_state.parquet"
        )
        Vocabulary.load(profiles / "vocabulary").save(folder / "vocabulary")
        artifacts.write_json(folder / "calendar.json", snapshot["calendar"])
        artifacts.write_json(folder / "profiles.json", summary)
        incomplete = [] if snapshot["last_week_complete"] else [snapshot["weeks"]]
        split = {
            "train": list(weeks.train),
            "validate": list(weeks.validate),
            "test": list(weeks.test),
            "ranking": list(ranking_weeks),
            "incomplete": incomplete,
            "next": weeks.last,
        }
        artifacts.write_json(folder / "split.json", split)
        progress.count(**counts)


def home() -> Path:
    """Return the state folder that the environment names."""
    return Path(os.environ["INTENTFLOW_HOME"])


def run_materialise(name: str, *, profiles: Path) -> None:
    """Publish the feature files and write the newest rows into the online store."""
    with step("materialise") as progress:
        features = home() / "features"
        materialise.publish(profiles, features)
        summary = artifacts.read_json(features / "profiles.json")
        end = dt.datetime.fromisoformat(summary["data_end"])
        done = materialise.run(name, features, windows_days=tuple(summary["windows_days"]), data_end=end)
        progress.count(**done, users=summary["users"])
