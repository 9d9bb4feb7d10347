"""A world in which two kinds of users need two algorithms, and the predicted intent tells the kinds apart.

Even users have the same favourite every week: how often they had an item says all. Odd users walk along the same odd
items, one a week, some weeks behind each other: what they have next is what others had lately, and they themselves not
for long.
"""

from pathlib import Path

import numpy as np

from components.ranking.choose_spec import Choose
from components.ranking.spec import Candidates, Ranking
from tests.ranking import board
from tests.ranking.board import ITEMS, USERS, WEEKS, Happened

FAVOURITES, BEHIND = 1, 4
FASHION = np.arange(1, ITEMS, 2)  # odd items; the even ones are favourites
AMONG = ("frequency", "popular", "tifu", "network")
SPEC = Ranking(
    candidates=Candidates.model_validate({"history": 15, "neighbours": 5, "popular": 15}),
    algorithm="frequency",
    choose=Choose(among=AMONG, least_users=10, shrink=2),
    train_weeks=2,
    width=8,
    epochs=1,
    batch_size=16,
)


def happened(seed: int = 0) -> dict[str, Happened]:
    """Let both kinds of users do what they do, every week."""
    rng = np.random.default_rng(seed)
    world: dict[str, Happened] = {}
    for user in range(USERS):
        mine = rng.choice(np.arange(0, ITEMS, 2), FAVOURITES, replace=False)
        world[f"u{user:02}"] = {
            week: sorted(map(int, mine))
            if user % 2 == 0
            else [int(FASHION[(week - user // 2 % BEHIND) % len(FASHION)])]
            for week in range(1, WEEKS + 1)
        }
    return world


def _next(user: int, week: int) -> list[int]:
    return [int(FASHION[(week - user // 2 % BEHIND) % len(FASHION)])]


def write(folder: Path) -> tuple[Path, Path]:
    """Write the world's `rows` and `intent` folders."""
    return board.write(folder, happened())
