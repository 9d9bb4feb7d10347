"""The page of the losses and figures by epoch, stage by stage; of an ensemble each member has charts of its own."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from components import curves as pages
from feature_repo import files

STAGES = {
    "early": "early network, scores for the ranker",
    "full": "the model that is kept",
    "pruned": "the smaller model, after pruning",
}  # on the page of the losses
CURVES = {
    "map": ("mAP", False),
    "macro_auroc": ("macro AUROC", False),
    "micro_f1": ("micro F1", False),
    "ece": ("calibration error", True),
}  # figures of epochs on that page, and whether lower is better


def write(training: Path, page: str) -> None:
    """Write the page of what a file of training says: of the network that scores out of time, and of the one kept.

    '' for `page` writes none.
    """
    if not page:
        return
    epochs = files.read_json(training)["epochs"]
    members = dict.fromkeys(epoch["stage"].partition(".")[2] for epoch in epochs)  # of an ensemble; of one model ''
    charts = [
        chart
        for member in members
        for chart in _charts([epoch for epoch in epochs if epoch["stage"].partition(".")[2] == member], member)
    ]
    pages.write(Path(page), "Training of the intent model", charts)


def _charts(epochs: Sequence[Mapping[str, Any]], member: str) -> list[pages.Chart]:
    """Return the charts of one model: its losses, and the figures where its epochs have them."""
    of = f"{member}: " if member else ""
    stages = list(dict.fromkeys(epoch["stage"] for epoch in epochs))

    def series(value: Callable[[Mapping[str, Any]], float]) -> dict[str, list[float]]:
        named = {stage: STAGES.get(stage.partition(".")[0], stage) for stage in stages}
        return {named[stage]: [value(epoch) for epoch in epochs if epoch["stage"] == stage] for stage in stages}

    charts = [
        pages.Chart(f"{of}{title} loss (binary cross-entropy)", series=series(itemgetter(key)), lower_is_better=True)
        for title, key in (("Training", "train_bce"), ("Validation", "validate_bce"))
    ]
    if all(epoch.get("figures") for epoch in epochs):
        charts += [
            pages.Chart(
                f"{of}Validation {title}",
                series=series(lambda epoch: epoch["figures"][name] or 0.0),  # noqa: B023
                lower_is_better=lower,
            )
            for name, (title, lower) in CURVES.items()
        ]
    return charts
