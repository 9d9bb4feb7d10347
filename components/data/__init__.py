"""Ingest to the canonical tables, the data contract, quarantine."""
