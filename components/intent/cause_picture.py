"""The causes of a user's intents as one SVG file: a bar a cause, to the right where it speaks for the intent.

No library draws it and nothing outside is loaded; it follows the reader's light or dark setting.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from components.intent.causes import Explained

WIDTH, WORDS, BAR, LINE, HEAD = 820, 420, 170, 22, 58  # pixels: whole, the words' column, the longest bar, heights
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #16202c; } .soft { fill: #5a6775; } .title { font-weight: 600; }
.for { fill: #12805c; } .against { fill: #c05a00; } line { stroke: #d9dfe6; } .ground { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e7ecf2; } .soft { fill: #97a4b3; } .for { fill: #52d3a4; } .against { fill: #f2a65a; }
  line { stroke: #3a4654; } .ground { fill: #171e27; }
}
"""


def svg(title: str, found: Sequence[Explained]) -> str:
    """Draw the causes of each intent below each other."""
    height = LINE * 2 + sum(_height(one) for one in found)
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "style").text = STYLE
    ET.SubElement(root, "rect", {"class": "ground", "width": str(WIDTH), "height": str(height)})
    _text(root, 12, LINE, title, "title")
    top, longest = LINE * 2, max((abs(bar[1]) for one in found for bar in _bars(one)), default=0.0)
    for one in found:
        _section(root, one, top, longest or 1.0)
        top += _height(one)
    return ET.tostring(root, encoding="unicode") + "\n"


def _bars(one: Explained) -> list[tuple[str, float]]:
    rest = [("all other causes", one.others)] if one.others else []
    return [*((cause.words, cause.effect) for cause in one.causes), *rest]


def _height(one: Explained) -> int:
    return HEAD + LINE * max(len(_bars(one)), 1)


def _section(root: ET.Element, one: Explained, top: int, longest: float) -> None:
    zero = WORDS + BAR + 16
    _text(root, 12, top + 16, one.intent, "title")
    said = f"log odds {one.said:+.2f}; of a user of whom nothing is known {one.nobody:+.2f}; {one.method}"
    _text(root, 12, top + 34, said, "soft")
    bars, at = _bars(one), top + HEAD - 8
    if not bars:
        _text(root, 12, at + 12, "nothing speaks for or against it: nothing is known of the user", "soft")
        return
    ET.SubElement(
        root, "line", {"x1": str(zero), "x2": str(zero), "y1": str(at - 4), "y2": str(at + LINE * len(bars) - 4)}
    )
    for words, effect in bars:
        long = max(abs(effect) / longest * BAR, 1.0)
        x = zero if effect > 0 else zero - long
        kind = "for" if effect > 0 else "against"
        ET.SubElement(
            root,
            "rect",
            {"class": kind, "x": f"{x:.1f}", "y": str(at), "width": f"{long:.1f}", "height": str(LINE - 8)},
        )
        _text(root, 12, at + 12, words if len(words) <= 64 else f"{words[:63]}…", "")
        _text(root, zero + BAR + 8, at + 12, f"{effect:+.3f}", "soft")
        at += LINE


def _text(root: ET.Element, x: int, y: int, said: str, kind: str) -> None:
    ET.SubElement(root, "text", {"x": str(x), "y": str(y)} | ({"class": kind} if kind else {})).text = said
