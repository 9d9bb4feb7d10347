"""Fuzz every reader for its share of the time, or some of them; exit 1 where one falls over.

    python -m tests.fuzz --minutes 10 [--only backups,specs]

Each reader has a process of its own (one_target.py), so that a crash of one leaves the others their time. What it fell
over is kept below --keep, with the line that reproduces it.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from feature_repo.checkout import ROOT

LEAST_S = 5  # for one reader: its imports alone take one or two
STUCK_S = 300.0  # beyond its time, after which a process is ended
CORPUS = Path(__file__).parent / "corpus"


def fuzz(name: str, *, seconds: int, keep: Path) -> bool:
    """Fuzz one reader; say what came of it, and return whether it held."""
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:  # what libFuzzer adds; corpus/ itself stays as it is
        command = [sys.executable, "-m", "tests.fuzz.one_target", name, f"-max_total_time={seconds}"]
        command += [f"-artifact_prefix={keep}/{name}-", grown, str(CORPUS / name)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + STUCK_S
            )
        except subprocess.TimeoutExpired:
            print(f"{name:14} STUCK   not done {STUCK_S:.0f} s after its {seconds} s")
            return False
    runs = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("Done ")), "")
    if done.returncode == 0 and runs:
        print(f"{name:14} held    {runs.removeprefix('Done ').partition(' in')[0]}", flush=True)
        return True
    if done.returncode == 0:  # it ended without having run: no success
        print(f"{name:14} DID NOT RUN\n{done.stderr[-2000:]}", flush=True)
        return False
    found = sorted(keep.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
    again = f"python -m tests.fuzz.one_target {name} {found[-1]}" if found else "no input was kept"
    print(f"{name:14} CRASHED {_said(done.stdout + done.stderr)}\n  again: {again}", flush=True)
    return False


def _said(text: str) -> str:
    """Return what the exception of a crash was, or libFuzzer's own word for it."""
    lines = text.splitlines()
    at = next((n for n, line in enumerate(lines) if "Uncaught Python exception" in line), None)
    if at is not None:
        told = [line for line in lines[at + 1 : at + 60] if not line.startswith(("INFO:", "="))]
        return "\n".join(told[:12] + ["    …"] * (len(told) > 30) + told[12:][-18:]).strip()
    return next((line for line in lines if "ERROR" in line), text[-2000:])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all readers together (default: 10)")
    parser.add_argument("--only", default="", help="readers to fuzz, separated by commas (default: every one)")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where crashes are kept")
    asked = parser.parse_args()
    have = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
    names = [name for name in asked.only.split(",") if name] or have
    if wrong := [name for name in names if name not in have]:
        parser.error(f"--only: no reader '{wrong[0]}'; have {', '.join(have)}")
    if asked.minutes <= 0:
        parser.error(f"--minutes: {asked.minutes:g} is not allowed; give more than 0")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; `make fuzz` installs it (Linux on x86-64, Python 3.11 to 3.13)")
    seconds = max(LEAST_S, round(asked.minutes * 60 / len(names)))
    held = [fuzz(name, seconds=seconds, keep=asked.keep.absolute()) for name in names]
    print(f"{sum(held)} of {len(held)} readers held, {seconds} s each")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
