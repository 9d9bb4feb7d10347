"""What training of architecture text begins with: the encoder's first weights, and what turns rows into tokens."""

from dataclasses import dataclass, replace
from typing import Any

from components.intent.behaviour import sources
from components.intent.behaviour.onnx_graph import require_fits
from components.intent.behaviour.reader import Reader
from components.intent.behaviour.sources import Source
from components.intent.behaviour.spec import Text
from components.intent.behaviour.template import EVENTS, ITEMS, WRITTEN, require
from components.intent.examples import Examples
from components.intent.networks import TEXT
from components.intent.spec import IntentModel
from feature_repo import columns
from feature_repo.errors import DataError

MOST_UNKNOWN = 0.5  # of the words of items' names


@dataclass(frozen=True)
class Material:
    """An encoder that was found, and its reader over the vocabulary at hand."""

    source: Source
    reader: Reader
    reads: str  # what of a row is told

    def shape(self, text: Text) -> dict[str, Any]:
        """Return what a model's shape holds of its encoder."""
        return self.source.shape(text, self.reads)

    def first(self) -> dict[str, Any]:
        """Return what an untrained network takes of it."""
        return {"base": self.source.state(), "tokenizer": self.source.tokenizer}


def prepared(examples: Examples, spec: IntentModel) -> Examples:
    """Return examples with what their texts are read by; as they are where the architecture reads none."""
    if spec.architecture != TEXT or examples.material is not None:
        return examples
    reads = (
        (WRITTEN if columns.EVENT_TEXT_LISTS[0] in examples.rows.lists else EVENTS) if spec.reads == EVENTS else ITEMS
    )
    require(examples.rows, reads)
    source = sources.opened(spec.text, sources.base())
    if spec.compress is not None:
        require_fits(source.shape(spec.text, reads))
    reader = Reader.of(source.shape(spec.text, reads), source.tokenizer, examples.vocabulary)
    if (share := reader.unknown()) > MOST_UNKNOWN:
        raise DataError(
            f"models.intent.text.weights: the encoder does not know {share:.0%} of the words in the items' names, so "
            "their texts would all be alike; name one of their language"
        )
    return replace(examples, material=Material(source, reader, reads))
