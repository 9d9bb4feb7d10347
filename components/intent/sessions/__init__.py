"""Intents of a session: will the rest of this visit still hold a purchase, a cart, or end here."""
