"""What follows in a spec from vectors of items, in its slices and in its pipelines; without them nothing does."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.ranking.spec import OF_VECTORS
from components.vectors.build import made_by
from components.vectors.steps import KEY, MADE_BY
from feature_repo.errors import DataError, SpecError
from pipelines import spec
from pipelines.graphs import code_digests, index, parameters
from pipelines.graphs.step_table import STEPS

SPECS = Path(__file__).resolve().parents[2] / "pipelines" / "specs"
TEXT = {"text": {"columns": ["title", "category"]}}


def document(name: str = "synthetic", **said: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SPECS / f"{name}.yaml").read_text()) | said
    return found


def parsed(name: str = "synthetic", **said: Any) -> spec.Recommender:
    return spec.parse(document(name, **said), place="s")


def test_candidates_follow_from_vectors_and_the_spec_overrules_them() -> None:
    found = parsed(vectors=TEXT).models.ranking
    assert found.vectors == {
        "text": {"encoder": "hashing", "columns": ["title", "category"], "seconds": 30},
    }
    assert {name: found.candidates.limit(name) for name in OF_VECTORS} == OF_VECTORS == {"content": 50}
    models = document()["models"]
    models["ranking"]["candidates"] |= {"content": 0}
    off = parsed(vectors=TEXT, models=models)
    assert off.models.ranking.candidates.limit("content") == 0
    for one in (parsed(vectors=TEXT), off):
        assert spec.parse(one.model_dump(mode="json"), place="s") == one
        assert spec.parse(one.model_dump(mode="json", exclude_none=True), place="s") == one, "as the run form has it"


def test_a_spec_without_vectors_has_the_digest_and_slices_that_it_had() -> None:
    found = parsed()
    dumped = found.model_dump(mode="json")
    assert "vectors" not in dumped
    assert "vectors" not in dumped["models"]["ranking"]
    assert "content" not in dumped["models"]["ranking"]["candidates"]
    assert parsed(vectors=None).digest == found.digest
    assert parameters.codes(found)["ranking_code"] == code_digests.step_digest("ranking")


@pytest.mark.parametrize(
    ("vectors", "line"),
    [
        (
            {"text": {"encoder": "minlm"}},
            "vectors.text.encoder: 'minlm' is no encoder; use hashing, minilm, multilingual, or a folder such as "
            "./encoder; did you mean 'minilm'?",
        ),
        ({"text": {"columns": []}}, "vectors.text.columns: tuple should have at least 1 item"),
        ({"text": {"seconds": 0}}, "vectors.text.seconds: 0 is wrong: input should be greater than or equal to 1"),
        ({"texts": {}}, "vectors.texts: no such key; have image, text; did you mean 'text'?"),
        ({"image": {}}, "vectors.image.column: is missing; add it"),
        ({"text": None}, "vectors: names neither text nor image; say `text: {columns: [title]}`, or leave vectors out"),
    ],
)
def test_what_is_wrong_with_vectors_is_one_line(vectors: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as refused:
        parsed(vectors=vectors)
    assert str(refused.value).startswith(f"s: {line}")
    assert "\n" not in str(refused.value)


def test_vectors_of_people_and_vectors_that_nobody_declared_are_refused() -> None:
    with pytest.raises(SpecError, match=r"vectors: items are users, and what is known of people stays in the source"):
        parsed("social", vectors=TEXT)
    models = document()["models"]
    models["ranking"] |= {"vectors": {"text": {}}}
    with pytest.raises(SpecError, match=r"models.ranking.vectors: follows from `vectors`; leave it out, and say that"):
        parsed(models=models)


def test_items_of_later_steps_are_no_candidates_by_their_texts() -> None:
    models = document("news")["models"]
    line = r"models.ranking.later_items: with vectors, .* say `candidates: \{content: 0\}`"
    with pytest.raises(SpecError, match=line):
        parsed("news", vectors=TEXT)
    models["ranking"].setdefault("candidates", {})["content"] = 0
    assert parsed("news", vectors=TEXT, models=models).models.ranking.vectors is not None


def test_another_encoder_runs_the_vectors_and_what_rests_on_them_again(tmp_path: Path) -> None:
    found = parsed(vectors=TEXT)
    slices = parameters.slices(found, source="s", base=tmp_path)
    assert found.vectors is not None
    ranking = json.loads(slices["ranking"])
    assert ranking[KEY].pop(MADE_BY) == made_by(found.vectors, tmp_path)
    assert ranking == found.models.ranking.model_dump(mode="json")
    assert slices["ranking_code"] != code_digests.step_digest("ranking"), "the encoders' code is in it"
    folder = parsed(vectors={"text": {"encoder": "./mine"}})
    with pytest.raises(DataError, match=r"mine holds no config\.json"):
        parameters.slices(folder, source="s", base=tmp_path)
    assert (
        MADE_BY not in json.loads(parameters.slices(folder, source="s", base=tmp_path, elsewhere=True)["ranking"])[KEY]
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    first = parameters.slices(folder, source="s", base=tmp_path)["ranking"]
    (tmp_path / "mine" / "weights").write_text("other")
    assert parameters.slices(folder, source="s", base=tmp_path)["ranking"] != first


@pytest.mark.parametrize("pipeline", ["train", "retrain"])
def test_the_step_hangs_only_where_the_spec_declares_vectors(pipeline: str) -> None:
    without, reads = index.reads(pipeline, spec=parsed()), index.reads(pipeline, spec=parsed(vectors=TEXT))
    assert without == index.reads(pipeline)
    assert set(reads) - set(without) == {"item_vectors"}
    assert reads["item_vectors"] == (
        ("ranking", "ranking_code"),
        ("training_set",) if pipeline == "train" else reads["item_vectors"][1],
    )
    assert "training_set" in reads["item_vectors"][1]
    for step in ("train_ranking", "evaluate_ranking", "refit_ranking"):
        assert "item_vectors" in reads[step][1], step
    assert "item_vectors" not in reads["train_intent"][1], "another encoder leaves the intent model alone"
    index.require_hung()
    assert STEPS["item_vectors"].rule == "pure"


@pytest.mark.process
def test_the_pipeline_with_vectors_compiles_and_every_ranking_step_reads_its_rows(tmp_path: Path) -> None:
    from pipelines.graphs import conformance
    from pipelines.graphs.kfp_pipeline import compile_ir

    compile_ir(parsed(vectors=TEXT), tmp_path / "ir.yaml")
    ir = next(yaml.load_all((tmp_path / "ir.yaml").read_text(), yaml.CSafeLoader))
    assert conformance.problems(ir) == []
    readers = {}
    for component in ir["components"].values():
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            rows = task.get("inputs", {}).get("artifacts", {}).get("rows")
            if rows is not None:
                readers[name] = json.dumps(rows)
    vectored = {name for name, rows in readers.items() if "vector" in rows}
    assert vectored == {"train-ranking", "evaluate-ranking", "refit-ranking", "baseline-ranking", "judge-twin-ranking"}
