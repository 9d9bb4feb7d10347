"""One check, and many of them at once: each in a thread of its own, all within a few seconds."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

TIMEOUT_S = 3  # to connect, and for an answer
LIMIT_S = 9.0  # of all checks together: a client that resolves names or tries again may be slower than its timeouts
LINE = 200  # characters of a server's words that are shown


@dataclass(frozen=True)
class Check:
    """One check and what it found."""

    name: str
    fine: bool | None  # None: it could not be checked, and the note says why
    note: str


def together(checks: Mapping[str, Callable[[], list[Check]]], *, limit_s: float = LIMIT_S) -> list[Check]:
    """Run checks at the same time; one that is not done in time is a failed one. The order stays."""
    found: dict[str, list[Check]] = {}
    failed: list[BaseException] = []

    def run(name: str, check: Callable[[], list[Check]]) -> None:
        try:
            found[name] = check()
        except BaseException as error:  # raised again below, in the thread that asked
            failed.append(error)

    # Daemons: a check that hangs must not keep the process from ending.
    threads = [threading.Thread(target=run, args=one, daemon=True) for one in checks.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if failed:
        raise failed[0]
    late = f"no answer in {limit_s:g} s; start the server or mend its address"
    return [one for name in checks for one in found.get(name, [Check(name, False, late)])]


def bare(url: str) -> str:
    """Return a URL without the user and password in it.

    >>> bare("http://ann:s3cret@mlflow:5000/a"), bare("http://mlflow:5000")
    ('http://mlflow:5000/a', 'http://mlflow:5000')
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def words(error: BaseException, *secrets: str) -> str:
    """Return an error's words in one line, without any secret."""
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text[:LINE]
