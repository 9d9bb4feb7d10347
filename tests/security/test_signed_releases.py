"""Who can write to the registry cannot make a service load code or weights of their own where releases are signed."""

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from bentos.release import Release
from components.registry import client as mlflow_client
from components.registry import signing_keys
from components.registry.release import assemble, model_name
from feature_repo import env_names, file_set, files, release_folder, signing
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, SpecError, UserError
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import place
from pipelines.graphs import admission
from pipelines.graphs.parameters import form
from pipelines.releases.release import fetched, models_of
from tests.registry.conftest import Shared
from tests.security.test_release_files import release

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
PRIVATE, OTHER = secrets.token_hex(32), secrets.token_hex(32)


def public(private: str) -> str:
    made = signing.signer({signing.KEY: private})
    assert made is not None
    return made.public


def signed(folder: Path, *, private: str = PRIVATE) -> Path:
    one = signing.signer({signing.KEY: private})
    assert one is not None
    (folder / signing.FILE).write_text(one.sign(files.read_json(folder / "release.json")))
    return folder


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing is on: one public key is trusted, as in a service's pod."""
    monkeypatch.setenv(signing.PUBLIC, public(PRIVATE))
    monkeypatch.delenv(signing.KEY, raising=False)


def trust(*keys: str) -> signing.TrustedKeys:
    return signing.trusted({signing.PUBLIC: ",".join(map(public, keys))})


def test_a_signed_release_is_loaded(tmp_path: Path, on: None) -> None:
    assert Release.verified(signed(release(tmp_path))).name == "shop"


def test_a_release_without_a_signature_is_refused_where_signing_is_on_and_read_where_it_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: None
) -> None:
    folder = release(tmp_path)
    with pytest.raises(DataError, match="is not signed") as said:
        ReleaseFolder.read(folder)
    assert "\n" not in str(said.value)
    monkeypatch.delenv(signing.PUBLIC)
    assert ReleaseFolder.read(folder).name == "shop"


def test_a_stranger_s_key_signs_nothing(tmp_path: Path, on: None) -> None:
    with pytest.raises(DataError, match=f"signed with the key {signing.name_of(public(OTHER))}"):
        ReleaseFolder.read(signed(release(tmp_path), private=OTHER))


def test_a_stranger_s_signature_under_a_trusted_name_is_refused(tmp_path: Path, on: None) -> None:
    folder = signed(release(tmp_path), private=OTHER)
    found = files.read_json(folder / signing.FILE)
    files.write_json(folder / signing.FILE, found | {"key": signing.name_of(public(PRIVATE))})
    with pytest.raises(DataError, match="is not of this document"):
        ReleaseFolder.read(folder)


def test_a_signature_of_another_release_is_refused(tmp_path: Path, on: None) -> None:
    folder = signed(release(tmp_path))
    document = files.read_json(folder / "release.json")
    rest = {key: value for key, value in document.items() if key not in ("id", "format")}
    files.write_json(folder / "release.json", release_folder.identified(rest | {"policy": "greedy@2"}))
    with pytest.raises(DataError, match="is not of this document"):
        ReleaseFolder.read(folder)


def test_weights_of_a_stranger_below_a_signed_document_are_refused(tmp_path: Path, on: None) -> None:
    folder = signed(release(tmp_path))
    (folder / "ranking" / "config.json").write_text("{}")
    with pytest.raises(DataError, match="is not what release"):
        Release.verified(folder)


def test_a_signature_cannot_hold_to_a_digest_of_48_bits(tmp_path: Path, on: None) -> None:
    with pytest.raises(DataError, match="digest is of the short form"):
        ReleaseFolder.read(signed(release(tmp_path, full=False)))


@pytest.mark.parametrize("text", ["{}", "[]", "null", "no JSON", '{"key": "k", "signature": "zz"}', "\x00"])
def test_a_signature_that_is_none_is_one_line(tmp_path: Path, on: None, text: str) -> None:
    folder = release(tmp_path)
    (folder / signing.FILE).write_text(text)
    with pytest.raises(DataError) as said:
        ReleaseFolder.read(folder)
    assert "\n" not in str(said.value)


