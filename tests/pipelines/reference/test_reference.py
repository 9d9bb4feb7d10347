"""The reference is written from the models: pages, schemas that editors check by, and `intentflow explain`."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from pipelines import environment, spec
from pipelines.cli import main
from pipelines.init import draft
from pipelines.reference import fields, lookup, pages, schemas
from tests.pipelines.test_environment import CLUSTER

SPECS = sorted((ROOT / "pipelines" / "specs").glob("*.yaml"))
ENVIRONMENTS = sorted(environment.FOLDER.glob("*.yaml"))
OVER_FILES = [*SPECS, *sorted((ROOT / "k8s").rglob("recommender.yaml"))]
GROCERY = yaml.safe_load(Path("pipelines/specs/grocery.yaml").read_text())


def test_the_golden_reference_is_what_the_models_say(golden: Callable[[Path, str], None]) -> None:
    for path, text in pages.written().items():
        golden(path, text)


@pytest.mark.parametrize("schema", [schemas.spec, schemas.environment])
def test_every_field_says_what_it_means(schema: Callable[[], dict[str, Any]]) -> None:
    found = fields.fields(schema())
    assert len(found) > 100
    assert [entry.path for entry in found if not entry.meaning] == []


def test_a_field_that_nobody_describes_is_found() -> None:
    bare = {"properties": {"k": {"type": "integer"}}}
    assert [entry.path for entry in fields.fields(bare) if not entry.meaning] == ["k"]


def _checker(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", OVER_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_accepts_every_spec_of_the_repository(path: Path) -> None:
    _checker(schemas.spec()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "path",
    [*ENVIRONMENTS, *sorted((ROOT / "k8s" / "components").rglob("environment.yaml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_schema_accepts_every_environment_with_its_variables_not_filled_in(path: Path) -> None:
    _checker(schemas.environment_file()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", [*SPECS, *ENVIRONMENTS], ids=lambda path: path.stem)
def test_specs_and_environments_name_their_schema_first(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).is_file()


def test_a_drafted_spec_names_the_schema_and_keeps_to_it(tmp_path: Path) -> None:
    rows = [f"u{n % 7},i{n % 5},2024-0{1 + n // 40}-{1 + n % 28:02d}T10:00:00" for n in range(160)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    text = draft(tmp_path / "log.csv", name="shop", folder=tmp_path).text
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (tmp_path / first.partition("=")[2]).resolve() == schemas.SPEC_FILE
    _checker(schemas.spec()).validate(yaml.safe_load(text))


BAD: list[tuple[str, Any]] = [
    ("apiVersion", "intentflow/v2"),
    ("name", "Grocery Shop"),
    ("modles", {}),
    ("data", None),
    ("data.source.type", "postgres"),
    ("data.split.test_weeks", 0),
    ("data.week_start", "mon"),
    ("data.contract.event", []),
    ("data.contract.events.0.expect", "row"),
    ("data.contract.events.3.colunm", "x"),
    ("intents", []),
    ("intents.0.level", "categry"),
    ("intents.0.horizon_days", 0),
    ("intents.0.horizon", "1 week"),
    ("data.step", "month"),
    ("models.intent.architecture", "transfomer"),
    ("models.intent.width", 12),
    ("models.intent.dropout", 1),
    ("profiles.segments.k", 1),
    ("profiles.segments.k", "some"),
    ("promotion.gates.0.metric", "intent.mp"),
    ("promotion.rollout.slow_ms", 7),
    ("serving.k", 0),
    ("serving.k", 100.5),
    ("monitoring.share", 2),
]


@pytest.mark.parametrize(("path", "value"), BAD, ids=[f"{path}={value}" for path, value in BAD])
def test_the_schema_refuses_what_the_models_refuse(path: str, value: Any) -> None:
    document: Any = copy.deepcopy(GROCERY)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    holder = document
    for part in above:
        holder = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    holder[last] = value
    with pytest.raises(SpecError):
        spec.parse(document, place="test")
    assert not _checker(schemas.spec()).is_valid(document)


@pytest.mark.parametrize(
    ("changed", "accepted"),
    [
        ({"compute": {"steps": {"train_intent": {"gpu": 1}}}}, True),
        ({"compute": {"steps": {"train_intnet": {"gpu": 1}}}}, False),
        ({"compute": {"steps": {"ingest": {"memory": "6GB"}}}}, False),
        ({"jobs": {"score": {"keep": 0}}}, False),
        ({"jobs": {"score": {"keep": "${KEEP}"}}}, True),
        ({"kubeflow": {"host": "${KF_PIPELINES_ENDPOINT}"}}, True),
        ({"kubeflow": {"host": "kubeflow"}}, False),
        ({"clock": "noon"}, False),
        ({"feats": {}}, False),
    ],
)
def test_the_schema_of_environments_refuses_what_the_models_refuse(
    changed: dict[str, Any], accepted: bool, tmp_path: Path
) -> None:
    document = yaml.safe_load((environment.FOLDER / "local.yaml").read_text()) | changed
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))

    def placed() -> bool:
        try:
            environment.place(
                Path("pipelines/specs/grocery.yaml"), str(tmp_path / "mine.yaml"), variables=CLUSTER | {"KEEP": "3"}
            )
        except SpecError:
            return False
        return True

    assert placed() is accepted
    assert _checker(schemas.environment_file()).is_valid(document) is accepted


# `intentflow explain`


def _explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["explain", *arguments])
    return capsys.readouterr().out


def test_a_field_is_explained_with_its_values_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert _explained(capsys, "models.intent.architecture") == (
        "models.intent.architecture: Encoder of the sequence; text, a BERT that reads what users had or did as text; "
        "gbdt, gradient-boosted trees, which read neither; or ensemble, several of them as one\n"
        "  type       text\n"
        "  allowed    transformer, lstm, gru, rnn, cnn, text, gbdt, ensemble\n"
        '  default    "transformer"\n'
    )
    assert "  bounds     from 8, to 512, a multiple of 8\n" in _explained(capsys, "models.intent.width")


def test_a_field_that_says_which_kind_names_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    said = _explained(capsys, "data.source.type")
    kinds = (
        "completejourney, movielens, synthetic, clickstream, synthetic_music, synthetic_news, parquet, csv, jsonl, sql"
    )
    assert f"allowed    {kinds}\n" in said
    assert "    sql              A database that SQLAlchemy speaks to" in said
    assert "only with  sql" in _explained(capsys, "data.source.url_env")


@pytest.mark.parametrize("path", ["promotion.gates.metric", "promotion.gates[0].metric", "promotion.gates.0.metric"])
def test_a_field_of_a_list_is_found_with_and_without_its_place(capsys: pytest.CaptureFixture[str], path: str) -> None:
    assert "ranking.ndcg_at_10" in _explained(capsys, path)


def test_a_group_lists_what_it_holds_and_a_key_of_ones_own_stands_for_any(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n  epochs               At most; stops early on the validation weeks\n" in _explained(
        capsys, "models.ranking"
    )
    assert "Requested, and the limit" in _explained(capsys, "environment.compute.steps.ingest.memory")


def test_fields_of_the_environment_are_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _explained(capsys, "environment.kubeflow.host").startswith("environment.kubeflow.host: URL of the pipelines")
    assert "\n  mlflow " in _explained(capsys, "environment")


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(_explained(capsys, "intents.top", "--json"))
    assert (found["path"], found["default"], found["bounds"]) == ("intents[].top", "100", "from 1, to 1,000")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "models.intent.archtecture",
            "no field 'models.intent.archtecture'; did you mean 'models.intent.architecture'?",
        ),
        ("environment.kubflow", "no field 'environment.kubflow'; did you mean 'environment.kubeflow'?"),
        (
            "zzz",
            "no field 'zzz'; have apiVersion, kind, name, data, profiles, intents, vectors, models, placements, rules,",
        ),
    ],
)
def test_a_path_that_is_none_is_one_line_with_the_nearest(
    capsys: pytest.CaptureFixture[str], path: str, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["explain", path])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.process
def test_explaining_imports_no_sdk() -> None:
    code = (
        "import sys; from pipelines.cli import main\nmain(['explain', 'environment.kubeflow'])\n"
        "heavy = {'torch', 'kfp', 'mlflow', 'feast', 'evidently', 'pandas', 'bentoml', 'transformers', 'duckdb'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_every_path_of_the_pages_is_explained() -> None:
    for entry in list(fields.fields(schemas.spec()))[::7]:  # each reads all fields anew
        assert entry in lookup.explain(entry.path), entry.path
