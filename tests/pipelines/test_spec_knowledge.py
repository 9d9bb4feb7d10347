"""What follows in a spec from declared knowledge; without it nothing does."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import SpecError
from pipelines import spec

SPECS = Path(__file__).resolve().parents[2] / "pipelines" / "specs"
EDGES = {"edges": "films.csv"}


def parsed(**said: Any) -> spec.Recommender:
    document: dict[str, Any] = yaml.safe_load((SPECS / "synthetic.yaml").read_text())
    document["data"] |= {name: value for name, value in said.items() if name == "knowledge"}
    document["models"]["ranking"]["candidates"] |= {name: n for name, n in said.items() if name == "graph"}
    return spec.parse(document, place="s")


def test_candidates_follow_from_knowledge_and_the_spec_overrules_them() -> None:
    assert parsed().models.ranking.candidates.limit("graph") == 0
    assert "graph" not in parsed().models.ranking.model_dump()["candidates"]
    assert parsed(knowledge=EDGES).models.ranking.candidates.limit("graph") == 50
    assert parsed(knowledge=EDGES, graph=0).models.ranking.candidates.limit("graph") == 0
    assert parsed(knowledge=EDGES).data.knowledge.edges.path == "films.csv"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"graph": 5}, r"models\.ranking\.candidates\.graph: goes from item to item through `data\.knowledge`"),
        ({"knowledge": {}}, r"data\.knowledge\.edges"),
        ({"knowledge": {"edge": "a.csv"}}, r"data\.knowledge\.edge"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(said: dict[str, Any], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        parsed(**said)
