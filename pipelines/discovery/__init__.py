"""What people come for, found in the texts of what they act on: a proposal of intents and segments, for a person."""
