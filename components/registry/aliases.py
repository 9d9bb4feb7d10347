"""Who serves: the aliases challenger, champion and previous of <name>-release, and the record of their moves.

Only these functions move aliases in code; a person may move them in MLflow's UI as well, and that is noticed and
recorded too. Gates are evaluated elsewhere; here their verdict is respected.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from components.registry import client as mlflow_client
from components.registry.baseline_champion import INSTEAD_OF
from components.registry.lineage import PARTS
from components.registry.release import may_serve, model_name, reasons, resolve
from components.verdicts import UNDECIDED
from feature_repo.errors import Refused, SpecError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Alias = Literal["challenger", "champion", "previous"]
ALIASES: tuple[Alias, ...] = ("challenger", "champion", "previous")
HISTORY = "history"  # the registered model's tag: every move as JSON, the newest last
HISTORY_CHARACTERS = 5000  # what MLflow's databases hold in that tag; the oldest moves go first
RECORDED = "recorded_champion"  # the registered model's tag: the champion that the history speaks of
MOVES = "moves"  # a version's tag: its moves in words, one a line
ROLLED_BACK = "rolled_back"  # a version's tag: why; the pipeline does not promote it again by itself
MOVES_KEPT = 50  # lines
WHY_CHARACTERS = 200


@dataclass(frozen=True)
class Move:
    """One move of an alias; `to` is empty where the alias was taken away."""

    alias: str
    origin: str
    to: str
    who: str
    when: str  # ISO, UTC, wall time: a rollout happens now, whatever the data's clock says
    why: str

    def line(self) -> str:
        """Say it in words."""
        return f"{self.when} {self.alias} {self.origin or 'nobody'} -> {self.to or 'nobody'} by {self.who}: {self.why}"


@dataclass(frozen=True)
class Outcome:
    """What a request to move the champion came to."""

    champion: str  # version that holds the alias now, '' without one
    moved: bool
    note: str


@dataclass(frozen=True)
class Status:
    """Who holds which alias."""

    name: str
    holders: dict[str, str]  # alias: version
    versions: dict[str, dict[str, str]]  # of those versions: id, gates, parts' versions and other tags
    history: tuple[Move, ...]
    unrecorded: bool  # the champion was moved elsewhere and no rollout has answered yet
    dangling: dict[str, str] = field(default_factory=dict)  # alias: version that was deleted


def status(name: str) -> Status:
    """Tell which versions hold which alias, and how they came to."""
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        if model is None:
            return Status(name, {}, {}, (), unrecorded=False)
        holders = _living(client, name, model)
        tags = {v: dict(client.get_model_version(model_name(name), v).tags) for v in sorted({*holders.values()})}
        unrecorded = _aliases(model).get("champion", "") != model.tags.get(RECORDED, "")
        dangling = {alias: version for alias, version in _aliases(model).items() if alias not in holders}
        return Status(name, holders, tags, _history(model), unrecorded, dangling)


@dataclass(frozen=True)
class Kept:
    """A version of the release, as the registry keeps it."""

    version: str
    created: str  # ISO, UTC
    tags: dict[str, str]


def kept(name: str, most: int) -> tuple[list[Kept], int]:
    """Return the newest versions of the release, the newest first, and how many there are in all."""
    with mlflow_client.connected() as client:
        if mlflow_client.registered_model(client, model_name(name)) is None:
            return [], 0
        every: list[Any] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(f"name='{model_name(name)}'", page_token=token)
            every += page
            token = page.token or None
            if token is None:
                break
    every.sort(key=lambda one: -int(one.version))
    return [Kept(str(one.version), _iso(one.creation_timestamp), dict(one.tags)) for one in every[:most]], len(every)


def challenge(name: str, version: str, *, passed: bool, who: str, why: str) -> None:
    """Give the challenger alias to a release that passed its gates, and take it from one that does not any more."""
    with mlflow_client.connected() as client:
        holders = _holders(client, name)
        if passed and holders.get("champion") != version:
            _move(client, name, "challenger", version, who=who, why=why)
        if not passed and holders.get("challenger") == version:
            _move(client, name, "challenger", "", who=who, why=why)
        _inform_parts(client, name)


def promote(name: str, which: str, *, who: str, why: str, dry_run: bool = False) -> Outcome:
    """Make a release, by version or alias, the champion; the one before becomes `previous`."""
    with mlflow_client.connected() as client:
        version = resolve(client, name, which)
        _require_passed(client, name, version)
        champion = _holders(client, name).get("champion", "")
        if dry_run:
            return Outcome(
                champion, moved=False, note=f"would move champion {champion or 'nobody'} -> {version}; dry run"
            )
        _notice(client, name, expected=version, who=who, why=why)
        if champion and champion != version:
            _move(client, name, "previous", champion, who=who, why=why)
        moved = _move(client, name, "champion", version, who=who, why=why)
        if _holders(client, name).get("challenger") == version:
            _move(client, name, "challenger", "", who=who, why="became the champion")
        if moved:
            client.delete_model_version_tag(model_name(name), version, ROLLED_BACK)
        _inform_parts(client, name)
    note = f"champion {champion or 'nobody'} -> {version}" if moved else f"version {version} is the champion already"
    return Outcome(version, moved, note)


def rollback(name: str, *, who: str, why: str, dry_run: bool = False, serves: str = "", stays: bool = False) -> Outcome:
    """Make `previous` the champion again, and mark the version that was taken back.

    A champion whose alias was lost gets it again: `serves`, the version that the rollout made stable last, or the one
    that the history names. With `stays` a champion that has none before it keeps it: serving can still be mended.
    """
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        if model is None:
            raise SpecError(f"{model_name(name)}: nothing is registered under this name yet; run the pipeline first")
        if not _living(client, name, model).get("champion") and (lost := _lost(client, name, model, serves)):
            return _given_back(client, name, lost, who=who, why=why, dry_run=dry_run)
        if not dry_run:
            restored = _holders(client, name).get("previous", "")
            _notice(client, name, expected=restored, who=who, why=why, restores=True)
        holders = _holders(client, name)
        champion, previous = holders.get("champion", ""), holders.get("previous", "")
        if not previous and champion and stays:
            note = "it stays: no version holds 'previous'; `intentflow promote --version N` serves another"
            return Outcome(champion, moved=False, note=note)
        if not previous:
            raise SpecError(
                f"{model_name(name)}: no version holds 'previous', so there is nothing to roll back to; "
                "promote another version instead"
            )
        if dry_run:
            return Outcome(
                champion, moved=False, note=f"would move champion {champion or 'nobody'} -> {previous}; dry run"
            )
        if champion and champion != previous:
            client.set_model_version_tag(model_name(name), champion, ROLLED_BACK, f"{_now()} by {who}: {why}")
        moved = _move(client, name, "champion", previous, who=who, why=why)
        _move(client, name, "previous", "", who=who, why="was restored")
        _inform_parts(client, name)
    note = f"champion {champion or 'nobody'} -> {previous}" if moved else f"version {previous} is the champion already"
    return Outcome(previous, moved, note)


def _lost(client: "MlflowClient", name: str, model: Any, serves: str) -> str:
    """Return the version whose champion alias was lost, '' where none is known; none that was taken back."""
    before = [move.to for move in reversed(_history(model)) if move.alias == "champion"]
    for version in (serves, *before):
        found = _version(client, name, version)
        if found is not None and not found.tags.get(ROLLED_BACK):
            return version
    return ""


def _given_back(client: "MlflowClient", name: str, version: str, *, who: str, why: str, dry_run: bool) -> Outcome:
    if dry_run:
        return Outcome("", moved=False, note=f"would move champion nobody -> {version}, which held it last; dry run")
    _notice(client, name, expected=version, who=who, why=why)
    _move(client, name, "champion", version, who=who, why=why)
    if _holders(client, name).get("previous") == version:
        _move(client, name, "previous", "", who=who, why="is the champion")
    _inform_parts(client, name)
    return Outcome(version, moved=True, note=f"champion nobody -> {version}, which held it last")


def pipeline() -> str:
    """Name the pipeline as who moves an alias, with the user that it runs as."""
    return f"pipeline ({mlflow_client.user()})"


def vacant(name: str, version: str) -> bool:
    """Tell whether a baseline may serve instead of a version that was held back: where there is no champion.

    One that is there already counts if it stands for this very version, as when a run is repeated. Where an alias was
    lost, what held it last is the champion still: a rollback gives it back.
    """
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        held = _version(client, name, _living(client, name, model).get("champion", "")) if model else None
        if held is None:
            return model is None or not _lost(client, name, model, "")
        mine = client.get_model_version(model_name(name), version).tags.get("id", "")
        return bool(mine) and held.tags.get(INSTEAD_OF) == mine


def notice(name: str) -> None:
    """Record a champion that was moved elsewhere, such as in MLflow's UI; nothing where the record is up to date."""
    with mlflow_client.connected() as client:
        _notice(client, name, expected="", who="unknown", why="moved outside intentflow")
        _inform_parts(client, name)


