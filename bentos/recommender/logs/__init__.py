"""The door's logs: events, which are on disk before their answer, and answers."""
