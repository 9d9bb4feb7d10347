"""Draw a layer of a compiled pipeline as Kubeflow's UI shows it, as SVG; reads IR, no SDK.

The pages of docs/ hold some of these pictures, since the UI itself cannot be pictured without a cluster
(tests/pipelines/reference/test_drawings.py writes them). Rows and boxes are the UI's (layout.py), the words in a box's
second line are ours: what opens, what is cached, of which kind an artifact is.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

from pipelines.graphs.layout import BOX, Ir, Layer, layers
from pipelines.graphs.placement import Chain, Placement, placed

HEIGHT, STEP, MARGIN = 44, 84, 16  # px: of a box, from row to row, around the picture
KINDS = {
    "system.HTML": "page",
    "system.Markdown": "page",
    "system.Metrics": "scalars",
    "system.ClassificationMetrics": "ROC curve, confusion matrix",
    "system.Model": "model",
    "system.Dataset": "data",
    "system.Artifact": "files",
}
FONT = "system-ui, sans-serif"
INK, FAINT, LINE = "#1f2933", "#52606d", "#9aa5b1"
TASK, GROUP, ARTIFACT = ("#ffffff", "#1a73e8"), ("#e8f0fe", "#1a73e8"), ("#fef7e0", "#b06000")  # fill, border


@dataclass(frozen=True)
class Box:
    """What stands in a box."""

    name: str
    about: str
    colours: tuple[str, str]
    dashed: bool = False  # runs only where a condition is true
    round: int = 4  # px


def drawn(ir: Ir, name: str = "root") -> str:
    """Draw one layer of an IR: the root, or the group of a name."""
    layer = next(one for one in layers(ir) if one.name == name)
    at, boxes = placed(layer), _boxes(ir, layer)
    width, height = at.width + 2 * MARGIN, max(at.row.values()) * STEP + HEIGHT + 2 * MARGIN
    size = {"width": _px(width), "height": _px(height), "viewBox": f"0 0 {_px(width)} {_px(height)}"}
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size, "font-family": FONT})
    ET.SubElement(svg, "title").text = f"{ir['pipelineInfo']['name']}: {name}"
    ET.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    for chain in at.chains:
        ET.SubElement(svg, "path", {"d": _way(chain, at), "fill": "none", "stroke": LINE})
    for key, box in boxes.items():
        _box(svg, box, left=at.middle[key] - BOX / 2 + MARGIN, top=at.row[key] * STEP + MARGIN)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _boxes(ir: Ir, layer: Layer) -> dict[str, Box]:
    """Return the boxes of a layer by the names that its edges have."""
    tasks = (ir["root"] if layer.name == "root" else ir["components"][f"comp-{layer.name}"])["dag"]["tasks"]
    found: dict[str, Box] = {}
    for key, task in tasks.items():
        component = ir["components"][task["componentRef"]["name"]]
        found[key] = _task(task, component)
        for name, left in component.get("outputDefinitions", {}).get("artifacts", {}).items():
            kind = KINDS.get(left["artifactType"]["schemaTitle"], "files")
            found[f"{key}.{name}"] = Box(name, kind, ARTIFACT, round=HEIGHT // 2)
    return found


def _task(task: dict[str, Any], component: dict[str, Any]) -> Box:
    name = task["taskInfo"]["name"]
    if "dag" not in component:
        cached = task.get("cachingOptions", {}).get("enableCache")
        return Box(name, "cached by its inputs" if cached else "runs every time", TASK)
    inside = len(component["dag"]["tasks"])
    conditional = "condition" in task.get("triggerPolicy", {})
    opens = f"opens: {inside} box{'es' if inside > 1 else ''}"
    return Box(name, f"if so, {opens}" if conditional else opens, GROUP, dashed=conditional)


def _way(chain: Chain, at: Placement) -> str:
    """Return an edge's path: from the foot of a box, through the rows that it passes, to the head of another."""
    x, y = at.middle[chain[0]] + MARGIN, at.row[chain[0]] * STEP + HEIGHT + MARGIN
    parts = [f"M {_px(x)} {_px(y)}"]
    for one in chain[1:]:
        to, head = at.middle[one] + MARGIN, at.row[one] * STEP + MARGIN
        half = (y + head) / 2
        parts.append(f"C {_px(x)} {_px(half)} {_px(to)} {_px(half)} {_px(to)} {_px(head)}")
        if one != chain[-1]:
            parts.append(f"V {_px(head + HEIGHT)}")
        x, y = to, head + HEIGHT
    return " ".join(parts)


def _box(svg: ET.Element, box: Box, *, left: float, top: float) -> None:
    fill, border = box.colours
    look = {"fill": fill, "stroke": border, "rx": str(box.round)} | ({"stroke-dasharray": "6 4"} if box.dashed else {})
    size = {"width": str(BOX), "height": str(HEIGHT)}
    ET.SubElement(svg, "rect", {"x": _px(left), "y": _px(top), **size, **look})
    for text, down, points, colour in ((box.name, 19, "14", INK), (box.about, 35, "11", FAINT)):
        place = {"x": _px(left + BOX / 2), "y": _px(top + down), "text-anchor": "middle"}
        ET.SubElement(svg, "text", {**place, "font-size": points, "fill": colour}).text = text


def _px(value: float) -> str:
    return str(round(value))
