"""Checks of the servers that an environment names: one line each, with what mends it. Only reads."""
