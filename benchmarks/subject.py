"""What a benchmark measures: the artifacts of a recommender's last finished run, or of a small made world.

Nothing of the recommender's state folder is written to: models come out of the registry into a scratch folder.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.intent.spec import Intent, IntentModel
from components.ranking.spec import Ranking
from feature_repo import files
from feature_repo.errors import SpecError
from monitoring.spec import Monitoring
from pipelines.environment import Installation, place
from pipelines.runs import local

VARIABLES = "variables.json"  # of a made world; written last


@dataclass(frozen=True)
class Subject:
    """One trained recommender: its slices, its artifacts, the variables of its service."""

    name: str
    intents: tuple[Intent, ...]
    intent: IntentModel
    ranking: Ranking
    monitoring: Monitoring
    clean: Path
    rows: Path
    profiles: Path
    trained_intent: Path  # as training left it, with out-of-time intents
    release: Path  # release.json, intent/, ranking/
    variables: Mapping[str, str]
    users: Callable[[], list[str]]  # raw ids, as the door is asked with


@contextmanager
def subject(asked: argparse.Namespace) -> Iterator[Subject]:
    """Yield the last run of `asked.spec`, or with `asked.quick` the made world, kept in `asked.world` if given."""
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        if asked.quick:
            yield _made(asked.world or Path(scratch))
        else:
            yield _of_last_run(place(asked.spec, asked.env), Path(scratch))


def _of_last_run(place: Installation, scratch: Path) -> Subject:
    from components.registry.release import assemble
    from pipelines.releases.release import variables

    last = local.last_run(place.home)
    if last is None:
        raise SpecError(f"{place.home}: no finished run to measure; `intentflow demo {place.spec_path}` makes one")
    with variables(place):
        release = assemble(place.spec.name, last.release_version, scratch / "release")
    spec = place.spec
    return Subject(
        name=spec.name,
        intents=spec.intents,
        intent=spec.models.intent,
        ranking=spec.models.ranking,
        monitoring=spec.monitoring,
        clean=last.folders["clean"],
        rows=last.folders["rows"],
        profiles=last.folders["features"],
        trained_intent=last.folders["intent"],
        release=release,
        variables=place.variables,
        users=lambda: _users(place),
    )


def _users(place: Installation) -> list[str]:
    """List the raw user ids of the source, in an order that does not depend on it."""
    from components.data import sources
    from components.data.database import database

    base = place.spec_path.absolute().parent
    with tempfile.TemporaryDirectory() as folder, database(Path(folder)) as db:
        sources.read(db, place.spec.data.source, base, work=Path(folder))
        query = "SELECT DISTINCT user_id FROM source_events WHERE user_id IS NOT NULL ORDER BY length(user_id), user_id"
        return [str(row[0]) for row in db.execute(query).fetchall()]


def _made(folder: Path) -> Subject:
    """Make the checkerboard world by the real steps, unless the folder has it."""
    from tests import worlds
    from tests.bentos import toy

    if not (folder / VARIABLES).is_file():
        toy.make(folder)
        files.write_json(folder / VARIABLES, toy.at(folder).variables)
    return Subject(
        name=toy.NAME,
        intents=tuple(Intent.model_validate(intent) for intent in toy.INTENTS),
        intent=IntentModel.model_validate(toy.INTENT),
        ranking=Ranking.model_validate(toy.RANKING),
        monitoring=Monitoring(min_rows=10),
        clean=folder / "clean",
        rows=folder / "rows",
        profiles=folder / "profiles",
        trained_intent=folder / "release" / "intent",
        release=folder / "release",
        variables=files.read_json(folder / VARIABLES),
        users=lambda: worlds.checkerboard().users,
    )
