"""Segments of the users of a `profiles` folder: fitted on what was known when training ended, and every row's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.profiles.build import plan
from components.profiles.build.feature_files import FeatureFiles
from components.profiles.build.lists import CODE
from components.profiles.segments import encoder, fit
from components.profiles.spec import Profiles
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary


@dataclass(frozen=True)
class SegmentedUsers:
    """The segments, and each user row's."""

    segmentation: fit.Segmentation
    assigned: tuple[np.ndarray, np.ndarray]  # codes of user_targets' rows [R], segments [R]


def segmented(
    output: FeatureFiles, vocabulary: Vocabulary, weeks: plan.Weeks, spec: Profiles, *, fitted: Path | None, steps: int
) -> SegmentedUsers:
    """Fit segments on what was known when training ended, and give every row its own; `steps` are those that rows keep.

    Sequences are read where the method is about them alone: they are as long as the steps.
    """
    targets = len(vocabulary.targets)
    if fitted is None:
        mix = np.concatenate(list(_mixes_at(output, weeks.validate[0], targets)) or [np.empty((0, targets))])
        if not len(mix):
            raise DataError("profiles: no user has an event in the training weeks")
        # Fits start from rows: order them by what they hold, not by a pseudonym that depends on a key.
        order, sequence = np.lexsort(mix.T), None
        if spec.segments.method == fit.ENCODER:
            sequence = np.concatenate(list(_sequences_at(output, weeks.validate[0], targets, steps=steps)))
            order = order[encoder.ordered(sequence[order])]
            sequence = sequence[order]
        found = fit.fit(mix[order], vocabulary.target_names, spec.segments, sequence)
    else:
        found = fit.Segmentation.from_dict(files.read_json(fitted / "segments.json"))
    parts = list(_assigned(output, found, targets))
    codes, assigned = (np.concatenate([part[side] for part in parts] or [np.empty(0, np.int64)]) for side in (0, 1))
    return SegmentedUsers(found, (codes, assigned))


def _assigned(output: FeatureFiles, found: fit.Segmentation, targets: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the codes of rows with their segments, part by part."""
    if found.encoder is None:
        for codes, ids, slow in output.target_mixes():
            yield codes, found.assign(fit.mixes(ids, slow, targets=targets))
        return
    for (codes, ids, slow), recent in zip(output.target_mixes(), output.recent(), strict=True):
        read = encoder.sequences(codes // CODE, *recent, n_targets=targets, steps=found.encoder.steps)
        yield codes, found.assign(fit.mixes(ids, slow, targets=targets), read)


def _sequences_at(output: FeatureFiles, week: int, targets: int, *, steps: int) -> Iterator[np.ndarray]:
    """Yield the sequences [B, T, C] of the rows of one cutoff, in the order of `_mixes_at`."""
    for (codes, _, _), recent in zip(output.target_mixes(), output.recent(), strict=True):
        mine = np.flatnonzero(codes // CODE == week)
        if len(mine):
            lists = (one.take(mine) for one in recent)
            yield encoder.sequences(codes[mine] // CODE, *lists, n_targets=targets, steps=steps)


def _mixes_at(output: FeatureFiles, week: int, targets: int) -> Iterator[np.ndarray]:
    """Yield the target weights [B, C] of the rows of one cutoff."""
    for codes, ids, slow in output.target_mixes():
        mine = np.flatnonzero(codes // CODE == week)
        if len(mine):
            yield fit.mixes(ids.take(mine), slow.take(mine), targets=targets)
