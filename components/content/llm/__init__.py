"""Texts by a language model: its endpoint, prompts, budget and cache, and the writer that checks what it says."""
