"""The choice model on shops whose households are known: what it learns, that it looks at the past alone."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import choice_model, real_users
from benchmarks.choice_model import Baskets
from benchmarks.real_users import Fitted


@pytest.fixture(scope="module")
def shop() -> Fitted:
    return real_users.made()


def test_households_want_what_they_took_before(shop: Fitted) -> None:
    """Three items of twelve at half of the visits, each other one at one in twenty."""
    wanted = shop.chances > 0.25
    assert wanted.sum(axis=1).tolist() == pytest.approx([3] * 20, abs=1)
    assert shop.chances[wanted].mean() == pytest.approx(0.5, abs=0.1)
    assert shop.chances[~wanted].mean() == pytest.approx(0.05, abs=0.03)
    assert shop.judged.auc > 0.75
    assert shop.judged.log_loss < shop.judged.own_rate_log_loss + 0.01


def test_users_of_a_door_like_what_the_model_says_of_them(shop: Fitted) -> None:
    users = shop.users()
    assert users.likes("h3", "p7") == pytest.approx(shop.chances[3, 7])
    assert users.best == pytest.approx(np.sort(shop.chances, axis=1)[:, -real_users.K :].mean())


def baskets(*taken: list[int]) -> Baskets:
    held = np.zeros((len(taken), 3), dtype=bool)
    for visit, items in enumerate(taken):
        held[visit, items] = True
    return Baskets(np.zeros(len(taken), dtype=np.int64), np.arange(1, len(taken) + 1), held, np.asarray([0, 0, 1]))


def test_features_by_hand() -> None:
    share = np.asarray([0.5, 0.1, 0.1])
    pairs, place, now = choice_model.features(baskets([0], [0, 2], []), share=share, since=2)
    assert place.tolist() == [1, 2]
    second = dict(zip(choice_model.NAMES, pairs[0, 0].tolist(), strict=True))
    assert second["own rate"] == pytest.approx(np.log((1 + 5 * 0.5) / (1 + 5)))
    assert second["visits since"] == 0
    assert second["popularity"] == pytest.approx(np.log(0.5))
    assert second["category's rate"] == pytest.approx(np.log((1 + 5 * 0.5) / 6))
    assert second["in the basket before"] == 1
    never = dict(zip(choice_model.NAMES, pairs[0, 1].tolist(), strict=True))
    assert never["visits since"] == pytest.approx(np.log1p(100))
    assert now[0, 2, choice_model.NAMES.index("in the basket before")] == 0  # the last visit took nothing


def test_a_visit_is_told_by_those_before_it_alone() -> None:
    share = np.asarray([0.5, 0.1, 0.1])
    one, other = baskets([0], [1], [2]), baskets([0], [1], [0, 1])
    a, _, _ = choice_model.features(one, share=share, since=1)
    b, _, _ = choice_model.features(replace(one, taken=other.taken), share=share, since=1)
    assert np.array_equal(a, b)
