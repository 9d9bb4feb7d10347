"""What profiles need of the other parts of a spec, and models of profiles."""

from typing import TYPE_CHECKING

from components.intent.networks import TEXT
from components.intent.spec import EVENTS
from feature_repo import columns
from feature_repo.clock import HOUR

if TYPE_CHECKING:
    from pipelines.spec import Recommender


def events_are_there(spec: "Recommender") -> None:
    """Refuse a model of events, texts or titles where nothing keeps them, and texts that nobody reads."""
    if spec.models.intent.reads == EVENTS and not spec.profiles.rows_hold_events:
        raise ValueError(
            f"profiles.memory: {spec.profiles.memory}, and models.intent.reads: {EVENTS} needs those of training "
            f"rows; use memory: {columns.OF_TRAINING}, or leave it out"
        )
    if spec.profiles.rows_hold_texts and not spec.data.has_text:
        raise ValueError(
            f"profiles.memory: {columns.OF_TEXTS} keeps what users wrote, and the source has no such column; map "
            f"{columns.TEXT} in data.source.events.columns, or use memory: {columns.OF_TRAINING}"
        )
    if spec.data.has_text and not spec.profiles.rows_hold_texts:
        raise ValueError(
            f"data.source.events.columns.{columns.TEXT}: what users wrote is kept for a model that reads it alone; "
            f"use models.intent.architecture: {TEXT} with reads: {EVENTS}, or leave {columns.TEXT} out"
        )
    if spec.models.intent.titles and (spec.vectors is None or spec.vectors.text is None):
        raise ValueError("models.intent.titles: needs vectors of texts; add `vectors: {text: {}}`, or drop titles")


def windows_are_counted(spec: "Recommender") -> None:
    """Refuse windows in hours where time is counted in days: they would be counted as whole days, or as none."""
    hours = [f"{days * 24:.0f}h" for days in spec.profiles.windows_days if days != int(days)]
    if hours and spec.data.step != HOUR:
        raise ValueError(
            f"profiles.windows_days: {hours[0]} is no whole number of days, and data.step is {spec.data.step}, "
            "which counts days; use whole days, or `data.step: hour`"
        )
