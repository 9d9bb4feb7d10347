"""Segments: planted groups are found, k by silhouette, topics by LDA; the same data gives the same segments."""

import json
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import psi
from sklearn.decomposition import LatentDirichletAllocation

from components.profiles.segments import card, encoder, fit
from components.profiles.spec import Profiles, Segments
from feature_repo.rows import Ragged

NAMES = ["buy:BREAD", "buy:MILK", "buy:BEER", "buy:CHIPS", "buy:SOAP", "buy:PAPER", "visit"]
GROUPS = [[0, 1], [2, 3], [4, 5]]  # targets that each planted group fulfils


def planted(users: int = 150, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [B, C] of users who do what their group does, in unlike amounts, and the groups; all visit."""
    rng = np.random.default_rng(seed)
    truth = np.arange(users) % len(GROUPS)
    mix = rng.gamma(0.3, 0.5, (users, len(NAMES)))
    for user, group in enumerate(truth):
        mix[user, GROUPS[group]] += rng.uniform(5, 60) * rng.dirichlet([8, 8])
    mix[:, -1] = rng.uniform(10, 50, users)
    order = np.lexsort(mix.T)
    return mix[order], truth[order]


def agree(found: np.ndarray, truth: np.ndarray) -> bool:
    """Tell whether two groupings are the same up to the groups' numbers."""
    pairs = {*zip(found.tolist(), truth.tolist(), strict=True)}
    return len(pairs) == len({b for _, b in pairs}) == len({a for a, _ in pairs})


@pytest.mark.parametrize("method", ["kmeans", "lda"])
def test_planted_groups_are_found_and_named_by_what_they_do_more(method: str) -> None:
    mix, truth = planted()
    found = fit.fit(mix, NAMES, Segments(method=method, k=3))
    assert agree(found.assign(mix), truth)
    assert found.sizes == (50, 50, 50)
    assert {frozenset(name.split(", ")[:2]) for name in found.names} == {
        frozenset({"bread", "milk"}),
        frozenset({"beer", "chips"}),
        frozenset({"soap", "paper"}),
    }


@pytest.mark.parametrize("method", ["kmeans", "lda"])
def test_the_silhouette_finds_how_many_groups_were_planted(method: str) -> None:
    mix, truth = planted()
    found = fit.fit(mix, NAMES, Segments(method=method, k="auto"))
    assert len(found) == 3
    assert max(found.silhouette, key=lambda k: found.silhouette[k]) == 3
    assert agree(found.assign(mix), truth)


def test_users_of_two_topics_are_half_of_each() -> None:
    mix, _ = planted()
    found = fit.fit(mix, NAMES, Segments(method="lda", k=3))
    both = np.zeros((1, len(NAMES)))
    both[0, [0, 1, 2, 3]] = 10.0
    parts = np.sort(fit.topics(both, found.table)[0])
    np.testing.assert_allclose(parts, [0.0, 0.5, 0.5], atol=0.03)


def test_mixtures_are_those_of_scikit_learn() -> None:
    mix = planted()[0][:, :-1]
    model = LatentDirichletAllocation(3, max_iter=10, random_state=0).fit(mix)
    counts = model.components_
    table = np.exp(psi(counts) - psi(counts.sum(1, keepdims=True)))
    np.testing.assert_allclose(fit.topics(mix, table), model.transform(mix), atol=0.01)


@pytest.mark.parametrize("method", ["kmeans", "lda"])
def test_the_same_data_gives_the_same_segments_and_json_keeps_them(method: str) -> None:
    mix, _ = planted()
    first, second = (fit.fit(mix, NAMES, Segments(method=method, k=3)) for _ in range(2))
    again = fit.Segmentation.from_dict(first.as_dict())
    assert first.digest == second.digest == again.digest
    np.testing.assert_array_equal(first.assign(mix), again.assign(mix))
    assert (again.names, again.sizes) == (first.names, first.sizes)


def test_other_segments_have_another_digest() -> None:
    mix, _ = planted()
    digests = {fit.fit(mix, NAMES, Segments(method=m, k=k)).digest for m in ("kmeans", "lda") for k in (2, 3)}
    assert len(digests) == 4


def test_how_much_someone_does_is_no_matter_to_kmeans_and_neither_are_visits() -> None:
    mix, _ = planted()
    found = fit.fit(mix, NAMES, Segments(k=3))
    more = mix * np.linspace(1, 30, len(mix))[:, None]
    more[:, -1] = 1000.0
    np.testing.assert_array_equal(found.assign(more), found.assign(mix))


def test_fewer_kinds_of_users_than_segments_gives_a_segment_a_kind() -> None:
    mix = np.repeat(np.eye(2, len(NAMES)), 10, axis=0)
    assert fit.fit(mix, NAMES, Segments(k=8)).sizes == (10, 10)
    assert fit.fit(mix, NAMES, Segments(k="auto")).sizes == (10, 10)


def test_one_user_and_users_who_did_nothing_have_a_segment_too() -> None:
    alone = fit.fit(np.eye(1, len(NAMES)), NAMES, Segments(k=8))
    assert alone.sizes == (1,)
    assert alone.assign(np.zeros((2, len(NAMES)))).tolist() == [0, 0]
    found = fit.fit(planted()[0], NAMES, Segments(method="lda", k=3))
    assert found.assign(np.zeros((1, len(NAMES)))).tolist() == [0]


def test_many_users_are_fitted_on_a_sample_spread_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    mix, truth = planted(600)
    monkeypatch.setattr(fit, "FIT_ROWS", 60)
    found = fit.fit(mix, NAMES, Segments(k=3))
    assert sum(found.sizes) == 60
    assert agree(found.assign(mix), truth)


def test_targets_without_a_level_are_all_there_is_where_nothing_has_one() -> None:
    assert fit.fit(np.array([[1.0], [2.0]]), ["visit"], Segments(k=2)).sizes == (2,)


@pytest.mark.parametrize("k", [1, 65, "many", 2.5])
def test_a_number_of_segments_out_of_bounds_is_refused(k: object) -> None:
    with pytest.raises(ValidationError, match="is wrong; use a number from 2 to 64, or auto"):
        Segments.model_validate({"k": k})


def test_a_row_is_used_three_ttls_long_unless_the_spec_says_otherwise() -> None:
    assert Profiles(ttl_days=30).used_days == 90
    assert Profiles(ttl_days=30, stale_days=40).used_days == 40
    with pytest.raises(ValidationError, match="stale_days: 20 is below ttl_days 30; give it or more"):
        Profiles(ttl_days=30, stale_days=20)


STEPS = 8


def in_turn(users: int = 120, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, sequences and groups of users who do the same two things, some in turn and some in blocks."""
    rng = np.random.default_rng(seed)
    truth = np.arange(users) % 2
    sequence = np.zeros((users, STEPS, len(NAMES)), np.uint8)
    for user, group in enumerate(truth):
        for step in range(STEPS):
            first = step % 2 == 0 if group == 0 else step < STEPS // 2
            sequence[user, step, 0 if first else 1] = 1
    sequence[:, :, -1] = rng.random((users, STEPS)) < 0.5  # visits are no target of a level
    order = encoder.ordered(sequence)
    return sequence.sum(axis=1).astype(float)[order], sequence[order], truth[order]


def test_an_encoder_tells_apart_who_does_the_same_in_another_order() -> None:
    mix, sequence, truth = in_turn()
    assert len(np.unique(mix[:, :-1], axis=0)) == 1  # no mix tells them apart
    found = fit.fit(mix, NAMES, Segments(method="encoder", k=2), sequence)
    assert agree(found.assign(mix, sequence), truth)
    assert found.sizes == (60, 60)
    visits = sequence.copy()
    visits[:, :, -1] = 1
    np.testing.assert_array_equal(found.assign(mix, visits), found.assign(mix, sequence))


def test_the_same_sequences_give_the_same_segments_and_json_keeps_them() -> None:
    mix, sequence, _ = in_turn()
    first, second = (fit.fit(mix, NAMES, Segments(method="encoder", k=2), sequence) for _ in range(2))
    again = fit.Segmentation.from_dict(json.loads(json.dumps(first.as_dict())))
    assert first.digest == second.digest == again.digest
    np.testing.assert_array_equal(first.assign(mix, sequence), again.assign(mix, sequence))
    other = fit.fit(mix, NAMES, Segments(method="encoder", k=2), np.roll(sequence, 1, axis=1))
    assert other.digest != first.digest


def test_somebody_without_an_event_has_a_segment_of_the_encoder() -> None:
    mix, sequence, _ = in_turn()
    found = fit.fit(mix, NAMES, Segments(method="encoder", k=2), sequence)
    nobody = np.zeros((1, len(NAMES)))
    assert found.assign(nobody).tolist() == found.assign(nobody, np.zeros((1, STEPS, len(NAMES)), np.uint8)).tolist()


def test_what_an_encoder_reads_ends_before_the_upcoming_step() -> None:
    targets, weeks = (Ragged(np.asarray(values), np.asarray([0, 3])) for values in ([0, 1, 2], [9, 10, 11]))
    found = encoder.sequences(np.asarray([10]), targets, weeks, n_targets=3, steps=4)
    assert found.sum() == 1  # step 9 alone: 10 is upcoming, 11 lies after it
    assert found[0, -1].tolist() == [1, 0, 0]


def test_the_card_has_words_for_every_method() -> None:
    assert set(card.HOW) == set(get_args(Segments.model_fields["method"].annotation))
