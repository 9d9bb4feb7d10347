"""What is planted in texts is found: groups with their words, the level that names them, and nobody's own words."""

import csv
import datetime as dt
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from components.intent.spec import Intent
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, SpecError
from pipelines import cli
from pipelines.discovery import clusters, discover, proposal
from pipelines.discovery.clusters import Method
from pipelines.environment import Installation, place
from pipelines.runs.local import RUN_FILE, Run
from tests.worlds import FIRST_DAY, World, event, item

pytestmark = pytest.mark.world
THEMES = {
    "baking": ("flour", "yeast", "sugar", "butter", "vanilla", "cocoa"),
    "garden": ("spade", "hose", "seeds", "compost", "gloves", "rake"),
    "party": ("balloon", "candle", "napkin", "streamer", "crown", "whistle"),
}
ADJECTIVES = ("plain", "golden")
SECRET = "zyxophone"  # a word of one item that three users buy
USERS, WEEKS, BEFORE = 90, 10, 9


def planted(seed: int = 0) -> World:
    """Each user comes for one theme in two weeks of three, for another else, and takes three things of it."""
    rng = random.Random(seed)
    items, brands = [], ("acme", "bolt", "cord")
    for theme, words in THEMES.items():
        for number, (word, adjective) in enumerate((w, a) for w in words for a in ADJECTIVES):
            made = item(f"{theme}-{number}", theme.upper())
            items.append(made | {"title": f"{adjective} {theme} {word} 4711", "brand": brands[number % 3]})
    items.append(item("secret", "BAKING") | {"title": f"{SECRET} {SECRET}s", "brand": "acme"})
    events, calendar = [], Calendar(FIRST_DAY)
    for week in range(1, WEEKS + 1):
        for user in range(USERS):
            usual = list(THEMES)[user % 3]
            theme = usual if rng.random() < 0.67 else rng.choice(list(THEMES))
            at = calendar.start(week) + dt.timedelta(days=user % 7, hours=10)
            for number in rng.sample(range(12), 3):
                events.append(event(f"person{user:03}", f"{theme}-{number}", at, session=f"{week}-{user}"))
            if user < 3:
                events.append(event(f"person{user:03}", "secret", at, session=f"{week}-{user}"))
    return World(events, items, [f"person{n:03}" for n in range(USERS)], WEEKS)


