"""The facts that a text about an item may rest on, brought together for components/content.

The catalogue's row comes from the vocabulary that the release carries, reasons and source from the ranker, intents
from the request's ProfileState. On a rung without models a text names no intents of the user: there are none.
"""

from collections.abc import Sequence

from bentos.endpoints import schemas
from bentos.recommender.ladder import ProfileState
from bentos.recommender.ports import Recommended
from components.content import writers
from components.content.facts import Facts
from components.content.plain import plain
from components.content.spec import Content
from components.ranking.sources import PHRASES
from feature_repo.clock import WEEK, Step
from feature_repo.vocabulary import Vocabulary


class Texts:
    """Writes about the items of one release."""

    def __init__(
        self, vocabulary: Vocabulary, titles: Sequence[str], spec: Content, *, verb: str, step: Step = WEEK
    ) -> None:
        self._vocabulary, self._titles, self._spec, self._verb = vocabulary, titles, spec, verb
        self._step = step
        self._writer = writers.named(spec.prompt)

    def describe(self, index: int, found: Recommended | None, state: ProfileState) -> schemas.Description:
        """Write about one item, which the ranker may have found."""
        item_id = self._vocabulary.item_ids[index]
        targets = self._vocabulary.targets_of_item.get(item_id, ()) if state.modelled else ()
        names = self._vocabulary.target_names
        facts = Facts(
            item_id=item_id,
            attributes=self._vocabulary.items.slice(index, 1).to_pylist()[0],
            source=found.source if found else None,
            reasons=found.reasons if found else {},
            phrases=PHRASES,
            verb=self._verb,
            step=self._step,
            intents={names[t]: float(state.probabilities[t]) for t in targets},
        )
        text = self._writer.write(facts, max_attributes=self._spec.max_attributes)
        return schemas.Description(
            item_id=item_id,
            title=plain(self._titles[index]),
            text=text.text,
            source=text.source,
            attributes=list(text.used),
        )
