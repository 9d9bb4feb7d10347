"""How the door explores: the greedy list that rules made in, the list that is shown and its record for the log out.

The policy and its guard rails are components/policy's; here is what they ask of the door: candidates and bounds of a
list, the user's day, the seed of a request, the codes of items. A release whose policy is greedy has none of this.

Letters: I items, M candidates.
"""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from bentos.recommender.ladder import ProfileState
from bentos.recommender.ports import Recommended
from bentos.recommender.rule_lists import RuledList
from bentos.release import Release
from components.policy import draw, guard, policies, record
from components.policy.choice import Ask, Choice, Policy
from components.policy.guard import DayBudget, Rails, Request
from components.policy.policies.slate import Slate
from components.ranking.rules.bounds import bounds_of
from feature_repo import columns
from feature_repo.errors import DataError, nearest
from feature_repo.vocabulary import Vocabulary


class Exploration:
    """Draws lists for one release."""

    def __init__(self, policy: Policy, rails: Rails, *, release_id: str, key: str) -> None:
        self.policy, self.rails = policy, rails
        self._release, self._key = release_id, hashlib.sha256(f"explore {key}".encode()).digest()
        self._budget = None if rails.per_user_day is None else DayBudget(rails.per_user_day)
        self._codes: tuple[Vocabulary | None, np.ndarray] = (None, np.empty((0, 0), np.int64))

    @classmethod
    def of(cls, release: Release, *, segments: Sequence[str], words: Vocabulary, key: str) -> "Exploration | None":
        """Return how a release explores; None where it is greedy. Refuses one whose guard rails would guard nothing."""
        policy = policies.named(release.policy, release.exploration.get("settings"))
        if policy.name == policies.DEFAULT:
            return None
        rails = Rails.of(release.exploration.get("guard", {}))
        for cohort in sorted(rails.cohorts - set(segments)):
            raise DataError(
                f"policy.guard.cohorts: '{cohort}' is no segment of release {release.id}: nobody would be protected; "
                f"have {', '.join(segments) or 'none'}{nearest(cohort, list(segments))}"
            )
        if isinstance(policy, Slate) and not codes_of(words).size:
            raise DataError(
                "policy.name: slate tells items apart by category and brand, and no item has one; map a column to "
                "category or brand, or use softmax"
            )
        return cls(policy, rails, release_id=release.id, key=key)

    def considered(self, k: int) -> int:
        """Return how many items it chooses `k` from."""
        return self.policy.considered(k)

    def explored(self, found: RuledList, request_id: str, *, words: Vocabulary, counts: bool = True) -> RuledList:
        """Return the list that is shown in the place of a greedy one, with its record; `counts`: the user sees it."""
        if not found.chosen:
            return found
        shown = {one.item_index: one for one, _ in found.chosen}
        candidates = self._candidates(found.pool, shown)
        ask = self._ask(found, candidates, words)
        seed = self.seed_of(request_id)
        if self._budget is None:
            made, choice = self._chosen(ask, found, None, seed)
        else:
            user, day = str(found.state.rows.user_id[0]), f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
            with self._budget.lock:
                made, choice = self._chosen(ask, found, self._budget.left(user, day, ask.k), seed)
                if counts:
                    self._budget.saw(user, choice.order, ask.greedy)
        items = [candidates[position] for position in choice.order.tolist()]
        names = [words.item_ids[one.item_index] for one in candidates]
        told = record.record(self.policy, made, choice, seed=seed, items=names)
        pairs = list(zip(items, choice.propensities.tolist(), strict=True))
        return dataclasses.replace(found, chosen=pairs, asked=found.asked | {record.CHOICE: told})

    def seed_of(self, request_id: str) -> int:
        """Return a request's seed: always the same, and not for callers, who choose ids, to choose."""
        text = f"{self._release} {request_id}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._key).digest())

    def _chosen(self, ask: Ask, found: RuledList, left: int | None, seed: int) -> tuple[guard.Railed, Choice]:
        about = Request(_modelled(found.state), found.placement, found.state.profile.segment, left)
        made = guard.railed(self.policy, ask, self.rails, about, seed)
        return made, draw.choose(self.policy, made.ask, seed, share=made.share, chances=made.chances)

    def _candidates(self, pool: Sequence[Recommended], shown: dict[int, Recommended]) -> list[Recommended]:
        """Return the best of the pool and whatever the greedy list shows besides, in the pool's order."""
        first = {one.item_index for one in pool[: self.policy.considered(len(shown))]}
        return [shown.get(one.item_index, one) for one in pool if one.item_index in first or one.item_index in shown]

    def _ask(self, found: RuledList, candidates: Sequence[Recommended], words: Vocabulary) -> Ask:
        """Return the question; a candidate has the score of its rank: rules and diversity move items by places."""
        items = [one.item_index for one in candidates]
        place = {item: position for position, item in enumerate(items)}
        greedy = [one.item_index for one, _ in found.chosen]
        return Ask(
            scores=record.rounded(-np.sort([-float(one.score) for one in candidates])),
            greedy=tuple(place[item] for item in greedy),
            codes=self._coded(words)[items] if isinstance(self.policy, Slate) else np.empty((0, 0), np.int64),
            bounds=bounds_of(found.held, found.about, items, greedy),
        )

    def _coded(self, words: Vocabulary) -> np.ndarray:
        if self._codes[0] is not words:
            self._codes = (words, codes_of(words))
        return self._codes[1]


def codes_of(words: Vocabulary) -> np.ndarray:
    """Return items' categories and brands as numbers, [I, C], -1 unknown; [0, 0] where no item has any."""
    found = []
    for name in (columns.CATEGORY_PATH, columns.CATEGORY, columns.BRAND):
        if name not in words.items.column_names:
            continue
        column = words.items[name].combine_chunks()
        code = pa.compute.fill_null(column.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
        if (code >= 0).any():
            found.append(code.astype(np.int64))
    return np.column_stack(found) if found else np.empty((0, 0), np.int64)


def _modelled(state: ProfileState) -> bool:
    return bool(state.modelled)
