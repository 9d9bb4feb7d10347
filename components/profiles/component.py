"""Kubeflow shells of the profile steps. Bodies ship alone, so each is one import and one call."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def build_profiles(
    profiles: str, split: str, vocabulary: str, code: str, clean: Input[Dataset], features: Output[Dataset]
) -> None:
    """Compute feature tables, vocabularies and segments.

    Returns:
        features: A row a user and cutoff, states of targets and items, vocabularies, segments with their card.
    """
    from pathlib import Path

    from components.profiles.steps import run_profiles

    run_profiles(profiles, split, vocabulary, clean=Path(clean.path), destination=Path(features.path))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def training_set(
    split: str, ranking: str, code: str, clean: Input[Dataset], features: Input[Dataset], rows: Output[Dataset]
) -> None:
    """Retrieve point-in-time rows with labels through Feast.

    Returns:
        rows: What was known of users at the start of each week, with what then happened; the weeks' split.
    """
    from pathlib import Path

    from components.profiles.steps import run_training_set

    run_training_set(split, ranking, clean=Path(clean.path), profiles=Path(features.path), destination=Path(rows.path))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def twin_rows(
    split: str, code: str, clean: Input[Dataset], rows: Input[Dataset], twin: Input[Model], twin_rows: Output[Dataset]
) -> None:
    """Compute the rows that judge a candidate in the vocabulary of the champion's judged twin.

    Returns:
        twin_rows: The validation and test rows as the twin reads them; or why it cannot be asked about them.
    """
    from pathlib import Path

    from components.profiles.steps import run_twin_rows

    run_twin_rows(
        split,
        clean=Path(clean.path),
        rows=Path(rows.path),
        twin=Path(twin.path),
        destination=Path(twin_rows.path),
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def materialise(name: str, release_version: str, features: Input[Dataset]) -> None:
    """Write the newest user rows into the online store, where there is a release to serve with them."""
    from pathlib import Path

    from components.profiles.steps import run_materialise

    run_materialise(name, profiles=Path(features.path), release_version=release_version)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def newest_rows(
    split: str, now: str, code: str, clean: Input[Dataset], release: Input[Model], rows: Output[Dataset]
) -> None:
    """Compute the newest row of every user, in a release's own vocabulary.

    Returns:
        rows: A row a user as of the time that is asked about, with the rung of the ladder that answers.
    """
    from pathlib import Path

    from components.profiles.steps import run_newest_rows

    run_newest_rows(split, clean=Path(clean.path), release=Path(release.path), now=now, destination=Path(rows.path))
