"""Digests of segments: which items, which words, who wrote them, and that few people are told of in none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.content import digests
from components.content.digests import Release, Segment
from components.content.llm import prompts
from components.content.llm.client import Client
from components.content.llm.settings import Endpoint
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter
from components.content.spec import Content
from feature_repo.fallback import Fallback, ListedItem
from feature_repo.vocabulary import Target, Vocabulary
from pipelines.jobs import run
from pipelines.jobs.spec import Digests
from tests.content.openai_server import KEY, MODEL, Behaviour, running

TITLES = ["Tea", "Penne", "Soup", "A very long name of a thing " + "x" * 60]


def listed(**shares: float) -> ListedItem:
    places = [int(name[1:]) for name in shares]
    return ListedItem(np.asarray(places, dtype=np.int64), np.asarray(list(shares.values())))


@pytest.fixture
def release() -> Release:
    items = pa.table({"item_id": ["i0", "i1", "i2", "i3"], "title": TITLES, "goes_with": ["milk", None, None, None]})
    pairs = pa.table({"item_id": ["i1"], "target_id": [0], "kind": ["purchase"]})
    return Release(
        id="abc",
        vocabulary=Vocabulary((Target("buy", "PASTA", "purchase", "category"),), items, pairs),
        hidden=frozenset({2}),
        fallback=Fallback(
            "d", ("cooks",), np.asarray([[0.4], [0.1]], dtype=np.float32), (listed(i0=0.2), listed(i0=0.1, i1=0.05))
        ),
        content=Content(
            prompt="template@3", frames={"buy:PASTA": "cook_tonight"}, knowledge={"goes_with": "goes with"}
        ),
        verb="bought",
        step="week",
    )  # fmt: skip


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Five users: three cooks and two of no segment; `i2` is withdrawn since, `gone` in no catalogue."""
    groups = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1}
    lists = {"a": ["i0", "i1"], "b": ["i1", "i0"], "c": ["i2", "i1"], "d": ["i3", "gone"], "e": ["i3", "i0"]}
    pq.write_table(pa.table({"user_id": list(groups), "group": list(groups.values())}), tmp_path / "rows.parquet")
    lines = [(user, item, place) for user, items in lists.items() for place, item in enumerate(items, 1)]
    columns = dict(zip(("user_id", "item_id", "rank"), map(list, zip(*lines, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "recommendations.parquet")
    return tmp_path


def test_the_items_are_those_of_most_lists_that_may_be_shown_by_now(batch: Path, release: Release) -> None:
    assert digests.segments(batch, batch, release, items=2, least_users=1) == [
        Segment("cooks", 0, 3, ("i1", "i0")),
        Segment("everyone", 1, 2, ("i3", "i0")),
    ]


def test_a_segment_of_few_users_has_none(batch: Path, release: Release) -> None:
    assert [one.name for one in digests.segments(batch, batch, release, items=2, least_users=3)] == ["cooks"]


def written(release: Release, found: list[Segment], folder: Path, **more: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"channels": ("mail", "push"), "language": "en", "model": None} | more
    digests.write(found, release, folder, **asked)
    lines: list[dict[str, Any]] = pq.read_table(folder / digests.TABLE).to_pylist()
    return lines


COOKS = Segment("cooks", 0, 3, ("i1", "i0"))


def test_fixed_sentences_speak_to_the_segment(release: Release, tmp_path: Path) -> None:
    mail, push = written(release, [COOKS], tmp_path)
    assert (mail["subject"], mail["items"], mail["sources"]) == (
        "For you: Penne, Tea", ["i1", "i0"], ["template@3", "template@3"],
    )  # fmt: skip
    assert mail["text"].splitlines() == [
        "For tonight: Penne.",
        "Tea. 20% of users like you bought it lately. 10% of all active users bought it lately.",
    ]
    assert (push["text"], push["subject"], push["items"], push["model"]) == (
        "For tonight: Penne.", "", ["i1"], None,
    )  # fmt: skip


def test_a_push_text_is_cut_to_what_a_telephone_shows(release: Release, tmp_path: Path) -> None:
    content = release.content.model_copy(update={"prompt": "template@2", "max_attributes": 5})
    items = release.vocabulary.items.append_column("brand", pa.array(["A brand of " + "words " * 12] * 4))
    long = replace(release, content=content, vocabulary=replace(release.vocabulary, items=items))
    (push,) = written(long, [replace(COOKS, items=("i3",))], tmp_path, channels=("push",))
    assert len(push["text"]) <= digests.PUSH
    assert push["text"].startswith("For you: A very long name of a thing")
    assert push["sources"] == []


def test_in_chinese(release: Release, tmp_path: Path) -> None:
    (mail,) = written(release, [COOKS], tmp_path, channels=("mail",), language="zh")
    assert (mail["subject"], mail["sources"][0]) == ("为您挑选: Penne、Tea", "template@2.zh")


def test_a_model_writes_where_it_is_grounded_and_the_file_says_who_wrote(release: Release, tmp_path: Path) -> None:
    behaviour = Behaviour(says=lambda prompt: "Try Tea at home." if "Tea" in prompt else "The best penne of Italy.")
    with running(behaviour) as url:
        writer = ModelWriter(
            Client(Endpoint(url=url, model=MODEL), KEY), Model(deadline_ms=20_000), prompts.texts("blurb@1")
        )
        mail, push = written(release, [COOKS], tmp_path, model=writer)
    assert mail["text"].splitlines()[1] == "Try Tea at home."
    assert (mail["sources"], mail["model"], mail["fallbacks"]) == (["template@3", "llm@1"], MODEL, ["ungrounded"])
    assert (push["model"], push["fallbacks"]) == (None, ["ungrounded"])
    assert "users like" not in str(behaviour.prompts), (
        "what is true of a segment leaves for no endpoint that may not have it"
    )


@pytest.mark.parametrize("wrong", [{"channels": []}, {"channels": ["fax"]}, {"items": 0}, {"least_users": 0}])
def test_what_cannot_be_written_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Digests.model_validate(wrong)


def test_it_is_among_the_jobs() -> None:
    assert "digests" in run.DOES
