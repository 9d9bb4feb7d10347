"""What a run produced, and why one failed."""
