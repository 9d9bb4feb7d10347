"""Leases: of all loops, jobs and commands that could act on one recommender, one acts at a time."""
