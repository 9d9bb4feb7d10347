"""The rollout of a release: the loop that follows the registry, and the hands that it acts with."""
