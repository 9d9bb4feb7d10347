"""Point-in-time training rows with labels, and which features models do without."""