def keep_previous(name: str, version: str, *, who: str, why: str) -> None:
    """Have a rollback restore this version; '' or one that was deleted: there is nothing to restore."""
    with mlflow_client.connected() as client:
        _move(client, name, "previous", version if _version(client, name, version) else "", who=who, why=why)
        _inform_parts(client, name)


def take_back(name: str, version: str, *, to: str, who: str, why: str) -> bool:
    """Give the champion alias back to what serves, and mark the version that failed; not if it was moved meanwhile."""
    with mlflow_client.connected() as client:
        if _version(client, name, version):
            client.set_model_version_tag(model_name(name), version, ROLLED_BACK, f"{_now()} by {who}: {why}")
        if _holders(client, name).get("champion") != version:
            return False
        _move(client, name, "champion", to, who=who, why=why)
        _inform_parts(client, name)
    return True


def rolled_back(name: str, version: str) -> str:
    """Return when, by whom and why a version was taken back, or ''."""
    with mlflow_client.connected() as client:
        return str(client.get_model_version(model_name(name), version).tags.get(ROLLED_BACK, ""))


def _require_passed(client: "MlflowClient", name: str, version: str) -> None:
    tags = client.get_model_version(model_name(name), version).tags
    if not may_serve(tags):
        said = "left it undecided" if tags.get("gates") == UNDECIDED else "refused it"
        why = f"its gates {said} ({reasons(tags)})"
        raise Refused(f"{model_name(name)} version {version}: {why}; nothing was promoted")


