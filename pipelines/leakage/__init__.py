"""Find what a finished run stored that knows of its own future."""
