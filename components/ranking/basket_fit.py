"""Learn with torch how likely a user has each item of their history again; sources/basket.py serves it.

Two forms read the same calendar signals (item_signals.py), each item's and the user's own, which is the largest of the
items'. `set` is the set encoder of CASE (arXiv 2604.06718): temporal convolutions of several widths that all items
share, then induced set attention over the items (Lee et al., 2019). `kernels` weighs the steps of a signal by age, by
kernels that all items share and weights that each item has of its own, after TAIW (RecSys 2023). Both are fitted by
binary cross-entropy to the steps before the last, as known before each, and the last step decides which is kept.

Letters: S sets (a user at a step), E items of a set, H steps of a signal, D width, K kernels, P induced points,
I items, N history entries, C steps to learn from.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from components.ranking import metrics
from components.ranking.item_signals import NUMBERS, of_rows, read
from components.ranking.past import Past
from components.ranking.torch_fit import seeded

SET, KERNEL = "set", "kernels"
FORMS = (SET, KERNEL)
HORIZON = 52  # steps of a signal
WIDTH, POINTS, CHANNELS, POOLS, KERNELS = 32, 8, 8, 4, 8
TAPS = (3, 5, 9)  # of the convolutions, in steps
MOST_ITEMS, MOST_SETS = 80, 12_000  # of a set, and of all steps together, when learning: bounds memory
EPOCHS = {SET: 2, KERNEL: 6}
LEAST_BATCHES = 40  # where few sets make few batches, epochs are more
BATCH, LEARNING_RATE, DECAY, ITEM_DECAY = 32, 3e-3, 1e-2, 1e-1


@dataclass(frozen=True)
class Sets:
    """Users at a step, flat: what was known before it of items that they had, and which they had in it."""

    item: np.ndarray  # [N] int64
    signal: np.ndarray  # [N, H] float32
    number: np.ndarray  # [N, NUMBERS] float32
    label: np.ndarray  # [N] float32, 0..1
    offsets: np.ndarray  # [S + 1]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batch(self, sets: np.ndarray) -> "Batch":
        """Pad some sets to the longest of them."""
        starts, counts = self.offsets[sets], np.diff(self.offsets)[sets]
        place = np.arange(int(counts.max()))
        there = place < counts[:, None]
        at = np.where(there, starts[:, None] + place, starts[:, None])
        signal = self.signal[at] * there[..., None]
        arrays = (self.item[at], signal, self.number[at], there, self.label[at])
        return Batch(*(torch.from_numpy(array) for array in arrays))


@dataclass(frozen=True)
class Batch:
    """Some sets, padded."""

    item: torch.Tensor  # [S, E] int64
    signal: torch.Tensor  # [S, E, H]
    number: torch.Tensor  # [S, E, NUMBERS]
    there: torch.Tensor  # [S, E] bool
    label: torch.Tensor  # [S, E]


Told = tuple[float, float]  # NDCG@10 on the hold-out, and the negated cross-entropy, which decides between equals
OF_ITEMS = ("items.weight", "chance.weight")


class Net(nn.Module):
    """What both forms share: an item's own chance."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.chance = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.chance.weight)


