"""Who is who in the logs that the loop reads, while the pseudonyms' key is being changed."""

from typing import TYPE_CHECKING

from pipelines.environment import Installation

if TYPE_CHECKING:
    from feature_repo.privacy.new_names import NewNames


def names_of(place: Installation) -> "NewNames":
    """Return people's new names by their old ones; none but while the environment names a previous key."""
    from components.data import new_names

    return new_names.known(place.spec.data, place.spec_path.absolute().parent, place.variables)
