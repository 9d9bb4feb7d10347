"""A release is made of the registry alone: wherever and however often it is assembled, the bytes are the same."""

import pytest

from components.registry.release import assemble


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_assembling_twice_gives_the_same_bytes(shared, tmp_path) -> None:
    made = shared.release()
    folders = [assemble("shared", made.version, tmp_path / where) for where in ("here", "there")]
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert files[0] == files[1]
    assert len(files[0]) > 3