def test_a_key_is_changed_without_a_release_being_refused(tmp_path: Path) -> None:
    document = files.read_json(release(tmp_path) / "release.json")
    before, after = (signed(tmp_path, private=k).joinpath(signing.FILE).read_text() for k in (PRIVATE, OTHER))
    for text in (before, after):  # services know both keys first, then what is new is signed with the new one
        trust(PRIVATE, OTHER).require(document, text, "place")
    trust(OTHER).require(document, after, "place")
    with pytest.raises(DataError, match="trusted are"):
        trust(OTHER).require(document, before, "place")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({signing.PUBLIC: "ab"}, f"{signing.PUBLIC}: a key must be 64 hex digits"),
        ({signing.PUBLIC: "zz" * 32}, f"{signing.PUBLIC}: a key must be 64 hex digits"),
        ({signing.KEY: "00"}, f"{signing.KEY}: a key must be 64 hex digits"),
        ({signing.PUBLIC: public(PRIVATE)}, f"{signing.KEY} is not set"),
        ({signing.PUBLIC: public(PRIVATE), signing.KEY: OTHER}, "is not among those of"),
    ],
)
def test_keys_that_would_sign_nothing_useful_are_one_line_before_any_work(
    variables: Mapping[str, str], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as error:
        signing.require_signer(variables)
    assert all(key not in str(error.value) for key in (PRIVATE, OTHER))


def test_the_private_key_alone_signs_and_refuses_nothing() -> None:
    """So the release that serves goes on until the next one, which is signed, takes its place."""
    assert not signing.trusted({signing.KEY: PRIVATE}).on
    assert signing.require_signer({signing.KEY: PRIVATE}).public == public(PRIVATE)
    assert not signing.trusted({}).on
    assert signing.require_signer({}) is None


@WITHOUT_SERVER
def test_registering_signs_and_an_alias_moved_to_a_stranger_s_release_loads_nothing(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack of the review: who reaches MLflow makes a version of files of their own and moves the champion."""
    monkeypatch.setenv(signing.KEY, PRIVATE)
    made = shared.release()
    monkeypatch.delenv(signing.KEY)
    monkeypatch.setenv(signing.PUBLIC, public(PRIVATE))
    folder = assemble("shared", made.version, tmp_path / "good")
    assert (folder / signing.FILE).is_file()
    assert ReleaseFolder.verified(folder).id == made.id

    document = files.read_json(folder / "release.json")
    rest = {key: value for key, value in document.items() if key not in ("id", "format")}
    theirs = release_folder.identified(rest | {"policy": "theirs@1"})
    evil = tmp_path / "evil"
    evil.mkdir()
    files.write_json(evil / "release.json", theirs)
    files.write_json(evil / "files.json", {part: file_set.listed(folder / part) for part in ("intent", "ranking")})
    with mlflow_client.connected() as client:
        first = client.get_model_version(model_name("shared"), made.version)
        tags = {"id": theirs["id"], "gates": "passed", signing.TAG: first.tags[signing.TAG]}
        version = client.create_model_version(model_name("shared"), evil.as_uri(), first.run_id, tags=tags).version
        client.set_registered_model_alias(model_name("shared"), "champion", version)
    with pytest.raises(DataError, match="is not of this document"):
        assemble("shared", "champion", tmp_path / "served")
    assert not (tmp_path / "served").exists()


@WITHOUT_SERVER
def test_what_was_registered_before_signing_was_on_is_signed_when_it_is_registered_again(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shared.release()
    monkeypatch.setenv(signing.KEY, PRIVATE)
    monkeypatch.setenv(signing.PUBLIC, public(PRIVATE))
    with pytest.raises(UserError, match="is not signed"):
        assemble("shared", made.version, tmp_path / "release")
    assert shared.release().id == made.id
    assert assemble("shared", made.version, tmp_path / "release").is_dir()


@WITHOUT_SERVER
def test_a_fetched_folder_that_was_changed_is_fetched_again(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.KEY, PRIVATE)
    monkeypatch.setenv(signing.PUBLIC, public(PRIVATE))
    made = shared.release()
    folder = assemble("shared", made.version, tmp_path / "release")
    shutil.rmtree(folder / "intent")
    (folder / signing.FILE).unlink()
    assert ReleaseFolder.verified(assemble("shared", made.version, folder)).id == made.id


def test_what_a_state_folder_holds_of_before_signing_can_still_be_named(tmp_path: Path, on: None) -> None:
    """Rotating the key of people asks which releases were made under it; nothing of them is loaded."""
    folder = release(tmp_path / "new")
    place_of = models_of(tmp_path, "0123456789ab")
    place_of.parent.mkdir(parents=True)
    folder.rename(place_of)
    assert [one.name for one in fetched(tmp_path)] == ["shop"]
    with pytest.raises(DataError, match="is not signed"):
        ReleaseFolder.read(place_of)


def test_made_keys_fit_each_other_and_the_private_one_is_printed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signing_keys.main([]) == 0
    private, shown = (line.split()[1] for line in capsys.readouterr().out.splitlines())
    monkeypatch.setenv(env_names.SIGNING_KEY, private)
    assert signing_keys.main(["--public"]) == 0
    assert capsys.readouterr().out.strip() == shown == public(private)
    monkeypatch.delenv(env_names.SIGNING_KEY)
    assert signing_keys.main(["--public"]) == 2


@pytest.mark.parametrize(
    ("mode", "which", "refused"), [("", "", True), ("dry_run", "", False), ("", "champion", False)]
)
def test_a_run_that_could_not_sign_ends_in_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, which: str, refused: bool
) -> None:
    at = place(ROOT / "pipelines/specs/synthetic.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    for name, value in (at.variables | {signing.PUBLIC: public(PRIVATE), signing.KEY: ""}).items():
        monkeypatch.setenv(name, value)

    def admitted() -> object:
        return admission.admit("synthetic", form(at.spec)["spec"], mode=mode, which=which, k=0, note="")

    if not refused:
        assert admitted()
        return
    with pytest.raises(SpecError, match=f"{signing.KEY} is not set"):
        admitted()
