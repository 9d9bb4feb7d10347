"""The spec's `models.ranking.members`: which rankers `ensemble` means, and how much each counts."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from components.ranking.models import BY_NAME, ENSEMBLE, NETWORK, TREES
from feature_repo.errors import nearest

if TYPE_CHECKING:
    from components.ranking.spec import Ranking

LARGEST_WEIGHT = 1000
DEFAULT = {NETWORK: 1.0, TREES: 1.0}
MAY_BE = [name for name in BY_NAME if name != ENSEMBLE]


def _weighed(said: Any) -> Any:
    """Return members by name with their weights; a list's have the weight 1 each."""
    if not isinstance(said, list | tuple):
        return _checked(said)
    if twice := sorted({str(name) for name in said if said.count(name) > 1}):
        raise ValueError(f"{twice[0]} stands there twice; name each once")
    return _checked({str(name): 1.0 for name in said})


def _checked(said: Any) -> Any:
    """Refuse members that are no rankers; what else is wrong is told by the field."""
    if not isinstance(said, dict):
        raise ValueError(f"'{said}' names no members; list two or more, such as [{NETWORK}, {TREES}]")
    for name in said:
        if name == ENSEMBLE:
            raise ValueError(f"an {ENSEMBLE} cannot be a member of itself; have {', '.join(MAY_BE)}")
        if name not in MAY_BE:
            raise ValueError(f"'{name}' is no ranker; have {', '.join(MAY_BE)}{nearest(str(name), MAY_BE)}")
    if len(said) < 2:
        alone = f", or say algorithm: {next(iter(said))}" if said else ""
        raise ValueError(f"{len(said)} is too few to be meant; name two or more{alone}")
    return said


Members = Annotated[
    dict[str, Annotated[float, Field(gt=0, le=LARGEST_WEIGHT)]],
    BeforeValidator(_weighed, json_schema_input_type=list[str] | dict[str, float]),
]


def require_asked(ranking: "Ranking") -> None:
    """Refuse members where nothing asks for an ensemble; ValueError."""
    asked = (ranking.algorithm, *(ranking.choose.among if ranking.choose is not None else ()))
    if ranking.members != DEFAULT and ENSEMBLE not in asked:
        raise ValueError(f"members: of algorithm {ENSEMBLE}, not of {ranking.algorithm}; drop members")
