"""The model of session intents as it is served: numbers in, probabilities out, by numpy alone.

A folder `session` holds `session.json` (what the features mean, how visits are told, the rates of a visit that begins),
`weights.npz` and `categories.parquet`. The network that was trained gives the same numbers to 1e-5 (a test says so).

Letters: R rows, F features, H hidden units, C session intents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.intent.sessions.encode import Codes, encode, visit, window
from components.intent.sessions.recurrent import Events, Unit, events_of
from components.intent.sessions.spec import SessionIntent
from feature_repo import arrays as arrays_file
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.memory import Remembered

FILE, WEIGHTS, CATEGORIES = "session.json", "weights.npz", "categories.parquet"
FORMAT, RECURRENT_FORMAT = 1, 2  # the second of models with a recurrent unit, which earlier versions cannot read
LAYERS = 3


@dataclass(frozen=True)
class Said:
    """What is said of a visit that goes on, or of one that begins."""

    events: int  # of the visit, as far as the memory reaches; 0: none in the last silence, and the rates are a start's
    probabilities: np.ndarray  # [C]


@dataclass(frozen=True)
class SessionScorer:
    """Weights, what they were fitted on, and the rates of training visits at their start."""

    intents: tuple[SessionIntent, ...]
    codes: Codes
    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    weights: tuple[np.ndarray, ...]  # [F, H] ([F + H, H] with a unit), [H, H], [H, C]
    biases: tuple[np.ndarray, ...]
    start: np.ndarray  # [C] share of the training visits that hold what the intent asks for
    unit: Unit | None = None  # that reads the visit's events; its state follows the features in the first layer

    @property
    def names(self) -> list[str]:
        """Name the intents by position."""
        return [intent.name for intent in self.intents]

    def predict(self, features: np.ndarray, events: Events | None = None) -> np.ndarray:
        """Return probabilities of encoded rows, float64 [R, C]; a model with a unit needs the visits' events too."""
        x = (features.astype(np.float64) - self.mean) / self.scale  # [R, F]
        if self.unit is not None:
            assert events is not None
            x = np.concatenate([x, self.unit.last(events, n_kinds=len(self.codes.kinds) + 1)], axis=1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            x = x @ weight + bias
            x = np.maximum(x, 0) if layer < LAYERS else x
        return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))

    def said(self, memory: Sequence[Remembered], *, now: int) -> Said:
        """Answer from a user's event memory: of the visit that goes on at `now`, or of one that begins."""
        if not memory or now - memory[-1].at > self.codes.quiet_s:
            return Said(0, self.start)
        windows = window(memory, self.codes)
        events = None if self.unit is None else events_of(windows, self.codes)
        return Said(int(visit(windows, self.codes).sum()), self.predict(encode(windows, self.codes), events)[0])

    def save(self, folder: Path) -> None:
        """Write the folder's files."""
        document = {
            "format": FORMAT if self.unit is None else RECURRENT_FORMAT,
            "intents": [intent.model_dump() for intent in self.intents],
            "codes": self.codes.document(),
            "features": list(self.codes.names),
            "start": [float(rate) for rate in self.start],
        }
        files.write_json(folder / FILE, document)
        arrays = {"mean": self.mean, "scale": self.scale} | ({} if self.unit is None else self.unit.arrays())
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"weight_{layer}": weight, f"bias_{layer}": bias}
        np.savez(folder / WEIGHTS, allow_pickle=False, **arrays)
        of = self.codes.category_of
        table = pa.table({"item_id": pa.array(of, pa.string()), "category": pa.array(of.values(), pa.int64())})
        pq.write_table(table, folder / CATEGORIES, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> "SessionScorer":
        """Read what `save` wrote."""
        document = files.read_json(folder / FILE)
        if document.get("format") not in (FORMAT, RECURRENT_FORMAT):
            raise DataError(
                f"{folder / FILE}: format {document.get('format')!r} of a session model, this version reads {FORMAT} "
                f"and {RECURRENT_FORMAT}; run the pipeline again, or serve it with the version that wrote it"
            )
        told, table = document["codes"], pq.read_table(folder / CATEGORIES)
        codes = Codes(
            tuple(told["kinds"]),
            tuple(told["categories"]),
            dict(zip(table["item_id"].to_pylist(), table["category"].to_pylist(), strict=True)),
            by_id=told["by_id"],
            gap_s=told["gap_s"],
            quiet_s=told["quiet_s"],
        )
        if list(codes.names) != document["features"]:
            raise DataError(f"{folder / FILE}: was trained on other features than this version makes; run again")
        with arrays_file.opened(folder / WEIGHTS) as arrays:
            weights, biases = (tuple(arrays[f"{name}_{n}"] for n in range(LAYERS)) for name in ("weight", "bias"))
            return cls(
                intents=tuple(SessionIntent.model_validate(one) for one in document["intents"]),
                codes=codes,
                mean=arrays["mean"],
                scale=arrays["scale"],
                weights=weights,
                biases=biases,
                start=np.asarray(document["start"], dtype=np.float64),
                unit=Unit.read(arrays) if document["format"] == RECURRENT_FORMAT else None,
            )


def held(folder: Path) -> bool:
    """Tell whether a folder holds a session model."""
    return (folder / FILE).is_file()
