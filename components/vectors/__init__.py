"""Text and image vectors of items."""
