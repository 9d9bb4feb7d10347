"""What a run left, and why one failed, for whoever looks."""
