"""Find what a finished run stored that depends on its own future."""
