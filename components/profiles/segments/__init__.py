"""Segments of users: fit them, describe them, and say what each does."""
