"""The pictures of docs/graphs are drawn from the golden IR, and what is drawn is what the IR holds.

They are renewed with the other golden files, after tests/pipelines/graphs has renewed the IR.
"""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.graphs import index, layout
from pipelines.graphs.drawing import drawn
from pipelines.graphs.layout import BOX, EDGE, GAP, Layer
from pipelines.graphs.placement import placed

PICTURES = {  # file -> pipeline, layer
    "train": ("train", "root"),
    "train-data": ("train", "data"),
    "train-release": ("train", "release"),
    "retrain": ("retrain", "root"),
    "batch": ("batch", "root"),
}
WIDEST = 1400  # px, of a screen
SVG = "{http://www.w3.org/2000/svg}"


def _ir(pipeline: str) -> dict[str, Any]:
    text = Path(f"tests/golden/pipelines/{pipeline}.yaml").read_text()
    return next(yaml.load_all(text, yaml.CSafeLoader))  # type: ignore[no-any-return]


def _layers() -> Iterator[tuple[dict[str, Any], Layer]]:
    for pipeline in index.PIPELINES:
        ir = _ir(pipeline)
        yield from ((ir, layer) for layer in layout.layers(ir))


def test_the_golden_pictures_are_of_the_golden_ir(golden: Callable[[Path, str], None]) -> None:
    for file, (pipeline, layer) in PICTURES.items():
        golden(Path(f"docs/graphs/{file}.svg"), drawn(_ir(pipeline), layer))
    assert {path.stem for path in Path("docs/graphs").iterdir()} == set(PICTURES)


def test_every_layer_is_drawn_with_its_boxes_and_edges_and_fits_a_screen() -> None:
    for ir, layer in _layers():
        svg = ET.fromstring(drawn(ir, layer.name))
        words = [text.text for text in svg.iter(f"{SVG}text")][::2]
        boxes = len(layer.tasks) + len(layer.artifacts)
        assert len(words) == len(list(svg.iter(f"{SVG}rect"))) - 1 == boxes, layer.name
        assert set(layer.artifacts) <= set(words)
        assert len(list(svg.iter(f"{SVG}path"))) == len(layer.edges)
        assert int(svg.attrib["width"]) <= WIDEST, layer.name


def test_boxes_of_a_row_stand_apart_and_no_edge_crosses_one() -> None:
    for _, layer in _layers():
        at = placed(layer)
        for row in set(at.row.values()):
            line = sorted((at.middle[one], BOX if one in layer.rows else EDGE) for one in at.row if at.row[one] == row)
            for (left, a), (right, b) in itertools.pairwise(line):
                apart = right - left - (a + b) / 2
                assert apart >= (GAP if a == b == BOX else 0) - 1e-6, (layer.name, row)


def test_a_box_stands_above_the_middle_of_what_it_leaves() -> None:
    edges = frozenset({("a", "a.x"), ("a", "a.y"), ("a.x", "b"), ("a.y", "b")})
    at = placed(Layer("root", ("a", "b"), ("x", "y"), edges))
    assert at.middle == {"a": 249, "a.x": 112, "a.y": 386, "b": 249}
    assert at.row == {"a": 0, "a.x": 1, "a.y": 1, "b": 2}


def test_an_edge_that_passes_a_row_has_a_place_in_it() -> None:
    at = placed(Layer("root", ("a", "b", "c"), (), frozenset({("a", "b"), ("b", "c"), ("a", "c")})))
    (long,) = [chain for chain in at.chains if len(chain) == 3]
    assert (long[0], long[2], at.row[long[1]]) == ("a", "c", 1)
    assert abs(at.middle[long[1]] - at.middle["b"]) == (BOX + EDGE) / 2
    assert at.width == 285


@pytest.mark.parametrize(
    ("layer", "name", "about"),
    [
        ("root", "admit", "runs every time"),
        ("root", "data", "opens: 4 boxes"),
        ("data", "ingest", "cached by its inputs"),
        ("release", "gates-passed", "if so, opens: 5 boxes"),
        ("release", "gates-held-back", "if so, opens: 2 boxes"),
        ("intent", "intent_classification", "ROC curve, confusion matrix"),
    ],
)
def test_the_second_line_of_a_box_says_what_it_is(layer: str, name: str, about: str) -> None:
    words = [text.text for text in ET.fromstring(drawn(_ir("train"), layer)).iter(f"{SVG}text")]
    assert words[words.index(name) + 1] == about
