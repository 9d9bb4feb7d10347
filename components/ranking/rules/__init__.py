"""Rules of what a list may hold, beside what the ranker likes: filters, boosts, pins, caps, windows, new items.

`spec.py` has the rules as a spec or `PUT /rules` writes them, `expression.py` the small language of their `where`.
`book.py` reads both against the items that are shown, `clashes.py` refuses rules that contradict each other, and
`listing.py` is the core: ranked items and rules in, one list out. Nothing here knows a model, a store or the clock.
"""
