"""What rankers are fitted to, made once for all seeds and sides of a benchmark, and kept in a folder if one is given.

Candidate sources are fitted with seeds of their own, so a ranker's seed changes none of them: trainings that differ by
the seed or by the algorithm share fits, and those of the same features their lists too. A kept fit is of one source and
week; the folder says of which rows and which code, and is refused for others.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.ranking import lists
from components.ranking.examples import World
from components.ranking.models import BY_NAME, lambdamart
from components.ranking.neighbours import Neighbours
from components.ranking.spec import Ranking
from components.ranking.train import Material
from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.graphs.code_digests import package_digest

ABOUT, COST = "about.json", "cost.json"
NOTHING = "neighbours"  # what is fitted where no source is


def trees_lacking() -> str:
    """Say why trees cannot be grown here; nothing where they can."""
    try:
        lambdamart.library()
    except SpecError as error:
        return str(error)
    return ""


def open_folder(folder: Path, about: dict[str, Any]) -> None:
    """Make a folder that says what it is about; SpecError where it is there and of something else."""
    if (folder / ABOUT).is_file():
        had = files.read_json(folder / ABOUT)
        if odd := [key for key in about if had.get(key) != about[key]]:
            raise SpecError(f"--keep: {folder} holds fits of other {odd[0]}; name a new folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / ABOUT, about)


def kept_arrays(folder: Path | None, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays from a folder, made and written whole where they are not there."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is not None and path.is_file():
        with np.load(path) as there:
            return dict(there)
    made = make()
    if path is not None:
        part = path.with_suffix(".part.npz")
        np.savez(part, **made)  # type: ignore[arg-type]  # its stub takes a flag of another type among the names
        part.replace(path)
    return made


def about_rows(world: World) -> dict[str, Any]:
    """Say of which rows, and by which code, something is fitted."""
    return {
        "vocabulary": world.vocabulary.digest,
        "rows": len(world.examples),
        "weeks": np.unique(world.examples.week).tolist(),
        "code": package_digest("components/ranking"),
    }


def about(recommender: str, world: World, spec: Ranking) -> dict[str, Any]:
    """Say what cells of a benchmark are of."""
    return {"recommender": recommender, "spec": files.digest(spec.model_dump(mode="json"))} | about_rows(world)


@dataclass
class Fits:
    """Fits by source and week, each with the processor seconds that it took."""

    folder: Path | None
    found: dict[str, Neighbours] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path | None, world: World) -> "Fits":
        """Open a folder, made if it is not there; SpecError where it holds fits of other rows or by other code."""
        if folder is None:
            return cls(None)
        open_folder(folder, about_rows(world))
        return cls(folder)

    def until(self, world: World, week: int) -> Neighbours:
        """Return what `lists.fitted_until` does, each source's fit from the folder where it is there."""
        base = self._one(world, (), week)
        return replace(
            base, learnt={name: self._one(world, (name,), week).learnt.get(name, {}) for name in world.learn}
        )

    def cost(self, world: World, weeks: list[int]) -> float:
        """Return the processor seconds of the fits that a training on these weeks asks for."""
        starts = {*weeks[:: lists.BLOCK_WEEKS], weeks[-1]}
        names = [_name(learn, week) for week in starts for learn in ((), *((name,) for name in world.learn))]
        return sum(self.cpu_s.get(name, 0.0) for name in names)

    def _one(self, world: World, learn: tuple[str, ...], week: int) -> Neighbours:
        name = _name(learn, week)
        if name not in self.found:
            kept = self.folder / name if self.folder is not None else None
            if kept is not None and (kept / COST).is_file():
                self.found[name], self.cpu_s[name] = Neighbours.load(kept), files.read_json(kept / COST)["cpu_s"]
            else:
                start = time.process_time()
                self.found[name] = lists.fitted_until(replace(world, learn=learn), week)
                self.cpu_s[name] = time.process_time() - start
                if kept is not None:
                    kept.mkdir(exist_ok=True)
                    self.found[name].save(kept)
                    files.write_json(kept / COST, {"cpu_s": self.cpu_s[name]})  # last: it is whole
        return self.found[name]


def _name(learn: tuple[str, ...], week: int) -> str:
    return f"{'-'.join(learn) or NOTHING}-{week}"


@dataclass
class Materials:
    """The newest material of a benchmark: one is made anew only where features or candidates change."""

    fits: Fits
    made: Material | None = None
    lists_cpu_s: float = 0.0  # of the newest, without its fits

    def of(self, world: World, spec: Ranking) -> tuple[Material, float]:
        """Return what a spec is fitted to, and the processor seconds that it takes, made now or before."""
        if self.made is not None:
            try:
                self.made.require(world, spec)
            except TypeError:
                self.made = None  # lists are hundreds of megabytes: two at once are too many
        weeks, listed = world.weeks("train")[-spec.train_weeks :], not all(map(is_formula, spec.algorithms))
        if self.made is None:
            self.made, self.lists_cpu_s = Material.of(world, spec, fitted=self.fits.until), 0.0
            if listed:
                for week in weeks[:: lists.BLOCK_WEEKS]:
                    self.fits.until(world, week)
            _ = self.made.neighbours
            if listed:
                start = time.process_time()
                _ = self.made.fit, self.made.check
                self.lists_cpu_s = time.process_time() - start
        return self.made, self.lists_cpu_s + self.fits.cost(world, weeks if listed else weeks[-1:])


def is_formula(algorithm: str) -> bool:
    """Tell whether nothing is trained of an algorithm but what it reads."""
    return BY_NAME[algorithm].formula
