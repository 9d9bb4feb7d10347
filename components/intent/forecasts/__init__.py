"""Intents of other kinds than yes or no: an amount (regression), and which of several values comes next (multiclass)."""
