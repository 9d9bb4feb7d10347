"""The visit's events one by one, for the recurrent session model: what each row reads, and the unit in numpy.

A gated recurrent unit (Cho et al. 2014, in the form of torch.nn.GRU) reads the last events of the visit in order; its
last state stands beside the numbers of encode.py in the network's first layer. torch trains it, the service needs numpy
alone; both give the same numbers to 1e-5 (a test says so).

Letters: R rows, L events of the visit, N numbers of an event, E inputs of the unit, H units, K kinds, G categories.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.intent.sessions.encode import Codes, Windows, visit

MOST_EVENTS = 32  # of a visit that the unit reads, the last ones
NUMBERS = 3  # silence before the event, whether it has an item, whether the visit had that item before
NAMES = ("gru_input", "gru_state", "gru_input_bias", "gru_state_bias")  # arrays of a saved model


@dataclass(frozen=True)
class Events:
    """The events of R visits so far, the oldest first; what lies behind a row's `length` is padding."""

    kind: np.ndarray  # [R, L] int16, 0..K
    category: np.ndarray  # [R, L] int16, 0..G
    numbers: np.ndarray  # [R, L, N] float32
    length: np.ndarray  # [R] int64, 1..L

    def take(self, index: np.ndarray) -> "Events":
        """Return some rows."""
        return Events(self.kind[index], self.category[index], self.numbers[index], self.length[index])

    @staticmethod
    def joined(parts: list["Events"]) -> "Events":
        """Put the rows of several together."""
        names = ("kind", "category", "numbers", "length")
        return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def width(codes: Codes) -> int:
    """Return how many inputs the unit has, E."""
    return len(codes.kinds) + 1 + len(codes.categories) + 1 + NUMBERS


def events_of(windows: Windows, codes: Codes) -> Events:
    """Lay out the events of the visit that each window's newest event is in."""
    mine = visit(windows, codes)  # [R, T]
    mine &= np.cumsum(mine[:, ::-1], axis=1)[:, ::-1] <= MOST_EVENTS
    order = np.argsort(~mine, axis=1, kind="stable")[:, :MOST_EVENTS]  # the visit's events first, in their order
    length = mine.sum(axis=1)
    inside = np.arange(order.shape[1]) < length[:, None]  # [R, L]
    at, item, kind, category = (
        np.where(inside, np.take_along_axis(getattr(windows, name), order, axis=1), 0)
        for name in ("at", "item", "kind", "category")
    )
    silence = np.zeros(at.shape)
    silence[:, 1:] = np.where(inside[:, 1:], np.diff(at, axis=1), 0)
    seen = np.zeros(at.shape, dtype=bool)
    for place in range(1, at.shape[1]):
        seen[:, place] = (item[:, :place] == item[:, place : place + 1]).any(axis=1)
    has = inside & (item > 0)
    numbers = np.stack([np.log1p(silence), has, has & seen], axis=2).astype(np.float32)
    return Events(kind.astype(np.int16), category.astype(np.int16), numbers, length)


@dataclass(frozen=True)
class Unit:
    """The weights of the unit; its gates stand one after another: reset, update, new."""

    inputs: np.ndarray  # [3 H, E]
    state: np.ndarray  # [3 H, H]
    inputs_bias: np.ndarray  # [3 H]
    state_bias: np.ndarray  # [3 H]

    def last(self, events: Events, *, n_kinds: int) -> np.ndarray:
        """Return the state after each row's last event, float64 [R, H]; `n_kinds` is K + 1."""
        H = self.state.shape[1]
        h = np.zeros((len(events.length), H))
        by_kind = self.inputs[:, :n_kinds].T  # [K + 1, 3 H]: an input of ones and zeros picks a column
        by_category = self.inputs[:, n_kinds:-NUMBERS].T
        by_number = self.inputs[:, -NUMBERS:].T
        for place in range(int(events.length.max(initial=0))):
            given = by_kind[events.kind[:, place]] + by_category[events.category[:, place]] + self.inputs_bias
            given = given + events.numbers[:, place].astype(np.float64) @ by_number  # [R, 3 H]
            held = h @ self.state.T + self.state_bias
            reset, update = (_sigmoid(given[:, part] + held[:, part]) for part in (slice(0, H), slice(H, 2 * H)))
            new = np.tanh(given[:, 2 * H :] + reset * held[:, 2 * H :])
            after = (1 - update) * new + update * h
            h = np.where((place < events.length)[:, None], after, h)
        return h

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a file holds."""
        return dict(zip(NAMES, (self.inputs, self.state, self.inputs_bias, self.state_bias), strict=True))

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> "Unit":
        """Read what `arrays` gave."""
        return cls(*(arrays[name] for name in NAMES))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
