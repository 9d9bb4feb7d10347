"""Pseudonyms, and tombstones of people who were forgotten."""
