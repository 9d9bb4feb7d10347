"""The ranking model: which items, in which order, given the user row and the intents."""
