"""One page a day that a shop owner understands: what changed, since when, and what was done about it."""
