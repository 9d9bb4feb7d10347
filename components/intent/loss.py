"""The loss that a network is fitted by: binary cross-entropy, with weights of positives and focus by option.

L(w) = -(1/N) sum [y log M(x) + (1 - y) log(1 - M(x))] over all N pairs of a row and a target. `positives` weighs its
first term; `focal` multiplies each pair's part by (1 - p) to this power, p being what the model gives to what happened
(Lin et al., 2017), so that pairs that are settled count for less.

Letters: B rows, C targets.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

MOST_BALANCED = 50.0  # that a pair which came true may count


def cross_entropy(
    logits: Tensor, wanted: Tensor, counts: Tensor, *, positives: Tensor | None = None, focal: float = 0.0
) -> Tensor:
    """Return the mean loss of logits [B, C] towards 0 and 1; a pair counts `counts`, [C] or [B, C], times."""
    if positives is None and not focal:
        return binary_cross_entropy_with_logits(logits, wanted, weight=counts)
    loss = binary_cross_entropy_with_logits(logits, wanted, pos_weight=positives, reduction="none")
    if focal:
        missed = torch.sigmoid(torch.where(wanted > 0, -logits, logits))  # [B, C] 1 - p
        loss = loss * missed**focal
    return (loss * counts).mean()


def weights_of_positives(asked: float | str, rate: np.ndarray) -> np.ndarray | None:
    """Return what pairs that came true count, by target, float32 [C]; None: as much as all others.

    `balanced`: as often as makes both kinds of a target's pairs weigh alike, up to a bound.

    >>> weights_of_positives("balanced", np.array([0.5, 0.2, 0.0])).tolist(), weights_of_positives(1.0, np.ones(2))
    ([1.0, 4.0, 50.0], None)
    """
    if asked == "balanced":
        ratio = (1 - rate) / np.maximum(rate, 1e-9)
        return np.asarray(np.clip(ratio, 1 / MOST_BALANCED, MOST_BALANCED), dtype=np.float32)
    return None if float(asked) == 1.0 else np.full(len(rate), float(asked), dtype=np.float32)
