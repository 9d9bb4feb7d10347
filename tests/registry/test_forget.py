"""Forgotten people and the registry: which versions are due for retraining, and what a server keeps."""

import shutil
from pathlib import Path

import pytest

from bentos.recommender.logs import trace_people, traces
from components.registry import aliases, forget, release
from components.registry import client as mlflow_client
from feature_repo import erasure
from feature_repo.errors import ServerError
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary
from tests.registry.conftest import EITHER

ANN, HIDDEN = "raw-user-7f3a-ann", "0123456789abcdef"
DATA = "da7ada7ada7a"
WHEN = "2024-01-01T00:00:00+00:00"
MARKS = (forget.RETRAINING, forget.REPRODUCIBLE, forget.REASON, forget.SINCE)


def unmark(shared) -> None:
    with mlflow_client.connected() as client:
        for part in ("intent", "ranking"):
            for tag in MARKS:
                client.delete_model_version_tag(f"shared-{part}", "1", tag)


def test_versions_of_the_persons_data_are_due_and_others_are_not(shared) -> None:
    release = shared.release()
    aliases.promote("shared", release.version, who="t", why="t")
    assert forget.mark("shared", {DATA: False}, when=WHEN) == []
    expected = ["shared-intent/1", "shared-ranking/1", f"shared-release/{release.version}"]
    try:
        assert forget.mark("shared", {DATA: True, "other": False}, when=WHEN) == expected
        assert forget.mark("shared", {DATA: False}, when="later") == expected, "what is due stays due"
        status = aliases.status("shared")
        tags = status.versions[status.holders["champion"]]
        assert {tag: tags[tag] for tag in MARKS} == {
            "retraining": "due",
            "reproducible": "false",
            "retraining_reason": "was trained with data of a person who was forgotten",
            "retraining_since": WHEN,
        }
    finally:
        unmark(shared)


def test_a_version_whose_data_is_not_at_hand_is_marked_since_nobody_can_tell(shared) -> None:
    try:
        assert forget.mark("shared", {}, when=WHEN) == ["shared-intent/1", "shared-ranking/1"]
        with mlflow_client.connected() as client:
            tags = client.get_model_version("shared-intent", "1").tags
        assert tags[forget.REASON].startswith("may have been trained")
    finally:
        unmark(shared)


@EITHER
def test_what_mlflow_keeps_elsewhere_is_looked_through_and_cleaned(shared, tmp_path: Path) -> None:
    people = trace_people.People((ANN,), (HIDDEN,))
    run_id = shared.registered.run_id
    (tmp_path / "note.txt").write_text(f"{ANN} asked\n")
    with mlflow_client.connected() as client:
        client.log_artifact(run_id, str(tmp_path / "note.txt"), "notes")
        client.set_tag(run_id, "note", f"seen {HIDDEN}")
    names_them = lambda text: any(needle.spans(text.encode()) for needle in people.needles)  # noqa: E731
    ask = {"here": lambda _: False, "names_them": names_them, "clean": lambda path: traces.clean(path, people)}
    looked, left, _ = forget.look_through("shared", **ask)
    assert looked > 100
    assert left == [f"run {run_id}"]
    with mlflow_client.connected() as client:
        client.delete_tag(run_id, "note")
        (tmp_path / "back").mkdir()
        assert Path(client.download_artifacts(run_id, "notes/note.txt", str(tmp_path / "back"))).read_text() == (
            f"{'x' * len(ANN)} asked\n"
        )


@EITHER
def test_item_tables_of_versions_are_emptied_and_the_release_is_fetched_as_before(shared, tmp_path: Path) -> None:
    made, person = shared.release(), "i4"  # an id of the toy's, as if it were a pseudonym
    people = trace_people.People((), (person,))

    def tables(folder: Path) -> list[Path]:
        return [path for path in traces.find([folder], people).item_tables if path.suffix == ".parquet"]

    def look(*, may: bool) -> tuple[int, list[str], int]:
        def erase(folder: Path, written: erasure.Written) -> int:
            return erasure.erase(folder, [person], None, written=written)

        return forget.look_through(
            "shared", here=lambda _: False, names_them=lambda _: False, clean=lambda _: 0, item_tables=tables,
            erase=erase if may else None,
        )  # fmt: skip

    safe = {part: shared.folder_of(part) / "artifacts" / "model" for part in ("intent", "ranking")}
    for part, folder in safe.items():
        shutil.copytree(folder, tmp_path / "safe" / part)
    try:
        assert look(may=False)[1:] == ([], 2)
        assert look(may=True)[1:] == ([], 0)
        folder = release.assemble("shared", made.version, tmp_path / "release")
        found = Vocabulary.load(folder / "ranking" / "vocabulary")
        assert (ReleaseFolder.verified(folder).id, found.item_ids[4]) == (made.id, "erased-4")
        assert look(may=True)[1:] == ([], 0)
        (safe["intent"] / "vocabulary" / erasure.FILE).unlink()
        with pytest.raises(ServerError, match=r"items\.parquet"):
            release.assemble("shared", made.version, tmp_path / "again")
    finally:
        for part, folder in safe.items():
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "safe" / part, folder)
