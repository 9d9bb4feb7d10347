"""The BentoML service of the intent model."""
