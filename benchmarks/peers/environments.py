"""Where each peer lives: an environment of its own on top of the project's, made once and kept.

A peer's own versions of shared packages come first, ours fill what it lacks (torch, feast), so that nobody's pins
decide for the others. A word `!torch` of its line is a package that it asks for and that is not installed: ours serves,
or it does without.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from feature_repo.errors import ServerError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_S = 900


def python_of(peer: str, folder: Path) -> Path:
    """Return the Python of a peer's environment below a folder; makes it on first use, whole or not at all."""
    wanted = next((line for line in REQUIREMENTS.read_text().splitlines() if line.startswith(peer)), None)
    if wanted is None:
        return Path(sys.executable)
    home = folder / re.sub(r"[\[\]<]", "-", wanted).replace(" ", "+")
    python, done = home / "bin" / "python", home / "installed"
    if not done.is_file():
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)])
        ours = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "ours.pth"
        ours.write_text(sysconfig.get_path("purelib") + "\n")
        uv = Path(sys.executable).with_name("uv")
        words, left = packages(wanted)
        (home / "left-out.txt").write_text("".join(f"{name}; python_version < '3'\n" for name in left))
        without = ["--override", str(home / "left-out.txt")] if left else []
        _run([str(uv), "pip", "install", "--quiet", "--python", str(python), *without, *words, "uvicorn"])
        done.touch()
    return python


def packages(line: str) -> tuple[list[str], list[str]]:
    """Return what is installed for a peer's line, and what it is not given.

    >>> packages("recbole==1.2.1 numpy<2 !torch")
    (['recbole==1.2.1', 'numpy<2'], ['torch'])
    """
    words = line.split()
    return [word for word in words if word[0] != "!"], [word[1:] for word in words if word[0] == "!"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        raise ServerError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
