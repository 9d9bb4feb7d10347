"""Forecasts as they are served: user rows in, amounts and distributions out, by numpy alone.

A folder `forecasts` within the intent model's holds `forecasts.json` (what the outputs mean) and `weights.npz`. The
vocabulary, the targets' shares by week and the calendar are the intent model's own files. The networks that were
trained give the same outputs to 1e-5 (a test says so).

Letters: B rows, N inputs, O outputs, A numbers of an answer, I intents.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.intent.context import FILE as CONTEXT
from components.intent.context import TargetContext
from components.intent.encode import encode
from components.intent.forecasts import kinds
from components.intent.forecasts.inputs import flat
from components.intent.forecasts.kinds import Answers
from feature_repo import arrays as arrays_file
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.release_folder import FORECASTS
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

FILE, WEIGHTS = "forecasts.json", "weights.npz"
FORMAT = 1
FARTHEST = 10.0  # deviations from the training mean at which an input is cut off
ROWS = 1024  # rows encoded at a time: bounds memory
ARRAYS = (
    "first.weight",
    "first.bias",
    "second.weight",
    "second.bias",
    "out.weight",
    "out.bias",
    "skip.weight",
    "start",
)
MODEL, USUAL = "model", "usual"  # what an answer rests on


@dataclass(frozen=True)
class Fitted:
    """A head with its network's weights."""

    head: Answers
    arrays: dict[str, np.ndarray]  # float64, by ARRAYS

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return the network's outputs of scaled inputs [B, N], float64 [B, O]."""
        a, x = self.arrays, x.astype(np.float64)
        h = np.maximum(x @ a["first.weight"].T + a["first.bias"], 0)
        h = np.maximum(h @ a["second.weight"].T + a["second.bias"], 0)
        return np.asarray(a["start"] + h @ a["out.weight"].T + a["out.bias"] + x @ a["skip.weight"].T)

    @property
    def usual(self) -> np.ndarray:
        """What is said of somebody of whom no model can say anything, [1, A]."""
        return self.head.answer(self.head.start[None])


@dataclass(frozen=True)
class Seen:
    """What rows are encoded by, as in training."""

    context: TargetContext
    calendar: Calendar
    targets: int
    profile: tuple[str, ...]  # names of the profile's numbers
    segments: int  # told apart in training
    mean: np.ndarray  # [N] float32, that inputs are scaled by
    scale: np.ndarray  # [N] float32, 0 of an input that training rows had alike

    def scaled(self, rows: UserRows) -> np.ndarray:
        """Encode and scale rows, float32 [B, N]."""
        return self.scale_of(self.encoded(rows))

    def scale_of(self, found: np.ndarray) -> np.ndarray:
        """Scale inputs [B, N]; refuse those of rows with other numbers than training's."""
        if found.shape[1] != len(self.mean):
            raise DataError(
                f"forecasts: trained on {len(self.mean)} inputs, these rows give {found.shape[1]}; "
                "profiles.windows_days has changed, train again"
            )
        return np.asarray(((found - self.mean) * self.scale).clip(-FARTHEST, FARTHEST), dtype=np.float32)

    def encoded(self, rows: UserRows) -> np.ndarray:
        """Encode rows, float32 [B, N]."""
        parts = [
            flat(
                encode(
                    rows.take(np.arange(start, min(start + ROWS, len(rows)))),
                    self.context,
                    calendar=self.calendar,
                    n_targets=self.targets,
                    profile=self.profile,
                ),
                segments=self.segments,
            )
            for start in range(0, len(rows), ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.mean)), np.float32)


