"""Text about one recommended item for what the reader is about to do, `template@3`: fixed sentences, framed.

A frame (components/content/frames.py) decides which facts are spoken of and opens the text; where there is none, the
text is that of `template@2`.
"""

from components.content import frames
from components.content.facts import Described, Facts
from components.content.plain import plain
from components.content.writers.template import DEEDS, name_of
from feature_repo import columns

OPENINGS = {
    "stock_up": "Time to stock up on {title}.",
    "treat": "A treat: {title}.",
    "cook_tonight": "For tonight: {title}.",
    "try_new": "Something to try: {title}.",
    "save": "On offer: {title}.",
}
ALONE = {"save": "A look at the price of {title}."}  # where there is no offer to speak of


class Framed:
    """Writes fixed sentences for a frame."""

    name = "template@3"
    about = "fixed sentences for what the user is about to do"

    def write(self, facts: Facts, *, max_attributes: int) -> Described:
        """Write the text about an item.

        >>> facts = Facts("i1", {"title": "Penne", "price": 1.8}, knowledge=(("Penne", "goes with", "tomatoes"),))
        >>> from dataclasses import replace
        >>> Framed().write(replace(facts, frame="cook_tonight"), max_attributes=5).text
        'For tonight: Penne. Penne goes with tomatoes.'
        >>> Framed().write(replace(facts, frame="save", offer="1.50 instead of 1.80"), max_attributes=5).text
        'On offer: Penne. 1.50 instead of 1.80. Price: 1.80.'
        """
        seen = frames.framed(facts)
        said = DEEDS.write(seen, max_attributes=max_attributes)
        title = plain(facts.attributes.get(columns.TITLE))
        if facts.frame is None or not title:
            return Described(said.text, self.name, said.used)
        opening = OPENINGS[facts.frame] if facts.frame != "save" or seen.offer else ALONE[facts.frame]
        known = [f"{words}." for words in (plain(" ".join(triple)) for triple in seen.knowledge) if words]
        offer = [f"{words}."] if (words := plain(seen.offer)) else []
        rest = said.text.removeprefix(name_of(facts)).strip()
        text = " ".join([opening.format(title=title), *known, *offer, *filter(None, [rest])])
        return Described(text, self.name, (*said.used, *(["knowledge"] * bool(known)), *(["offer"] * bool(offer))))


FRAMED = Framed()
