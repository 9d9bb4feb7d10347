"""`doctor --leaks` on a finished run: what it prints, its exit codes, and that it changes nothing."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import files
from tests.pipelines.conftest import Shop


@pytest.mark.slow  # ten seconds of rows made again; tests/leakage has the check itself
def test_the_one_leak_of_a_run_is_named_with_exit_3_and_the_planted_ones_are_caught(shop: Shop) -> None:
    before = files.read_json(shop.home / "run.json")
    # A column that is not from the past, in the artifact that the models read.
    path = Path(before["folders"]["rows"]) / "intent.parquet"
    honest = pq.read_table(path)
    try:
        pq.write_table(honest.append_column("hindsight", pa.array(range(honest.num_rows))), path)
        done = shop.here("doctor", str(shop.spec), "--leaks", "--users", "8", "--cutoffs", "1", "--json")
    finally:
        pq.write_table(honest, path)
    assert done.returncode == 3, done.stderr
    assert done.stderr == "intentflow: doctor --leaks: 1 leak; mend the features, then run again\n"
    document = json.loads(done.stdout)
    (leak,) = (leak for leak in document["leaks"] if leak["severity"] == "leak")
    assert (leak["table"], leak["column"]) == ("rows/intent", "hindsight")
    assert leak["what"] == "not reproducible from the past"
    assert [plant["name"] for plant in document["planted"] if not plant["caught"]] == []
    assert len(document["planted"]) == 8
    assert document["checked"]["intents"]
    assert files.read_json(shop.home / "run.json") == before
    assert not list(shop.home.glob("doctor-*"))


def test_without_a_finished_run_it_says_what_to_do(shop: Shop, tmp_path: Path) -> None:
    spec = tmp_path / "shop.yaml"
    spec.write_text(shop.spec.read_text().replace("name: shop", "name: other-shop"))
    done = shop.here("doctor", str(spec), "--leaks")
    assert done.returncode == 2
    assert "no finished run with its artifacts; run `intentflow run" in done.stderr
