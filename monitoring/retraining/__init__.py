"""Retraining that stops itself: reasons in, decisions out, and what became of each."""