SPEC: dict[str, Any] = yaml.safe_load(Path("pipelines/specs/synthetic.yaml").read_text()) | {
    "name": "planted",
    "vectors": {"text": {"encoder": "hashing", "columns": ["title"]}},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Give a recommender whose last run read the planted world."""
    folder = tmp_path_factory.mktemp("discover")
    (folder / "planted.yaml").write_text(yaml.safe_dump(SPEC))
    found = place(folder / "planted.yaml", "local", variables={"INTENTFLOW_STATE": str(folder / "state")})
    world, rows = planted(), folder / "rows"
    world.write(folder / "clean")
    rows.mkdir()
    files.write_json(rows / "calendar.json", world.calendar.document())
    files.write_json(rows / "split.json", {"train": [5, 6, 7, 8], "validate": [BEFORE], "test": [10]})
    run = Run({"clean": folder / "clean", "rows": rows}, "1", True, [], 1.0, {})
    found.home.mkdir(parents=True)
    files.write_json(found.home / RUN_FILE, run.document())
    return found


@pytest.fixture(scope="module")
def told(installed: Installation) -> tuple[dict[str, Any], str]:
    """Give the proposal, as a document and as YAML."""
    return discover.discover(installed, discover.Asked(unit="step", least=10))


def test_the_planted_groups_are_found_with_their_words(told: tuple[dict[str, Any], str]) -> None:
    document, _ = told
    groups = document["groups"]
    assert len(groups) == 3
    assert {group["words"][0] for group in groups} == set(THEMES)
    for group in groups:
        theme = group["words"][0]
        assert set(group["words"][1:]) <= {*THEMES[theme], *ADJECTIVES}
        assert group["name"].startswith(theme)
        assert group["values"]["category"] == {theme.upper(): 1.0}
        assert group["stable"]
        assert group["stability"] > 0.95
        assert 0.2 < group["share"] < 0.5
    assert document["left_out"] == pytest.approx(0, abs=1e-3)


def test_users_are_grouped_by_what_they_come_for(told: tuple[dict[str, Any], str]) -> None:
    segments = told[0]["segments"]
    assert sum(segment["users"] for segment in segments) == 90
    assert all(27 <= segment["users"] <= 33 for segment in segments), "thirty were planted of each, with noise"
    assert {segment["words"][0] for segment in segments} == set(THEMES)
    assert told[0]["proposal"]["profiles"] == {"segments": {"method": "kmeans", "k": 3}}


def test_the_level_that_names_the_groups_is_proposed(installed: Installation) -> None:
    read = discover._read(installed, lambda line: None)
    document, _ = discover.proposed(read, discover.Asked(unit="step", least=10))
    assert document["levels"]["category"] > 0.95
    assert document["levels"]["brand"] < 0.1
    (intent,) = document["proposal"]["intents"]
    assert intent == {"name": "purchase_category", "event": "purchase", "level": "category", "top": 3}
    Intent.model_validate(intent)


def test_what_the_spec_asks_already_is_not_proposed(told: tuple[dict[str, Any], str]) -> None:
    assert told[0]["proposal"]["intents"] == [], "the synthetic spec has an intent of purchases by category"


def test_the_proposal_is_yaml_that_a_spec_may_hold(told: tuple[dict[str, Any], str]) -> None:
    document, text = told
    assert text.startswith("# Proposed by `intentflow discover planted.yaml`: 720 behaviours of 90 users")
    assert yaml.safe_load(text) == document


def test_nobody_and_nothing_of_few_is_named(told: tuple[dict[str, Any], str]) -> None:
    _, text = told
    assert "person" not in text
    assert SECRET not in text, "three users stand behind it, and ten were asked for"
    assert "4711" not in text


def test_fewer_users_let_the_word_through(installed: Installation) -> None:
    """The bound is what hides it: with three, the word is among many."""
    read = discover._read(installed, lambda line: None)
    found = discover._grouped(visits := discover._some(discover.behaviours(read.acts, read.vectors, by="step"),
                                                       discover.Asked()), discover.Asked(least=3))  # fmt: skip
    for least, shown in ((3, True), (4, False)):
        said = proposal.groups(found, visits, read.told, least=least)
        has = visits.items @ read.told.has_word
        every = proposal.words.told(found.label, visits.user, has, groups=len(found), least=least, shown=99)
        assert said
        assert (SECRET in {read.told.words[word] for words in every for word in words}) is shown


def test_items_are_grouped_by_their_texts_alone(installed: Installation) -> None:
    document, _ = discover.discover(installed, discover.Asked(wanted=3, least=10))
    assert document["unit"] == "item"
    assert {group["words"][0] for group in document["groups"]} == set(THEMES)
    assert all(group["values"]["category"] == {group["words"][0].upper(): 1.0} for group in document["groups"])
    assert document["levels"]["category"] > 0.95


def test_columns_that_name_no_group_are_no_intent(installed: Installation) -> None:
    read = discover._read(installed, lambda line: None)
    blind = replace(read, told=replace(read.told, values={"brand": read.told.values["brand"]}))
    document, _ = discover.proposed(blind, discover.Asked(unit="step", least=10))
    assert document["levels"]["brand"] < proposal.NAMING
    assert document["proposal"]["intents"] == []


def test_events_of_steps_that_judge_are_not_read(installed: Installation) -> None:
    read = discover._read(installed, lambda line: None)
    assert read.acts.step.max() == BEFORE - 1
    assert read.acts.step.min() == 1


def test_density_finds_them_as_well(installed: Installation) -> None:
    document, _ = discover.discover(installed, discover.Asked(method="hdbscan", unit="step", least=10))
    mine = [group for group in document["groups"] if group["share"] > 0.1]
    assert {group["words"][0] for group in mine} == set(THEMES)


def test_files_are_written_for_a_person(installed: Installation, tmp_path: Path) -> None:
    output, themes = tmp_path / "proposal.yaml", tmp_path / "themes.csv"
    document, text = discover.discover(installed, discover.Asked(unit="step", least=10), output=output, themes=themes)
    assert text == f"{output}: written; 3 groups, 3 segments"
    assert yaml.safe_load(output.read_text()) == document
    lines = list(csv.DictReader(themes.open()))
    assert len(lines) == 36, "all but the item that three users bought"
    assert document["themes"] == {"file": str(themes), "items": 36, "level": "items.theme"}
    assert all(line["theme"].startswith(line["item_id"].split("-")[0]) for line in lines)


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_noise_has_no_stable_groups(method: Method) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 64))
    found = clusters.grouped(vectors, np.arange(400), method=method, wanted=6 if method == "kmeans" else None, least=20)
    assert (found.stability < 0.5).all()


def test_a_spec_without_texts_is_one_line(installed: Installation, tmp_path: Path) -> None:
    bare = replace(installed, spec=installed.spec.model_copy(update={"vectors": None}))
    with pytest.raises(SpecError, match=r"discover groups texts by their vectors, and the spec has none; add"):
        discover.discover(bare, discover.Asked(), output=tmp_path / "none.yaml")
    assert not (tmp_path / "none.yaml").exists()


def test_without_a_run_or_with_few_users_it_is_one_line(installed: Installation, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no finished run to read; `intentflow run"):
        discover.discover(replace(installed, home=tmp_path), discover.Asked())
    with pytest.raises(DataError, match=r"720 behaviours of 90 users .* 50 of 100 are needed"):
        discover.discover(installed, discover.Asked(unit="step", least=50))
    with pytest.raises(SpecError, match=r"--groups: of kmeans"):
        discover.discover(installed, discover.Asked(method="hdbscan", wanted=5))


def test_items_without_titles_are_one_line(installed: Installation, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    clean = json.loads((installed.home / RUN_FILE).read_text())["folders"]
    table = pq.read_table(Path(clean["clean"]) / "items.parquet")
    blank = table.set_column(table.schema.get_field_index("title"), "title", pa.nulls(table.num_rows, pa.string()))
    (tmp_path / "clean").mkdir()
    pq.write_table(blank, tmp_path / "clean" / "items.parquet")
    run = Run({"clean": tmp_path / "clean", "rows": Path(clean["rows"])}, "1", True, [], 1.0, {})
    (tmp_path / "home").mkdir()
    files.write_json(tmp_path / "home" / RUN_FILE, run.document())
    with pytest.raises(DataError, match=r"vectors.text.columns: no item has a text in title"):
        discover.discover(replace(installed, home=tmp_path / "home"), discover.Asked())


def test_the_verb_prints_the_proposal(
    installed: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_STATE", str(installed.home.parent))
    cli.main(["discover", str(installed.spec_path), "--min-users", "10"])
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["users"] == 90
    assert "groups of behaviours" in err
