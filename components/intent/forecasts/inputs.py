"""What a head reads: the intent network's own encoding of a user row, flat, in numpy alone.

Training and the service call the same function. Beside the numbers of the profile, the segment and the active steps it
has four numbers of each target of the binary intents: how often slowly and lately, how long ago, and whether it was
the user's latest of all. Targets make a forecast of values better: give a binary intent of the same level too.

Letters: B rows, C targets, T steps, S segments, N inputs.
"""

import numpy as np

from components.intent.encode import FREQUENCY, Encoded

SLOW, FAST = FREQUENCY.index("slow_logit"), FREQUENCY.index("fast_logit")
RECENCY, BOUGHT, DAYS = (FREQUENCY.index(name) for name in ("recency", "bought", "days_since"))


def flat(encoded: Encoded, *, segments: int) -> np.ndarray:
    """Return the inputs of rows, float32 [B, N]; a segment past those of training is as none."""
    B = len(encoded)
    segment = np.where(encoded.segment > segments, 0, encoded.segment)  # [B]; 0 of an unknown user
    one_hot = np.zeros((B, segments + 1), dtype=np.float32)
    one_hot[np.arange(B), segment] = 1
    numbers = encoded.frequency.astype(np.float32)  # [B, C, F]
    bought = numbers[:, :, BOUGHT] > 0
    days = np.where(bought, numbers[:, :, DAYS], np.inf)  # [B, C]
    latest = bought & (days <= days.min(axis=1, keepdims=True))
    return np.concatenate(
        [
            encoded.profile.astype(np.float32),
            one_hot,
            encoded.active.reshape(B, -1).astype(np.float32),
            numbers[:, :, SLOW],
            numbers[:, :, FAST],
            numbers[:, :, RECENCY],
            latest.astype(np.float32),
        ],
        axis=1,
    )
