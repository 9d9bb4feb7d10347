"""Checkpoints of a training: one file a stage, whole or absent, which a training of the same key goes on from.

The key holds digests of all that decides how a training goes: data, vocabulary, settings, code, torch, processes. A
file of another key is of another training: it is dropped with a warning, or refused, as the spec says. A file holds
weights, the optimizer's moments, random generators and losses: no row, no user and no item by name. It is safetensors
with JSON in its head; nothing is pickled. One process writes it; all of them read it, from a folder that they share.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.distributed import settings
from components.distributed.ranks import Ranks
from components.training.spec import Checkpoint
from feature_repo import env_names, files
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, ServerError

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = settings.CHECKPOINTS
KEY, STATE = "key", "state"  # in a file's head
UNREADABLE = "it cannot be read"
log = logging.getLogger("intentflow.training")


@dataclass(frozen=True)
class State:
    """What a training needs to go on."""

    tensors: dict[str, "Tensor"]
    numbers: dict[str, Any]  # of what JSON holds; `position` counts the optimizer steps, `done` says that a stage ended

    @property
    def done(self) -> bool:
        """Tell whether the stage ended."""
        return bool(self.numbers.get("done"))

    def under(self, prefix: str) -> dict[str, "Tensor"]:
        """Return the tensors whose names begin so, without the beginning.

        >>> State({"best.w": 1, "net.w": 2}, {}).under("best.")
        {'w': 1}
        """
        return {name[len(prefix) :]: value for name, value in self.tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one step."""

    folder: Path
    every: int  # optimizer steps
    key: Mapping[str, str]  # digests by name
    refuses: bool
    ranks: Ranks

    def load(self, stage: str) -> State | None:
        """Return how far the stage was; None where it begins."""
        path = self._path(stage)
        found = self._read(path) if path.is_file() else None
        position = -1 if found is None else int(found.numbers["position"])
        if position != int(self.ranks.decided(position)):
            raise ServerError(
                f"{path}: rank {self.ranks.rank} does not see the checkpoint that the first one sees; the folder must "
                "be one that all processes share"
            )
        return found

    def tell(self, stage: str, state: State) -> None:
        """Say on the log that a stage goes on from a checkpoint."""
        if self.ranks.first:
            at = "its end" if state.done else f"step {state.numbers['position']}"
            log.info(json.dumps({"checkpoint": str(self._path(stage)), "stage": stage, "goes_on_from": at}))

    def save(self, stage: str, state: State) -> None:
        """Write how far the stage is; a process that is killed meanwhile leaves the file of before."""
        if not self.ranks.first:
            return
        from safetensors.torch import save_file

        head = {KEY: files.canonical(dict(self.key)), STATE: json.dumps(state.numbers)}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.tensors.items()}
        with files.written(self._path(stage)) as aside:
            save_file(tensors, aside, metadata=head)
            with aside.open("rb") as stream:
                os.fsync(stream.fileno())

    def clear(self) -> None:
        """Remove them all: the model is written."""
        if self.ranks.first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, stage: str) -> Path:
        return self.folder / f"{stage}.safetensors"

    def _read(self, path: Path) -> State | None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as stored:
                head = stored.metadata() or {}
                theirs, numbers = json.loads(head[KEY]), json.loads(head[STATE])
                different = differing(self.key, theirs)
                if not different:
                    return State({name: stored.get_tensor(name) for name in stored.keys()}, numbers)  # noqa: SIM118
                why = f"it is of another training: {different}"
        except FileNotFoundError:  # the first process dropped it meanwhile
            return None
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            why = f"{UNREADABLE} ({type(error).__name__}: {error})"
        self._drop(path, why)
        return None

    def _drop(self, path: Path, why: str) -> None:
        if self.refuses:
            raise DataError(
                f"{path}: {why}; delete it to train from the beginning, or say trainer.checkpoint.other: restart"
            )
        if self.ranks.first:
            log.warning(json.dumps({"checkpoint": str(path), "ignored": why, "training": "begins anew"}))
            path.unlink(missing_ok=True)


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say in which digests two keys differ, '' where in none.

    >>> differing({"data": "a", "vocabulary": "b"}, {"data": "a", "vocabulary": "c"})
    'vocabulary (c, now b)'
    """
    names = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
    return ", ".join(f"{name} ({theirs.get(name, 'none')}, now {mine.get(name, 'none')})" for name in names)


def of_step(
    step: str,
    asked: Checkpoint | None,
    destination: Path,
    *,
    about: Mapping[str, Any],
    data: Mapping[str, Path],
    package: str,
    ranks: Ranks,
) -> Checkpoints | None:
    """Return the checkpoints of a step that writes `destination`; None where the spec asks for none.

    `about` is what else decides how training goes, by name; `data` are files and folders that it reads, `package` is
    the component whose code trains. Checkpoints lie in the state folder, where the next attempt of the step finds
    them, and beside the destination where there is none.
    """
    if asked is None:
        return None
    import torch

    home = os.environ.get(env_names.CHECKPOINTS) or _in_home(os.environ.get(env_names.HOME, ""))
    folder = Path(home) / step if home else destination.with_name(f"{destination.name}.{FOLDER}")
    key = {name: files.digest(value) for name, value in about.items()}
    key |= {name: files.file_digest(path) for name, path in data.items()}
    key |= {
        "sources": files.file_digest(*(ROOT / "components" / name for name in (package, "training", "distributed"))),
        "torch": str(torch.__version__),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "processes": str(ranks.world),
    }
    return Checkpoints(folder, asked.every, key, asked.other == "refuse", ranks)


def erase(home: Path) -> int:
    """Remove all checkpoints of a recommender, since they learnt from whoever was there; return how many files."""
    folder = home / FOLDER
    found = sum(1 for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return found


def decisive(slice_: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's slice without how often it is written down, which changes no training.

    >>> decisive({"width": 8, "trainer": {"checkpoint": {"every": 5}, "compile": True}})
    {'width': 8, 'trainer': {'compile': True}}
    """
    trainer = {name: value for name, value in slice_.get("trainer", {}).items() if name != "checkpoint"}
    return {name: value for name, value in slice_.items() if name != "trainer"} | {"trainer": trainer}


def _in_home(home: str) -> str:
    return str(Path(home) / FOLDER) if home else ""
