"""The BentoML service of the ranker."""
