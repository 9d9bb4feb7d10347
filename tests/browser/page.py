"""A page in a headless Chromium that a test can click in, over its DevTools protocol."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from tests.patience import patient

START_S, WAIT_S = patient(60.0), patient(60.0)
TRIES = 6  # at what may be asked twice
VIEW = {"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowDown": 40, "ArrowUp": 38}
LEFT = "Inspected target navigated or closed"  # as Chromium says it
TYPED = {"Enter": "\r", "Space": " "}  # what a key writes


class LeftPage(AssertionError):
    """A command found its page on the way out."""


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0

    def call(self, method: str, *, wait_s: float = WAIT_S, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=wait_s))
            if message.get("id") == self._number:
                if LEFT in str(message.get("error")):
                    raise LeftPage(message)
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str, *, width: int = 0) -> None:
        """Go to an address, in a window of another width where one is given."""
        self.call("Emulation.setDeviceMetricsOverride", **VIEW | ({"width": width} if width else {}))
        self.call("Page.navigate", url=url)

    def run(self, script: str, *, promised: bool = False) -> Any:
        """Evaluate JavaScript and return its value; `promised` waits for that of a promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=promised)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def asked(self, script: str) -> Any:
        """Evaluate JavaScript that may run twice: asked while a page gives way to another, it may stay unanswered."""
        for _ in range(TRIES - 1):
            try:
                found = self.call("Runtime.evaluate", wait_s=WAIT_S / TRIES, expression=script, returnByValue=True)
            except (TimeoutError, LeftPage):
                time.sleep(0.1)
                continue
            assert "exceptionDetails" not in found, found
            return found["result"].get("value")
        return self.run(script)

    def text(self) -> str:
        """Return what the page shows."""
        return str(self.asked("document.body ? document.body.innerText : ''")).replace("\u00a0", " ")

    def shows(self, text: str, *, seconds: float = WAIT_S) -> str:
        """Wait until the page shows a text; return all that it shows."""
        deadline = time.monotonic() + seconds
        while text not in (shown := self.text()):
            assert time.monotonic() < deadline, f"'{text}' is not on the page:\n{shown[:3000]}"
            time.sleep(0.2)
        return shown

    def click(self, selector: str) -> None:
        """Click the middle of an element, once it is there."""
        place = self._place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, one of KEYS."""
        typed = TYPED.get(key, "")
        for kind in ("rawKeyDown", *(["char"] if typed else []), "keyUp"):
            what = {"key": typed if key == "Space" else key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            more = {"text": typed} if kind == "char" else {}
            self.call("Input.dispatchKeyEvent", type=kind, modifiers=8 if shift else 0, **what, **more)

    def _place(self, selector: str) -> dict[str, float]:
        """Wait for an element that stands still, and return its middle."""
        script = (
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); if (!found) return null;"
            " found.scrollIntoView({block: 'center'}); const r = found.getBoundingClientRect();"
            " return r.width ? {x: r.x + r.width / 2, y: r.y + r.height / 2} : null; })()"
        )
        deadline, before = time.monotonic() + WAIT_S, None
        while (now := self.run(script)) is None or now != before:
            assert time.monotonic() < deadline, f"no element {selector}:\n{self.text()[:3000]}"
            before = now
            time.sleep(0.2)
        return dict(now)


@contextlib.contextmanager
def browsed(browser: str, profile: Path, flags: Sequence[str]) -> Iterator[Page]:
    """Start a browser with one tab; end it and all its processes afterwards."""
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", *flags]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={profile}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port = _port(profile, process)
        with requests.Session() as session:
            session.trust_env = False
            tabs = session.get(f"http://127.0.0.1:{port}/json", timeout=START_S).json()
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(patient(20))


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_S
    file = profile / "DevToolsActivePort"
    while not (file.exists() and "\n" in file.read_text()):
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser opened no port"
        time.sleep(0.1)
    return int(file.read_text().splitlines()[0])
