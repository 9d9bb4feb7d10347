"""Run a pipeline on this machine: start it, follow it, report it."""
