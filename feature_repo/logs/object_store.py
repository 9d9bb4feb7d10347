"""Folders and object stores by one address: what a door ships its log to, and what the loop and the jobs read there.

A URL is opened by `pyarrow.fs` (s3, gs, abfs, file; `fsspec+NAME://` for what fsspec has), with the provider's own
credentials. A plain path is a folder of this machine. What the files mean is not known here.
"""

import contextlib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo.errors import ServerError

ASIDE = ".part"  # of a file that is not whole yet


@dataclass(frozen=True)
class Entry:
    """A file of a store."""

    path: str
    size: int
    written_s: float  # epoch seconds

    @property
    def name(self) -> str:
        """Return the file's own name."""
        return posixpath.basename(self.path)

    @property
    def folder(self) -> str:
        """Return the name of the folder that it lies in."""
        return posixpath.basename(posixpath.dirname(self.path))


@dataclass(frozen=True)
class Store:
    """A file system and the path in it where a store begins."""

    system: Any  # pyarrow.fs.FileSystem
    base: str

    def files(self, suffix: str) -> list[Entry]:
        """List whole files below the store, by path; none where there is no such folder yet."""
        from pyarrow import fs

        found = self.system.get_file_info(fs.FileSelector(self.base, recursive=True, allow_not_found=True))
        return sorted(
            (_entry(info) for info in found if info.type == fs.FileType.File and info.path.endswith(suffix)),
            key=lambda entry: entry.path,
        )

    def entry(self, path: str) -> Entry | None:
        """Return a file, None where it is not there."""
        from pyarrow import fs

        info = self.system.get_file_info(path)
        return _entry(info) if info.type == fs.FileType.File else None

    @contextlib.contextmanager
    def written(self, path: str) -> Iterator[Any]:
        """Yield a stream; the file takes its name once the block ended well, and replaces the one that was there."""
        self.make_folder(posixpath.dirname(path))
        with self.system.open_output_stream(path + ASIDE) as sink:
            yield sink
        self.system.move(path + ASIDE, path)

    def make_folder(self, path: str) -> None:
        """Make a folder; in an object store there is nothing to make."""
        from pyarrow import fs

        if isinstance(self.system, fs.LocalFileSystem) or self.system.type_name == "local":
            self.system.create_dir(path, recursive=True)

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone is gone."""
        with contextlib.suppress(FileNotFoundError):
            self.system.delete_file(path)


def opened(address: str) -> Store:
    """Open a store by URL or folder."""
    from pyarrow import fs

    if "://" not in address:
        return Store(fs.LocalFileSystem(), str(Path(address).absolute()))
    system, base = fs.FileSystem.from_uri(address)
    return Store(system, base.rstrip("/"))


def shown(address: str) -> str:
    """Return an address as it may be printed: without a password, and without what a query may hold.

    >>> shown("s3://ana:pass@bucket/path?secret_key=x")
    's3://ana:***@bucket/path'
    """
    return re.sub(r"(://[^/:@]*):.*@", r"\1:***@", address.partition("?")[0])


@contextlib.contextmanager
def reached(address: str) -> Iterator[Store]:
    """Open a store for work whose failures become one line."""
    try:
        yield opened(address)
    except (OSError, ValueError) as error:  # arrow's errors are of these two kinds
        words = " ".join(str(error).split())[:300]
        raise ServerError(f"requests.url: {shown(address)}: {words}") from error


def _entry(info: Any) -> Entry:
    return Entry(info.path, int(info.size or 0), float(info.mtime_ns or 0) / 1e9)
