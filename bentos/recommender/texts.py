"""The facts that a text about an item may rest on, brought together for components/content.

The catalogue's row comes from the vocabulary that the release carries, reasons and source from the ranker, intents
from the request's ProfileState. On a rung without models a text names no intents of the user: there are none.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bentos.endpoints import schemas
from bentos.recommender.ladder import ProfileState
from bentos.recommender.ports import Recommended
from components.content import frames, shelves, writers
from components.content.facts import Facts, Language
from components.content.frames import FrameName
from components.content.plain import plain
from components.content.shelves import Shelf
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
        facts = self.facts(
            index,
            source=found.source if found else None,
            reasons=found.reasons if found else {},
            intents={names[t]: float(state.probabilities[t]) for t in targets},
            frame=frame,
        )
        return Draft(facts, language, str(state.rows.user_id[0]))

    def facts(
        self,
        index: int,
        *,
        source: str | None,
        reasons: Mapping[str, float],
        intents: Mapping[str, float],
        frame: FrameName | None = None,
    ) -> Facts:
        """Return all that a text about one item may rest on; `intents` are those that it fulfils."""
        row, spec = self._vocabulary.items.slice(index, 1).to_pylist()[0], self._spec
        apart = {*spec.knowledge, *([spec.offer] if spec.offer else [])}
        return Facts(
            item_id=self._vocabulary.item_ids[index],
            attributes={name: value for name, value in row.items() if name not in apart},
            source=source,
            reasons=reasons,
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

    def shelf(
        self, of: Shelf, state: ProfileState, *, language: Language = "en", frame: FrameName | None = None
    ) -> Draft:
        """Bring together what a shelf's title may rest on; `frame` is the caller's own."""
        intent = "" if of.target is None else self._vocabulary.target_names[of.target]
        told = shelves.facts(of.value, frame=frame or self._spec.frames.get(intent), asked=frame is not None)
        return Draft(told, language, str(state.rows.user_id[0]))

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
