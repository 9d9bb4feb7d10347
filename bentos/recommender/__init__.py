"""The door: one process that reads profiles, scores intents, ranks items and logs its answers."""
