"""Drift: two windows of user-weeks, compared."""
