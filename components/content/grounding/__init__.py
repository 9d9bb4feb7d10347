"""Checks that a text says nothing which its facts do not."""
