"""What `models.intent` of architecture ensemble may say: members, and nothing that these would not share."""

from typing import TYPE_CHECKING, Any

from components.intent.networks import ENSEMBLE
from components.training.spec import DDP

if TYPE_CHECKING:
    from components.intent.spec import IntentModel

OF_ONE_MODEL = ("loss", "calibrate", "privacy", "pretrain", "compress")  # an ensemble has none of these


def require_fits(model: "IntentModel") -> None:
    """Refuse what members would not share, and members without an ensemble; ValueError with one line."""
    fields = type(model).model_fields
    if model.search is not None and ENSEMBLE in _searched(model):
        raise ValueError(
            f"search: not of architecture {ENSEMBLE}; search the settings of a member by itself, and name them here"
        )
    if model.architecture != ENSEMBLE:
        if model.members != fields["members"].default:
            raise ValueError(f"members are of architecture {ENSEMBLE}, not of {model.architecture}; drop members")
        return
    if len(set(model.members)) < len(model.members):
        raise ValueError(f"members: {', '.join(model.members)} has one twice; list each once")
    if model.reads != fields["reads"].default:
        raise ValueError(f"reads: {model.reads}: members of an {ENSEMBLE} read steps; drop reads")
    odd = [name for name in OF_ONE_MODEL if getattr(model, name) != fields[name].default]
    if odd:
        raise ValueError(
            f"{odd[0]}: not of architecture {ENSEMBLE}, whose members share none; drop {odd[0]}, or use one of "
            f"{', '.join(model.members)}"
        )
    if model.trainer.parallel != DDP:
        raise ValueError(
            f"trainer.parallel: {model.trainer.parallel} is of one network, and an {ENSEMBLE} has several models; use "
            f"{DDP}"
        )


def _searched(model: "IntentModel") -> tuple[Any, ...]:
    """Return the architectures that a search tries."""
    tried = () if model.search is None else model.search.space.get("architecture", ())
    return (model.architecture, *(tried if isinstance(tried, tuple) else ()))
