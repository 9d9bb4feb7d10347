"""Bring the newest rows into the online store, or to batch scoring."""
