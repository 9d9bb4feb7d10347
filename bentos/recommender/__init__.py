"""The door: one process that reads profiles, scores intents, ranks items and logs what it served."""
