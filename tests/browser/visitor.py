"""Somebody at a page: finds links, buttons and fields by the words they see, and counts each press of the mouse.

A field is found by its label and a button by its text, as people and screen readers find them; a test that uses this
fails where a field has no label. `Keyboard` does the same without a mouse.
"""

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.browser.page import WAIT_S, Page

# The words by which an element is known: its label's, its aria-label, or its text.
NAMED = r"""(e) => { const text = (x) => (x?.innerText ?? x?.textContent ?? '').replace(/\s+/g, ' ').trim();
  const by = e.getAttribute('aria-labelledby');
  if (by) return by.split(' ').map((id) => text(document.getElementById(id))).join(' ');
  if (e.getAttribute('aria-label')) return e.getAttribute('aria-label');
  if (e.labels && e.labels.length) return text(e.labels[0]);
  return text(e) || e.value || ''; }"""
PRESSED = "a[href], button, summary, input[type=submit], input[type=checkbox], input[type=radio], [role=button]"
FILLED = "input:not([type=hidden]):not([type=submit]), textarea, select"


def chosen(kinds: str, words: str) -> str:
    """Return JavaScript of the visible element of these kinds that these words name, or whose name begins so."""
    return (
        f"(() => {{ const named = {NAMED}; const all = [...document.querySelectorAll({json.dumps(kinds)})]"
        ".filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.disabled);"
        f" const wanted = {json.dumps(words)}; return all.find((e) => named(e) === wanted)"
        " ?? all.find((e) => named(e).startsWith(wanted)); })()"
    )


@dataclass
class Visitor:
    """Who looks at a page, with a mouse."""

    page: Page
    clicks: int = 0
    visited: list[str] = field(default_factory=list)  # what was clicked, for a failure's words

    def open(self, url: str, *, width: int = 0) -> None:
        """Go to an address, as by a bookmark; clicks are counted from here."""
        self.page.open("about:blank")
        self.page.open(url, width=width)
        self.clicks, self.visited = 0, []
        self.loaded()

    def loaded(self) -> None:
        """Wait until the page is there, and what htmx asked for."""
        script = "location.href !== 'about:blank' && document.readyState === 'complete'"
        self._until(f"{script} && !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')", "no page")

    def click(self, words: str) -> None:
        """Click what these words name."""
        self._mouse(chosen(PRESSED, words), words)

    def fill(self, label: str, text: str) -> None:
        """Click into a field and write into it, instead of what it holds."""
        self._mouse(chosen(FILLED, label), label)
        self.page.asked("document.activeElement.select?.(); 0")
        self.page.type(text)

    def choose(self, label: str, option: str) -> None:
        """Click on a list and choose from it; a browser without a head shows no list, so it is set."""
        self._mouse(chosen(FILLED, label), label)
        self.page.press("Escape")
        self.page.asked(
            f"(() => {{ const e = {chosen('select', label)}; const o = [...e.options]"
            f".find((o) => o.text.trim() === {json.dumps(option)} || o.value === {json.dumps(option)});"
            " e.value = o.value; e.dispatchEvent(new Event('input', {bubbles: true}));"
            " e.dispatchEvent(new Event('change', {bubbles: true})); })(); 0"
        )

    def enter(self) -> None:
        """Send the form that has the focus."""
        self.page.press("Enter")

    def sees(self, text: str) -> str:
        """Wait until the page shows a text; return all that it shows."""
        return self.page.shows(text)

    def picture(self, path: Path, *, width: int, whole: bool = True) -> None:
        """Keep what the page looks like in a window of this width."""
        clip = {}
        if whole:
            height = self.page.asked("document.documentElement.scrollHeight")
            clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        data = self.page.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def _mouse(self, script: str, words: str) -> None:
        box = (
            f"(() => {{ const e = {script}; if (!e) return null; e.scrollIntoView({{block: 'center'}});"
            " const r = e.getClientRects()[0];"
            " return r ? {x: Math.round(r.x + r.width / 2), y: Math.round(r.y + r.height / 2)} : null; })()"
        )
        place, deadline = None, time.monotonic() + WAIT_S
        while (now := self.page.asked(box)) is None or now != place:  # it stands still
            assert time.monotonic() < deadline, f"nothing is called '{words}':\n{self.page.text()[:3000]}"
            place = now
            time.sleep(0.05)
        for kind in ("mousePressed", "mouseReleased"):
            self.page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
        self.clicks += 1
        self.visited.append(words)

    def _until(self, script: str, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not self.page.asked(script):
            assert time.monotonic() < deadline, f"{what}:\n{self.page.text()[:2000]}"
            time.sleep(0.05)


@dataclass
class Keyboard(Visitor):
    """Who looks at a page, with keys alone."""

    most_tabs: int = 120

    def click(self, words: str) -> None:
        """Go to what these words name with the tabulator, and press Enter, or Space on what has no Enter."""
        self._to(PRESSED, words)
        what = "document.activeElement.matches('input[type=checkbox], input[type=radio], summary')"
        self.page.press("Space" if self.page.asked(what) else "Enter")
        self.visited.append(words)

    def fill(self, label: str, text: str) -> None:
        """Go to a field with the tabulator and write."""
        self._to(FILLED, label)
        self.page.asked("document.activeElement.select?.(); 0")
        self.page.type(text)

    def choose(self, label: str, option: str) -> None:
        """Go to a list and write the beginning of what is wanted."""
        self._to(FILLED, label)
        for letter in option:
            self.page.call("Input.dispatchKeyEvent", type="char", text=letter)
        chosen_now = self.page.asked("document.activeElement.selectedOptions[0].text.trim()")
        assert chosen_now == option, f"'{label}' is '{chosen_now}', not '{option}'"

    def _to(self, kinds: str, words: str) -> None:
        wanted = chosen(kinds, words)
        self._until(f"!!({wanted})", f"nothing is called '{words}'")
        passed = []
        for _ in range(self.most_tabs):
            self.page.press("Tab")
            if self.page.asked(f"document.activeElement === ({wanted})"):
                ring = (
                    "(() => { const s = getComputedStyle(document.activeElement);"
                    " return (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none';"
                    " })()"
                )
                assert self.page.asked(ring), f"'{words}' has the focus and does not show it"
                return
            passed.append(self.page.asked(f"({NAMED})(document.activeElement).slice(0, 30)"))
        raise AssertionError(f"the tabulator never came to '{words}', only to {passed}")
