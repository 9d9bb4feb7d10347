"""Text about recommended items."""
