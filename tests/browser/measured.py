"""What a page measures in the browser: whether it scrolls sideways, and what is cut off, covered or out of reach."""

from typing import Any

from tests.browser.page import Page

# A box that scrolls by itself may be wider than the window; what is only for screen readers has no place.
SCRIPT = r"""(() => {
  const shown = (one) => { for (let e = one; e; e = e.parentElement) { const s = getComputedStyle(e);
      if (s.display === 'none' || s.visibility !== 'visible' || s.opacity === '0') return false;
      if (s.clipPath !== 'none' || (s.clip && s.clip !== 'auto')) return false;
      if (e.tagName === 'DETAILS' && !e.open && one !== e && !e.querySelector(':scope > summary')?.contains(one))
        return false; }
    return true; };
  const scrolls = (one) => { for (let e = one; e && e !== document.body; e = e.parentElement)
      if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return true; return false; };
  const name = (e) => `<${e.tagName.toLowerCase()}${e.className && e.className.baseVal === undefined
      ? ' class=' + e.className : ''}> "${(e.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 60)}"`;
  const wide = document.documentElement.scrollWidth, window_ = document.documentElement.clientWidth;
  const said = [];
  if (wide > window_) said.push(`the page is ${wide} px wide in a window of ${window_}`);
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, e = node.parentElement;
    if (!node.textContent.trim() || ['SCRIPT', 'STYLE', 'OPTION', 'TEMPLATE', 'TITLE', 'DESC'].includes(e.tagName)
        || !shown(e)) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    for (const r of range.getClientRects()) if (r.width > 1 && r.height > 1) texts.push({e, r, in: scrolls(e)});
    const words = e.closest('code, pre') ? [] : node.textContent.matchAll(/(?<=^|\s)[A-Za-z]{2,14}(?=[\s.,:;]|$)/g);
    for (const word of words) {
      range.setStart(node, word.index); range.setEnd(node, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map((r) => Math.round(r.top)));
      if (tops.size > 1) said.push(`a word is broken: ${word[0]} in ${name(e)}`); }
  }
  for (const {e, r, in: inside} of texts)
    if (!inside && (r.right > window_ + 1 || (r.left < -1 && r.right > 0))) said.push(`out of the window: ${name(e)}`);
  for (const e of document.body.querySelectorAll('*')) {
    const s = getComputedStyle(e);
    if (!shown(e) || e.closest('svg')) continue;
    const hides = (v) => v === 'hidden' || v === 'clip';
    if (hides(s.overflowX) && e.scrollWidth > e.clientWidth + 1) said.push(`cut at its side: ${name(e)}`);
    if (hides(s.overflowY) && e.scrollHeight > e.clientHeight + 1) said.push(`cut below: ${name(e)}`);
    if (e.matches('a[href], button, input, select, textarea, summary') && !scrolls(e)) {
      const r = e.getBoundingClientRect();
      if (r.width && (r.right > window_ + 1 || (r.left < -1 && r.right > 0))) said.push(`out of reach: ${name(e)}`); }
  }
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const a = texts[i], b = texts[j];
    if (a.e === b.e || a.e.contains(b.e) || b.e.contains(a.e) || a.in !== b.in) continue;
    const across = Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left);
    const down = Math.min(a.r.bottom, b.r.bottom) - Math.max(a.r.top, b.r.top);
    if (across > 3 && down > 4) said.push(`over each other: ${name(a.e)} and ${name(b.e)}`);
  }
  return [...new Set(said)].slice(0, 12);
})()"""


def faults(page: Page) -> list[str]:
    """Return what does not fit the window it is in, a line each."""
    found: list[Any] = page.run(SCRIPT)
    return [str(one) for one in found]
