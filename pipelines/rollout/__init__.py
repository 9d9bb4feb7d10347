"""The rollout of a release: the loop that follows the registry, its decisions, and the actuators that execute them."""
