from pathlib import Path

import pytest

from pipelines import spec
from pipelines.spec_lines import line, to_edit

TEXT = """name: shop
promotion:
  mode: auto
  gates:
    - {metric: intent.map}
    - metric: ranking.ndcg_at_10
      against: value
      limit: 0.3
"""


@pytest.mark.parametrize(
    ("place", "number"),
    [("promotion.gates[0]", 5), ("promotion.gates[1]", 6), ("promotion.gates[1].limit", 8), ("promotion.mode", 3)],
)
def test_a_place_has_a_line(place: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(TEXT)
    assert line(tmp_path / "shop.yaml", place) == number


@pytest.mark.parametrize("place", ["promotion.gates[2]", "monitoring.min_rows", "name.gates", "promotion.mode[0]"])
def test_what_the_file_leaves_out_has_none(place: str, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(TEXT)
    assert line(tmp_path / "shop.yaml", place) is None


def test_a_gate_to_edit_is_named_by_file_and_line_and_a_default_by_what_it_says(tmp_path: Path) -> None:
    found = spec.load(Path("pipelines/specs/synthetic.yaml"))
    (tmp_path / "shop.yaml").write_text(TEXT)
    (tmp_path / "bare.yaml").write_text("name: shop\n")
    assert to_edit(tmp_path / "shop.yaml", found, "promotion.gates[1]") == "shop.yaml, line 6: promotion.gates[1]"
    gate = found.promotion.gates[0].model_dump(exclude_unset=True)
    said = to_edit(tmp_path / "bare.yaml", found, "promotion.gates[0]")
    assert said.startswith("bare.yaml declares no promotion.gates, so promotion.gates[0] is a default: {metric: ")
    assert all(f"{key}: " in said for key in gate)