class SetNet(Net):
    """Sets to logits, by convolutions over time and attention over items."""

    def __init__(self, n_items: int) -> None:
        super().__init__(n_items)
        self.own = nn.ModuleList([nn.Conv1d(1, CHANNELS, taps, padding=taps // 2) for taps in TAPS])
        self.user = nn.ModuleList([nn.Conv1d(1, CHANNELS, taps, padding=taps // 2, bias=False) for taps in TAPS])
        ages = torch.arange(1.0, HORIZON + 1)
        self.pools = nn.Parameter(torch.stack([decay**ages for decay in (0.5, 0.8, 0.96, 1.0)], dim=1) / HORIZON**0.5)
        self.direct = nn.Linear(HORIZON, WIDTH)
        self.mixed = nn.Linear(len(TAPS) * CHANNELS * POOLS + NUMBERS, WIDTH)
        self.items = nn.Embedding(n_items, WIDTH)
        nn.init.zeros_(self.items.weight)
        self.points = nn.Parameter(torch.randn(POINTS, WIDTH) * 0.2)
        self.gather, self.give = Attention(), Attention()
        self.out = nn.Linear(2 * WIDTH, 1)

    def forward(
        self, item: torch.Tensor, signal: torch.Tensor, number: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """Return logits [S, E]; what is not there has no say."""
        S, E, H = signal.shape
        user = signal.amax(dim=1, keepdim=True)  # [S, 1, H]
        parts = []
        for own, of_user in zip(self.own, self.user, strict=True):
            seen = own(signal.reshape(S * E, 1, H)).reshape(S, E, CHANNELS, H) + of_user(user)[:, None]
            parts.append(torch.relu(seen) @ self.pools)  # [S, E, channels, pools]
        pooled = torch.cat([part.flatten(2) for part in parts] + [number], dim=2)
        x = torch.relu(self.mixed(pooled) + self.direct(signal) + self.items(item))  # [S, E, D]
        points = self.gather(self.points.expand(S, -1, -1), x, there)  # [S, P, D]
        among = self.give(x, points, None)
        logit: torch.Tensor = self.out(torch.cat([x, among], dim=2)) + self.chance(item)
        return logit.squeeze(2)


class Attention(nn.Module):
    """One multihead attention block of one head, of a set transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.after = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm, self.norm_after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, q: torch.Tensor, x: torch.Tensor, there: torch.Tensor | None) -> torch.Tensor:
        """Let each of q [S, Q, D] look at x [S, E, D]."""
        fit = self.query(q) @ self.key(x).transpose(1, 2) / WIDTH**0.5  # [S, Q, E]
        if there is not None:
            fit = fit.masked_fill(~there[:, None], -1e9)
        h = self.norm(q + fit.softmax(dim=-1) @ self.value(x))
        found: torch.Tensor = self.norm_after(h + torch.relu(self.after(h)))
        return found


class KernelNet(Net):
    """Sets to logits, by weights of a signal's steps: kernels of age, which each item mixes in its own way."""

    def __init__(self, n_items: int) -> None:
        super().__init__(n_items)
        half = KERNELS // 2
        self.rates = nn.Parameter(torch.log(torch.tensor([0.7, 0.25, 0.08, 0.02])))
        self.centres = nn.Parameter(torch.log(torch.tensor([2.0, 4.0, 8.0, 16.0])))
        self.widths = nn.Parameter(torch.full((half,), -1.0))
        self.weights = nn.Linear(2 * KERNELS + NUMBERS, 1)
        self.items = nn.Embedding(n_items, KERNELS)
        nn.init.zeros_(self.items.weight)

    def kernels(self) -> torch.Tensor:
        """Return what a step counts by its age, [H, K]: decays, and bumps at an age."""
        ages = torch.arange(1.0, HORIZON + 1)[:, None]
        decays = torch.exp(-ages * self.rates.exp())
        bumps = torch.exp(-(((ages.log() - self.centres) / self.widths.exp()) ** 2))
        return torch.cat([decays, bumps], dim=1)

    def forward(
        self, item: torch.Tensor, signal: torch.Tensor, number: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """Return logits [S, E]."""
        kernels = self.kernels()
        mine = torch.log1p(signal @ kernels)  # [S, E, K]
        users = torch.log1p(signal.amax(dim=1, keepdim=True) @ kernels).expand_as(mine)
        shared = self.weights(torch.cat([mine, users, number], dim=2)).squeeze(2)
        found: torch.Tensor = shared + (mine * self.items(item)).sum(dim=2) + self.chance(item).squeeze(2)
        return found


NETS: dict[str, type[Net]] = {SET: SetNet, KERNEL: KernelNet}


def learn(past: Past, n_items: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Fit both forms to labelled rows of the past, the last step of which chooses one; return its arrays by name.

    `form/NAME` holds one number, the hold-out's NDCG@10 of a form, which is kept where it is the larger; the weights
    have the names that torch gives them; `new` is how likely a user takes each item that they never had, [I], and alone
    where there are no two steps of rows in which something was had again.
    """
    alone = {"new": first_times(past, n_items)}
    steps = np.unique(past.step)
    if len(steps) < 2:
        return alone
    most = -(-MOST_SETS // len(steps))
    parts = {int(step): sets_of(past, int(step), n_items, most=most) for step in steps}
    check = parts[int(steps[-1])]
    early = joined([parts[int(step)] for step in steps[:-1]])
    if not (early.label > 0).any() or not (check.label > 0).any():
        return alone
    made = {form: fit_form(form, early, check, n_items, seed=seed) for form in FORMS}
    told = {form: max(found) for form, (_, found) in made.items()}
    best = max(FORMS, key=lambda form: told[form])
    notes = {f"form/{form}": np.asarray(value[:1], dtype=np.float32) for form, value in told.items()}
    return arrays_of(made[best][0]) | notes | alone


def arrays_of(net: Net) -> dict[str, np.ndarray]:
    """Return what serves a net: its weights by name, and of `kernels` what they weigh each age by."""
    weights = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    return weights | ({"kernels": net.kernels().detach().numpy().copy()} if isinstance(net, KernelNet) else {})


def sets_of(past: Past, step: int, n_items: int, *, most: int = MOST_SETS) -> Sets:
    """Take `most` rows of a step by chance, of each the items that weigh most, and say which were had in it."""
    mine = np.flatnonzero(past.step == step)
    if len(mine) > most:
        mine = np.sort(np.random.default_rng(step).choice(mine, most, replace=False))
    rows, wanted = past.rows.take(mine), past.bought.take(mine)
    known = read(of_rows(rows, past.calendar, HORIZON))
    item = rows.lists["history_items"].values
    owner = np.repeat(np.arange(len(rows)), np.diff(known.offsets))
    label = np.isin(owner * n_items + item, wanted.row_of_value() * n_items + wanted.values)
    order = np.lexsort((np.arange(len(owner)), -rows.lists["history_slow"].values, owner))
    rank = np.arange(len(owner)) - known.offsets[owner]
    kept = np.sort(order[rank < MOST_ITEMS])
    starts = np.flatnonzero(np.diff(owner[kept], prepend=-1))
    return Sets(
        item[kept].astype(np.int64),
        known.signal[kept],
        known.numbers[kept],
        label[kept].astype(np.float32),
        np.append(starts, len(kept)),
    )


def first_times(past: Past, n_items: int) -> np.ndarray:
    """Return in what share of the rows each item was had for the first time, float32 [I]."""
    had = metrics.among(past.bought, past.rows.lists["history_items"], n_items)
    return (np.bincount(past.bought.values[~had], minlength=n_items) / max(len(past.rows), 1)).astype(np.float32)


def joined(parts: list[Sets]) -> Sets:
    """Put sets together."""
    ends = np.cumsum([0, *(len(part.item) for part in parts)])
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    return Sets(
        item=np.concatenate([part.item for part in parts]),
        signal=np.concatenate([part.signal for part in parts]),
        number=np.concatenate([part.number for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        offsets=np.concatenate([*offsets, ends[-1:]]).astype(np.int64),
    )


def fit_form(form: str, early: Sets, check: Sets, n_items: int, *, seed: int = 0) -> tuple[Net, list[Told]]:
    """Fit one form; return it as it was after its best epoch, and what it is worth on `check` after each."""
    with seeded(seed):
        net = NETS[form](n_items)
        many = [value for name, value in net.named_parameters() if name in OF_ITEMS]
        few = [value for name, value in net.named_parameters() if name not in OF_ITEMS]
        groups = [{"params": few, "weight_decay": DECAY}, {"params": many, "weight_decay": ITEM_DECAY}]
        optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
        order = np.random.default_rng(seed)
        told: list[Told] = []
        best: dict[str, torch.Tensor] = {}
        for _ in range(max(EPOCHS[form], LEAST_BATCHES * BATCH // len(early))):
            shuffled = order.permutation(len(early))
            net.train()
            for start in range(0, len(shuffled), BATCH):
                loss, _ = _loss(net, early.batch(shuffled[start : start + BATCH]))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            told.append(judged(net, check))
            if told[-1] > max(told[:-1], default=(-1.0, 0.0)):
                best = {name: value.clone() for name, value in net.state_dict().items()}
        net.load_state_dict(best)
        return net, told


def judged(net: Net, sets: Sets, k: int = 10) -> Told:
    """Return NDCG@k of items that were had again, of sets in which some were, and the negated cross-entropy."""
    net.eval()
    found, losses = [], []
    gain = 1 / np.log2(np.arange(2, k + 2))
    with torch.inference_mode():
        for start in range(0, len(sets), 64):
            batch = sets.batch(np.arange(start, min(start + 64, len(sets))))
            loss, logit = _loss(net, batch)
            losses.append((float(loss), int(batch.there.sum())))
            label = (batch.label.numpy() > 0) & batch.there.numpy()
            best = np.argsort(-logit.masked_fill(~batch.there, -np.inf).numpy(), axis=1, kind="stable")[:, :k]
            hits, wanted = np.take_along_axis(label, best, axis=1), label.sum(axis=1)
            ideal = np.concatenate([[1.0], np.cumsum(gain)])[np.minimum(wanted, k)]
            found.append(((hits * gain[: hits.shape[1]]).sum(axis=1) / ideal)[wanted > 0])
    each, counts = np.asarray(losses).T
    return round(float(np.concatenate(found).mean()), 5), -float(np.average(each, weights=counts))


def _loss(net: Net, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    logit = net(batch.item, batch.signal, batch.number, batch.there)
    return nn.functional.binary_cross_entropy_with_logits(logit[batch.there], batch.label[batch.there]), logit
