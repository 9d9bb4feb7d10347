"""What code and locks a run was made with: digests for cache keys and lineage."""

import functools
import os
import subprocess

from feature_repo import env_names, files
from feature_repo.checkout import LOCK, ROOT
from pipelines.graphs.reached_code import Tree


@functools.cache
def package_digest(*folders: str) -> str:
    """Digest the source files of folders below the checkout."""
    return files.file_digest(*(ROOT / folder for folder in folders))


_HERE = Tree(ROOT, keeps=True)


def step_digest(component: str) -> str:
    """Digest the code that a component's steps reach by imports: another digest, and they run again."""
    return _HERE.digest(component)


def lock_digest() -> str:
    """Digest the lock file."""
    return files.file_digest(LOCK)


def git_commit() -> str:
    """Name the commit of the checkout, '-dirty' where files were changed; an image's is the one it was built of."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return os.environ.get(env_names.COMMIT, "unknown")
    return f"{commit}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
