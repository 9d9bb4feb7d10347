"""The facts that a text about an item may rest on, brought together for components/content.

The catalogue's row comes from the vocabulary that the release carries, reasons and source from the ranker, intents
from the request's ProfileState. On a rung without models a text names no intents of the user: there are none.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bentos.endpoints import schemas
from bentos.recommender.ladder import ProfileState
from bentos.recommender.ports import Recommended
from components.content import frames, writers
from components.content.facts import Facts, Language
from components.content.frames import FrameName
from components.content.plain import plain
from components.content.spec import Content
from components.ranking.sources import PHRASES
from feature_repo.clock import WEEK, Step
from feature_repo.vocabulary import Vocabulary

log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class Draft:
    """What a model may rewrite a text from."""

    facts: Facts
    language: Language
    person: str  # the pseudonym of who is written to


class Texts:
    """Writes about the items of one release."""

    def __init__(
        self, vocabulary: Vocabulary, titles: Sequence[str], spec: Content, *, verb: str, step: Step = WEEK
    ) -> None:
        self._vocabulary, self._titles, self._spec, self._verb = vocabulary, titles, spec, verb
        self._step = step
        if unknown := sorted(set(spec.frames) - set(vocabulary.target_names)):
            log.warning("content.frames: %s is no intent of this release; its frame is never used", unknown[0])

    def draft(
        self,
        index: int,
        found: Recommended | None,
        state: ProfileState,
        *,
        language: Language = "en",
        frame: FrameName | None = None,
    ) -> Draft:
        """Bring together what is known of one item, which the ranker may have found; `frame` is the caller's own."""
        item_id = self._vocabulary.item_ids[index]
        targets = self._vocabulary.targets_of_item.get(item_id, ()) if state.modelled else ()
        names = self._vocabulary.target_names
        intents = {names[t]: float(state.probabilities[t]) for t in targets}
        row = self._vocabulary.items.slice(index, 1).to_pylist()[0]
        spec = self._spec
        apart = {*spec.knowledge, *([spec.offer] if spec.offer else [])}
        facts = Facts(
            item_id=item_id,
            attributes={name: value for name, value in row.items() if name not in apart},
            source=found.source if found else None,
            reasons=found.reasons if found else {},
            phrases=PHRASES,
            verb=self._verb,
            step=self._step,
            intents=intents,
            knowledge=tuple(
                (plain(row.get("title")), relation, words)
                for column, relation in spec.knowledge.items()
                if (words := plain(row.get(column)))
            ),
            offer=plain(row.get(spec.offer)) if spec.offer else "",
            frame=frame or frames.of_intents(intents, spec.frames),
            frame_asked=frame is not None,
        )
        return Draft(facts, language, str(state.rows.user_id[0]))

    def describe(self, index: int, draft: Draft) -> schemas.Description:
        """Write about one item in fixed sentences."""
        writer = writers.of(self._spec.prompt, draft.language)
        text = writer.write(draft.facts, max_attributes=self._spec.max_attributes)
        return schemas.Description(
            item_id=draft.facts.item_id,
            title=plain(self._titles[index]),
            text=text.text,
            source=text.source,
            attributes=list(text.used),
        )