def _holders(client: "MlflowClient", name: str) -> dict[str, str]:
    """Return version by alias, as text: direct SQL gives numbers."""
    model = mlflow_client.registered_model(client, model_name(name))
    return _living(client, name, model) if model else {}


def _living(client: "MlflowClient", name: str, model: Any) -> dict[str, str]:
    """Return version by alias, less the aliases of versions that were deleted: those hold nothing."""
    return {alias: version for alias, version in _aliases(model).items() if _version(client, name, version)}


def _aliases(model: Any) -> dict[str, str]:
    return {alias: str(version) for alias, version in model.aliases.items()}


def _move(client: "MlflowClient", name: str, alias: Alias, to: str, *, who: str, why: str) -> bool:
    """Move an alias and record it; nothing where it is there already."""
    origin = _holders(client, name).get(alias, "")
    if origin == to:
        return False
    if to:
        client.set_registered_model_alias(model_name(name), alias, to)
    else:
        client.delete_registered_model_alias(model_name(name), alias)
    _record(client, name, Move(alias, origin, to, who, _now(), why[:WHY_CHARACTERS]))
    return True


def _record(client: "MlflowClient", name: str, move: Move) -> None:
    """Append a move to the model's history and to the versions that it touched."""
    moves = [*_history(mlflow_client.registered_model(client, model_name(name))), move]
    while len(text := json.dumps([asdict(one) for one in moves], ensure_ascii=False)) > HISTORY_CHARACTERS:
        moves = moves[1:]
    client.set_registered_model_tag(model_name(name), HISTORY, text)
    if move.alias == "champion":
        client.set_registered_model_tag(model_name(name), RECORDED, move.to)
    for version in filter(None, (move.origin, move.to)):
        if found := _version(client, name, version):
            lines = [*found.tags.get(MOVES, "").splitlines(), move.line()][-MOVES_KEPT:]
            client.set_model_version_tag(model_name(name), version, MOVES, "\n".join(lines))


def _notice(client: "MlflowClient", name: str, *, expected: str, who: str, why: str, restores: bool = False) -> None:
    """Record a champion that was moved elsewhere: in MLflow's UI, or by a call like this one that was cut short."""
    model = mlflow_client.registered_model(client, model_name(name))
    now, recorded = (_aliases(model).get("champion", ""), model.tags.get(RECORDED, "")) if model else ("", "")
    if now == recorded:
        return
    if now != expected:
        who, why, restores = "unknown", "moved outside intentflow", False
    _record(client, name, Move("champion", recorded, now, who, _now(), why[:WHY_CHARACTERS]))
    if now and not restores and _version(client, name, recorded):
        _move(client, name, "previous", recorded, who=who, why=why)


def _inform_parts(client: "MlflowClient", name: str) -> None:
    """Give the parts the aliases of the releases that hold them; information only, serving reads the release."""
    holders = _holders(client, name)
    tags = {version: found.tags for version in {*holders.values()} if (found := _version(client, name, version))}
    for part in PARTS:
        model = mlflow_client.registered_model(client, f"{name}-{part}")
        have = _aliases(model) if model else {}
        for alias in ALIASES:
            wanted = tags.get(holders.get(alias, ""), {}).get(f"{part}_version", "")
            if wanted and have.get(alias) != wanted:
                client.set_registered_model_alias(f"{name}-{part}", alias, wanted)
            elif not wanted and alias in have:
                client.delete_registered_model_alias(f"{name}-{part}", alias)


def _version(client: "MlflowClient", name: str, version: str) -> Any | None:
    """Return a version of the release, or None where a person deleted it."""
    from mlflow.exceptions import MlflowException

    if not version:
        return None
    try:
        return client.get_model_version(model_name(name), version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _history(model: Any) -> tuple[Move, ...]:
    return tuple(Move(**move) for move in json.loads(model.tags.get(HISTORY, "[]")))


def _iso(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat(timespec="seconds")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
