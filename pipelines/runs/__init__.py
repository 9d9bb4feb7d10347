"""A run on this machine: start it, follow it, report it."""
