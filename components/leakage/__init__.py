"""Leak checks on feature rows: recompute them without a future, and with another one."""