@dataclass(frozen=True)
class ForecastScorer:
    """All heads of a release."""

    fitted: tuple[Fitted, ...]
    seen: Seen

    @property
    def names(self) -> list[str]:
        """Name the intents by position."""
        return [one.head.intent.name for one in self.fitted]

    def predict(self, rows: UserRows) -> list[np.ndarray]:
        """Return each intent's answer for each row, float64 [B, A]; [I] of them."""
        x = self.seen.scaled(rows)
        return [one.head.answer(one.outputs(x)) for one in self.fitted]

    def watched(self, rows: UserRows) -> dict[str, np.ndarray]:
        """Return what drift is watched by, float64 [B] each, by name."""
        found: dict[str, np.ndarray] = {}
        for one, said in zip(self.fitted, self.predict(rows), strict=True):
            found |= one.head.watched(said)
        return found

    def at(self, context: TargetContext, calendar: Calendar) -> "ForecastScorer":
        """Return the same heads with the targets' shares and the calendar of other data."""
        return replace(self, seen=replace(self.seen, context=context, calendar=calendar))

    def said(self, rows: UserRows | None) -> list[dict[str, Any]]:
        """Answer for one user, in words of the intents; for nobody, None, what is usual."""
        found = [one.usual for one in self.fitted] if rows is None else self.predict(rows)
        if not all(np.isfinite(one).all() for one in found):
            raise ArithmeticError("a forecast is no number")
        basis = USUAL if rows is None else MODEL
        return [spoken(one.head, values[0], basis) for one, values in zip(self.fitted, found, strict=True)]

    def spoken(self, rows: UserRows, *, modelled: np.ndarray) -> list[list[dict[str, Any]]]:
        """Answer for many users, each as `said` does; `modelled` [B] flags those whom the models answer.

        Whom they answer with what is no number has what is usual, as at the door.
        """
        mine = np.flatnonzero(modelled)
        place = np.full(len(rows), -1, dtype=np.int64)
        place[mine] = np.arange(len(mine))
        found, usual = self.predict(rows.take(mine)), self.said(None)
        numbers = np.all([np.isfinite(one).all(axis=1) for one in found], axis=0)  # [mine]
        place[mine[~numbers]] = -1
        return [
            usual
            if at < 0
            else [spoken(one.head, values[at], MODEL) for one, values in zip(self.fitted, found, strict=True)]
            for at in place.tolist()
        ]

    def save(self, folder: Path) -> None:
        """Write the folder's files."""
        seen = self.seen
        document = {
            "format": FORMAT,
            "profile": list(seen.profile),
            "segments": seen.segments,
            "targets": seen.targets,
            "heads": [{"kind": one.head.intent.kind, **one.head.document()} for one in self.fitted],
        }
        files.write_json(folder / FILE, document)
        named = {f"{n}.{name}": one.arrays[name] for n, one in enumerate(self.fitted) for name in ARRAYS}
        np.savez(folder / WEIGHTS, **named, mean=seen.mean, scale=seen.scale)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, *, context: TargetContext, calendar: Calendar, targets: int) -> "ForecastScorer":
        """Read what `save` wrote, to answer by the given shares of targets."""
        document = files.read_json(folder / FILE)
        if document.get("format") != FORMAT:
            raise DataError(
                f"{folder / FILE}: format {document.get('format')!r} of forecasts, this version reads {FORMAT}; run "
                "the pipeline again, or serve it with the version that wrote it"
            )
        if document["targets"] != targets:
            raise DataError(
                f"{folder / FILE}: was trained beside {document['targets']} targets, and the intent model has "
                f"{targets}; run the pipeline again"
            )
        heads = [kinds.read(one) for one in document["heads"]]
        with arrays_file.opened(folder / WEIGHTS) as held:
            fitted = tuple(Fitted(head, {a: held[f"{n}.{a}"] for a in ARRAYS}) for n, head in enumerate(heads))
            mean, scale = held["mean"], held["scale"]
        told = tuple(document["profile"]), int(document["segments"])
        return cls(fitted, Seen(context, calendar, targets, *told, mean, scale))

    @classmethod
    def served(cls, intent: Path) -> "ForecastScorer | None":
        """Read the forecasts within an intent model's folder; None where there are none."""
        folder = intent / FORECASTS
        if not (folder / FILE).is_file():
            return None
        targets = len(Vocabulary.load(intent / "vocabulary").targets)
        return cls.load(
            folder,
            context=TargetContext.load(intent / CONTEXT, n_targets=targets),
            calendar=Calendar(**files.read_json(intent / "calendar.json")),
            targets=targets,
        )


def spoken(head: Answers, said: np.ndarray, basis: str) -> dict[str, Any]:
    """Put one answer [A] into words: an amount or effect with its unit and interval, or a distribution."""
    return {"name": head.intent.name, "kind": head.intent.kind, "basis": basis, **head.spoken(said)}


def held(folder: Path) -> bool:
    """Tell whether a folder holds forecasts."""
    return (folder / FILE).is_file()
