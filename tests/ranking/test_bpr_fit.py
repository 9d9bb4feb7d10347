"""Pairwise ranking where there is nothing to learn, and what it takes for a negative."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.ranking import bpr_fit

ITEMS = 20


def _liked(histories: list[np.ndarray], n_items: int) -> sp.csr_matrix:
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    ones = np.ones(offsets[-1], np.float32)
    return sp.csr_matrix((ones, np.concatenate(histories), offsets), (len(histories), n_items))


def test_where_all_items_are_alike_what_pads_short_histories_does_not_stand_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each item is in as many histories; the first of all pads the short ones, and is a negative to them too."""
    monkeypatch.setattr(bpr_fit, "BATCH", 12)  # more steps of the same few users
    random = np.random.default_rng(3)
    cuts = [np.split(random.permutation(ITEMS), [2, 4, 6]) for _ in range(24)]
    histories = [np.sort(history) for cut in cuts for history in cut]
    bias = bpr_fit.learn(_liked(histories, ITEMS))["bias"]
    padding = histories[0][0]
    assert bias[padding] - np.delete(bias, padding).mean() < 0.25, bias


def test_what_a_user_had_is_told_from_padding_however_long_a_history_is() -> None:
    pairs = bpr_fit._pairs(_liked([np.arange(590), np.array([3, 7])], 600))
    asked = np.array([[0, 589, 590], [600, 603, 607]])
    assert bpr_fit._among(pairs, asked).tolist() == [[True, True, False], [False, True, True]]
