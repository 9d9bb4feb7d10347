"""Forget people, and rotate the key of their pseudonyms."""
