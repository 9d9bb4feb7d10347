"""Intents of other kinds than yes or no: an amount (regression), and which value comes next (multiclass)."""
