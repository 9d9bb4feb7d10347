"""The page docs/your-data.md tells the truth: its `init` commands run on a made file, and its fields exist."""

import datetime as dt
import random
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from components.data.spec import Data
from feature_repo.checkout import ROOT
from pipelines.cli import cli
from pipelines.reference import lookup

PAGE = (ROOT / "docs" / "your-data.md").read_text()
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("intentflow init")
]
FIELDS = [
    "intents[].level",
    "intents[].top",
    "intents[].horizon_days",
    "models.ranking.min_item_sessions",
    "models.ranking.min_item_users",
    "models.ranking.kinds",
    "models.ranking.hide",
    "models.ranking.undo",
    "models.ranking.impression",
    "models.ranking.passed_over",
    "data.source.impressions",
    "models.ranking.train_weeks",
    "data.without_item",
    "profiles.train_users",
    "data.split.test_weeks",
    "data.source.made_times",
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of plays under names that `init` knows and under the page's own, and its songs."""
    dice = random.Random(0)
    rows = []
    for n in range(300):
        at = dt.datetime(2024, 1, 1) + dt.timedelta(minutes=dice.randrange(70 * 1440))
        rows.append(f"{n % 25},{n % 10},{at:%Y-%m-%d %H:%M}")
    (tmp_path / "plays.csv").write_text("listener,song,played_at\n" + "\n".join(rows) + "\n")
    (tmp_path / "songs.csv").write_text("id,title,genre\n" + "".join(f"{n},Song {n},g{n % 3}\n" for n in range(10)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_the_commands_that_are_run_here() -> None:
    assert len(COMMANDS) == 2


def test_the_commands_of_the_page_run(files: Path) -> None:
    (files / "plays.csv").write_text((files / "plays.csv").read_text().replace("listener,song", "user,track_id", 1))
    done = CliRunner().invoke(cli, COMMANDS[0])
    assert done.exit_code == 0, done.output
    (files / "plays.csv").write_text((files / "plays.csv").read_text().replace("user,track_id", "listener,song", 1))
    done = CliRunner().invoke(cli, COMMANDS[1])
    assert done.exit_code == 0, done.output
    assert "plays.yaml: written; next: intentflow demo plays.yaml" in done.output
    assert "300 rows of 25 users and 10 items, 10 weeks" in done.output
    spec = yaml.safe_load((files / "plays.yaml").read_text())
    Data.model_validate(spec["data"])
    assert spec["data"]["source"]["events"]["columns"]["user_id"] == "listener"
    assert spec["intents"][0]["level"] == "items.genre"


@pytest.mark.parametrize("field", FIELDS)
def test_the_fields_of_the_page_exist(field: str) -> None:
    assert field.rpartition(".")[2] in PAGE
    assert lookup.explain(field)
